"""Small Keras networks, and what is true of them before and after a prune."""

import keras
import numpy as np

L = keras.layers


def residual():
    inputs = keras.Input((12, 12, 3))
    x = L.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = L.ReLU()(L.BatchNormalization()(x))
    y = L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(x))
    x = L.MaxPooling2D()(L.Activation("relu")(L.Add()([x, y])))
    x = L.Dense(10, activation="relu")(L.Flatten()(x))
    return keras.Model(inputs, L.Dense(4)(x))


def inverted():
    """Depthwise convolutions, squeeze and excite, and a batch norm without a scale."""
    inputs = keras.Input((12, 12, 3))
    x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(6, 3, strides=2)(L.ZeroPadding2D()(inputs))))
    y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(10, 1, use_bias=False)(x)))
    y = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(y)
    y = L.ReLU(6.0)(L.BatchNormalization(scale=False)(y))
    gate = L.Reshape((1, 1, 20))(L.GlobalAveragePooling2D()(y))
    gate = L.Conv2D(20, 1, activation="hard_sigmoid")(L.Conv2D(8, 1, activation="relu")(gate))
    y = L.BatchNormalization()(L.Conv2D(6, 1)(L.Multiply()([y, gate])))
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x + y)))


def dense_blocks():
    inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same")(inputs)
    for _ in range(3):
        y = L.Activation("relu")(L.BatchNormalization()(x))
        x = L.Concatenate()([x, L.Conv2D(6, 3, padding="same")(y)])
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(L.AveragePooling2D(2)(x))))


def perceptron():
    dense = [L.Dense(16, activation="gelu"), L.Dropout(0.3), L.Dense(12, activation="tanh")]
    return keras.Sequential([keras.Input((4, 5)), L.Flatten(), *dense, L.Dense(3)])


def sequential():
    first = [keras.Input((12, 12, 3)), L.Rescaling(1 / 255), L.Conv2D(8, 3, activation="relu")]
    last = [L.SeparableConv2D(12, 3, activation="relu"), L.Flatten(), L.Dense(3)]
    return keras.Sequential([*first, L.MaxPooling2D(), *last])


def transformer():
    inputs = keras.Input((8, 8, 3))
    x = L.Reshape((16, 24))(L.Conv2D(24, 2, strides=2)(inputs))
    y = L.LayerNormalization()(x)
    x = L.Add()([x, L.MultiHeadAttention(3, 8)(y, y)])
    y = L.Dense(48, activation="gelu")(L.LayerNormalization()(x))
    x = L.LayerNormalization()(L.Add()([x, L.Dense(24)(y)]))
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


def words():
    inputs = keras.Input((10,), dtype="int32")
    x = L.Conv1D(12, 3, activation="relu", padding="causal")(L.Embedding(50, 16)(inputs))
    return keras.Model(inputs, L.Dense(3)(L.GlobalMaxPooling1D()(x)))


def shared():
    """A model inside of the model, and a layer, that are each called twice."""
    parts = [L.Conv2D(6, 3, padding="same", activation="relu"), L.BatchNormalization()]
    inner = keras.Sequential([keras.Input((8, 8, 6)), *parts], name="inner")
    inputs = keras.Input((8, 8, 3))
    x = inner(inner(L.Conv2D(6, 1)(inputs)))
    dense = L.Dense(7, activation="relu")
    pooled = [dense(L.GlobalAveragePooling2D()(x)), dense(L.GlobalMaxPooling2D()(x))]
    return keras.Model(inputs, L.Dense(3)(L.Concatenate()(pooled)))


def grouped():
    inputs = keras.Input((8, 8, 4))
    x = L.GroupNormalization(4)(L.Conv2D(16, 3, groups=4)(inputs))
    x = L.Conv2DTranspose(8, 2, strides=2)(L.Activation("silu")(x))
    x = L.Permute((3, 1, 2))(L.PReLU(shared_axes=[1, 2])(x))
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(x)))


def volumes():
    inputs = keras.Input((6, 6, 6, 2))
    x = L.Cropping3D(1)(L.UpSampling3D()(L.Conv3D(8, 3)(inputs)))
    x = L.GlobalMaxPooling3D(keepdims=True)(L.Conv3DTranspose(4, 2)(x))
    return keras.Model(inputs, L.Dense(3)(x))


def channels_first():
    first = {"data_format": "channels_first"}
    inputs = keras.Input((3, 12, 12))
    x = L.ReLU()(L.BatchNormalization(axis=1)(L.Conv2D(8, 3, **first)(inputs)))
    x = L.SeparableConv2D(6, 3, **first)(L.MaxPooling2D(**first)(x))
    outputs = [L.Dense(3)(L.GlobalAveragePooling2D(**first)(x)), L.Dense(2)(L.Flatten(**first)(x))]
    return keras.Model(inputs, outputs)


NETWORKS = [
    *(residual, inverted, dense_blocks, perceptron, sequential, transformer, words, shared),
    *(grouped, volumes, channels_first),
]


def filled(make, seed=0):
    """A network with weights that are all different, norms' statistics too."""
    net, rng = make(), np.random.default_rng(seed)
    for variable in net.weights:
        if "variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        else:
            variable.assign(rng.standard_normal(variable.shape) * 0.3)
    return net


def batch(net, size=4):
    """Inputs of a network with one input."""
    (tensor,), rng = net.inputs, np.random.default_rng(3)
    shape = (size, *tensor.shape[1:])
    if tensor.dtype == "int32":
        return rng.integers(0, 50, shape).astype(np.int32)
    return rng.standard_normal(shape).astype(np.float32)


def predicted(net, x):
    """All outputs of a network."""
    found = net.predict(x, verbose=0)
    return found if isinstance(found, list) else [found]


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
