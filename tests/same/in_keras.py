"""The described networks of Keras' layers, on any backend; pictures have their channels last."""

from __future__ import annotations

import keras
import numpy as np
from described import EPSILON, MOMENTUM, RATE, Network, Weights

L = keras.layers
ops = keras.ops

CHANNELS_FIRST = False


def batch(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def outputs(model, x):
    return model.predict(batch(x), verbose=0)


def train(model, x, labels):
    """One epoch."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss)
    model.fit(batch(x), labels, verbose=0)


def net(describe: Network, weights: Weights, shape: tuple[int, ...]) -> keras.Model:
    c, *size = shape
    x = keras.Input((*size, c))
    builder = Builder(weights)
    model = keras.Model(x, describe(builder, x))
    for layer, arrays in builder.contents:
        layer.set_weights([a.reshape(w.shape) for a, w in zip(arrays, layer.weights, strict=True)])
    return model


class Builder:
    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.contents: list[tuple[L.Layer, list[np.ndarray]]] = []

    def layer(self, layer, x, *arrays):
        out = layer(x)
        self.contents.append((layer, list(arrays)))
        return out

    def conv(self, x, name, out, kernel=3, stride=1, groups=1, bias=False, padded=True):
        if padded and kernel > 1:
            x = L.ZeroPadding2D(kernel // 2)(x)
        shape = (out, x.shape[-1] // groups, kernel, kernel)
        weight = self.weights.kernel(f"{name}.weight", shape)
        biases = [self.weights.get(f"{name}.bias", (out,), 0, 0.1)] if bias else []
        settings = {"strides": stride, "use_bias": bias, "name": name}
        if groups == out == x.shape[-1]:
            layer = L.DepthwiseConv2D(kernel, **settings)
            return self.layer(layer, x, weight.transpose(2, 3, 0, 1), *biases)
        layer = L.Conv2D(out, kernel, groups=groups, **settings)
        return self.layer(layer, x, weight.transpose(2, 3, 1, 0), *biases)

    def norm(self, x, name):
        layer = L.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=name)
        return self.layer(layer, x, *self.weights.of_norm(name, x.shape[-1]))

    def layer_norm(self, x, name):
        layer = L.LayerNormalization(epsilon=EPSILON, name=name)
        return self.layer(layer, x, *self.weights.of_norm(name, x.shape[-1])[:2])

    def linear(self, x, name, out):
        weight = self.weights.kernel(f"{name}.weight", (out, x.shape[-1]))
        bias = self.weights.get(f"{name}.bias", (out,), 0, 0.1)
        return self.layer(L.Dense(out, name=name), x, weight.T, bias)

    def attention(self, x, name, heads, depth):
        width = x.shape[-1]
        q, k, v = (
            L.Reshape((-1, heads, depth))(self.linear(x, f"{name}_{part}", heads * depth))
            for part in "qkv"
        )
        scores = ops.einsum("blhd,bmhd->bhlm", q * depth**-0.5, k)
        y = ops.einsum("bhlm,bmhd->blhd", L.Softmax()(scores), v)
        return self.linear(L.Reshape((-1, heads * depth))(y), f"{name}_out", width)

    def tokens(self, x):
        return L.Reshape((-1, x.shape[-1]))(x)

    def mean(self, x):
        kind = L.GlobalAveragePooling2D if len(x.shape) == 4 else L.GlobalAveragePooling1D
        return kind()(x)

    def max_pool(self, x):
        # What is padded is above zero, after a rectifier.
        return L.MaxPooling2D(3, 2)(L.ZeroPadding2D(1)(x))

    def halved(self, x):
        return L.AveragePooling2D(2)(x)

    def concat(self, parts):
        return L.Concatenate()(parts)

    def add(self, a, b):
        return L.Add()([a, b])

    def relu(self, x):
        return L.ReLU()(x)

    def relu6(self, x):
        return L.ReLU(6)(x)

    def gelu(self, x):
        return L.Activation("gelu")(x)
