"""Single Keras layers written as ONNX, in all their settings."""

import numpy as np
import pytest
from keras_networks import L, filled, keras

from spa_kernel.frontends.keras.backend import KerasBackend

ops = keras.ops
IMAGE, TOKENS, ROW, VOLUME = (9, 8, 4), (7, 6), (6,), (5, 6, 5, 2)
FIRST = {"data_format": "channels_first"}
EXTRA = {"padding": "same", "strides": 2}


def check(shape, *layers):
    """`as_onnx` itself compares, on two batches."""
    inputs = keras.Input(shape)
    for number, layer in enumerate(layers):
        net = filled(lambda layer=layer: keras.Model(inputs, layer(inputs)), number)
        x = np.random.default_rng(number).standard_normal((2, *shape)).astype(np.float32)
        model = KerasBackend(net, x).as_onnx()
        assert len(model.graph.initializer) == len(net.weights)


def test_convolutions():
    check(
        IMAGE,
        L.Conv2D(5, 3, **EXTRA),
        L.Conv2D(5, (2, 3), padding="same", dilation_rate=(2, 1)),
        L.Conv2D(6, 3, groups=2, strides=(2, 1), use_bias=False, activation="softmax"),
        L.Conv2D(6, 3, activation="gelu", **FIRST),
        L.DepthwiseConv2D(3, depth_multiplier=2, **EXTRA),
        L.DepthwiseConv2D(3, dilation_rate=2, padding="same", **FIRST),
        L.SeparableConv2D(5, 3, depth_multiplier=2, activation="relu", **EXTRA),
        L.SeparableConv2D(5, 2, dilation_rate=2, use_bias=False),
    )
    check(
        TOKENS,
        L.Conv1D(5, 3, padding="causal", dilation_rate=2),
        L.Conv1D(5, 4, **EXTRA),
        L.SeparableConv1D(5, 3, **EXTRA),
        L.DepthwiseConv1D(3),
    )
    check(VOLUME, L.Conv3D(3, (2, 3, 1), strides=(2, 1, 1), padding="same"))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("window", [1, 2, 3, 4])
def test_transposed_convolutions(window, padding):
    settings = [{"strides": s} for s in (1, 2, 3)] + [{"strides": 3, "output_padding": 1}]
    if window > 1:
        settings.append({"dilation_rate": 2})
    check(TOKENS, *(L.Conv1DTranspose(3, window, padding=padding, **s) for s in settings))
    check(IMAGE, L.Conv2DTranspose(3, (window, 2), strides=(2, 1), padding=padding, **FIRST))
    check(VOLUME, L.Conv3DTranspose(3, window, strides=(1, 2, 1), padding=padding))


@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_pooling(kind):
    two = getattr(L, f"{kind}Pooling2D")
    settings = [{}, {"strides": 1}, EXTRA, {"padding": "same"}, FIRST, {**EXTRA, **FIRST}]
    check(IMAGE, *(two(3, **setting) for setting in settings))
    check(
        IMAGE,
        two((1, 2)),
        *(getattr(L, f"Global{kind}Pooling2D")(keepdims=k) for k in (True, False)),
    )
    check(TOKENS, getattr(L, f"{kind}Pooling1D")(2, **EXTRA))
    check(TOKENS, getattr(L, f"Global{kind}Pooling1D")(**FIRST))
    check(VOLUME, getattr(L, f"{kind}Pooling3D")(2, padding="same"))


def test_shapes():
    check(
        IMAGE,
        L.ZeroPadding2D(((1, 2), (0, 3))),
        L.Cropping2D(((1, 2), (0, 3)), **FIRST),
        L.UpSampling2D((2, 3)),
        L.UpSampling2D((2, 3), interpolation="bilinear"),
        L.UpSampling2D(2, interpolation="bilinear", **FIRST),
        L.Flatten(**FIRST),
        L.Permute((3, 1, 2)),
        L.Reshape((-1, 4)),
    )
    check(TOKENS, L.ZeroPadding1D((2, 0)), L.Cropping1D((0, 2)), L.UpSampling1D(3))
    check(VOLUME, L.ZeroPadding3D(1), L.Cropping3D((1, 2, 0)), L.UpSampling3D(2))
    check(ROW, L.RepeatVector(3), L.Dropout(0.5))


def test_norms():
    check(
        IMAGE,
        *(L.BatchNormalization(axis=axis) for axis in (-1, 1, 2)),
        L.BatchNormalization(scale=False, center=False, epsilon=0.1),
        L.LayerNormalization(),
        L.LayerNormalization(axis=(2, 3), scale=False),
        L.LayerNormalization(center=False),
        *(L.GroupNormalization(2, axis=axis) for axis in (-1, 2)),
        L.GroupNormalization(-1, scale=False),
        L.UnitNormalization(),
        L.UnitNormalization(axis=(1, 2)),
        L.RMSNormalization(),
        L.Rescaling(0.1, 3),
        L.Rescaling([0.1, 1, 2, 3], offset=[1, 2, 3, 4]),
        L.Normalization(),
        L.Normalization(axis=2, invert=True),
        L.Normalization(mean=[1, 2, 3, 4], variance=[1, 2, 3, 4]),
    )
    check(ROW, L.BatchNormalization(), L.LayerNormalization(), L.RMSNormalization())


def test_products():
    check(TOKENS, L.Dense(5), L.Dense(4, use_bias=False, activation="softmax"))
    check(TOKENS, L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"))
    check(TOKENS, L.EinsumDense("...x,xy->...y", (7, 5), activation="relu"))


ACTIVATIONS = sorted(
    "relu relu6 leaky_relu softmax log_softmax celu elu selu softplus softsign squareplus "
    "soft_shrink sparse_plus silu gelu tanh tanh_shrink sigmoid sparse_sigmoid exponential "
    "hard_sigmoid hard_silu hard_tanh hard_shrink linear mish log_sigmoid".split()
)


def test_activations():
    check(TOKENS, *(L.Activation(name) for name in ACTIVATIONS))
    check(
        IMAGE,
        L.ReLU(2.0, 0.1, 0.5),
        L.ReLU(negative_slope=0.1),
        L.ReLU(threshold=0.3),
        L.ReLU(1.5, threshold=0.5),
        L.ReLU(1.5, 0.2),
        L.LeakyReLU(0.05),
        L.ELU(0.5),
        L.PReLU(shared_axes=(1, 2)),
        L.PReLU(),
        L.Softmax(axis=1),
        L.Conv2D(3, 1, activation="log_softmax"),
    )


def test_attention():
    heads = L.MultiHeadAttention
    check(
        TOKENS,
        lambda x: heads(2, 3)(x, x),
        lambda x: heads(2, 3, value_dim=4, output_shape=5, use_bias=False)(x, L.Dense(8)(x)),
        lambda x: heads(2, 3)(x, x, use_causal_mask=True),
        lambda x: heads(2, 3, dropout=0.1)(x, x[:, :4], key=x[:, 2:6], use_causal_mask=True),
    )
    check(IMAGE, lambda x: heads(2, 3, attention_axes=2)(x, x))


def test_operations_on_symbolic_tensors():
    check(
        TOKENS,
        lambda x: 2 - x,
        lambda x: x / 3.0 + ops.square(x) * ops.exp(-x),
        lambda x: 1.0 / (1.0 + ops.abs(x)),
        lambda x: ops.maximum(x, 0.5) - ops.minimum(x, L.Dense(6)(x)),
        lambda x: x + np.arange(6, dtype="float32"),
        lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
        lambda x: ops.gelu(x) + ops.gelu(x, approximate=False) + ops.leaky_relu(x, 0.3),
        lambda x: ops.reshape(x, (-1, 6)),
        lambda x: ops.concatenate([x, ops.relu6(x)], axis=1),
        lambda x: ops.sqrt(ops.maximum(x, 1.0)) * ops.rsqrt(ops.square(x) + 1.0),
        lambda x: ops.subtract(x2=x, x1=ops.tanh(x)),
        lambda x: x[:, 1:-1, ::2],
        lambda x: ops.mean(x, axis=1) - ops.max(x, axis=(1, 2), keepdims=True)[:, 0],
        lambda x: ops.sum(x, -1, keepdims=True) * ops.expand_dims(ops.min(x, axis=1), 1),
        lambda x: ops.squeeze(ops.expand_dims(x, -1), -1),
        lambda x: x[..., None, -1] * x[:, 0, :1, None],
        lambda x: ops.multiply(L.Flatten()(x), L.Dense(42)(L.Flatten()(x))),
    )
    check(
        IMAGE,
        lambda x: L.Average()([L.Conv2D(4, 1)(x), x, x * 0.5]),
        lambda x: L.Subtract()([x, L.Conv2D(4, 1)(x)]),
        lambda x: L.Multiply()([L.Conv2D(1, 1)(x), L.Conv2D(4, 1)(x), x]),
        lambda x: L.Concatenate(axis=1)([L.Conv2D(5, 1)(x), L.Conv2D(5, 1)(x)]),
    )
