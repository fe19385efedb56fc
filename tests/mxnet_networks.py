"""Small Gluon networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

mx = pytest.importorskip("spa_kernel.frontends.mxnet", exc_type=ImportError).mx
nn = mx.gluon.nn


class Residual(nn.HybridBlock):
    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.a = nn.Conv2D(width, 3, padding=1, use_bias=False)
            self.n = nn.BatchNorm()
            self.b = nn.Conv2D(width, 3, padding=1, groups=4)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return F.relu(x + self.b(F.relu(self.n(self.a(x)))))


class Reshaped(nn.HybridBlock):
    """Tokens in the middle, with the sizes that are given written in the code."""

    def __init__(self, width: int = 0, batch: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.batch = width, batch
        with self.name_scope():
            self.stem = nn.Conv2D(16, 3, padding=1)
            self.wide = nn.Dense(24, flatten=False, activation="relu")
            self.head = nn.Dense(4)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        x = F.relu(self.stem(x))
        x = F.transpose(F.reshape(x, shape=(self.batch, self.width, -1)), axes=(0, 2, 1))
        return self.head(self.wide(x))


class Two(nn.HybridBlock):
    """Two inputs and two outputs, and a norm without factors."""

    def __init__(self, width: int = 12, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.left, self.right = nn.Dense(width), nn.Dense(width)
            self.norm = nn.BatchNorm(scale=False)
            self.one, self.other = nn.Dense(3), nn.Dense(5)

    def hybrid_forward(self, F: Any, x: Any, y: Any) -> Any:
        x = F.tanh(self.norm(self.left(x) * F.sigmoid(self.right(y))))
        other = self.other(x)
        return self.one(F.relu(other)), other


class Regions(nn.HybridBlock):
    """A picture, and boxes to be cut out of it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.stem, self.head = nn.Conv2D(8, 3, padding=1), nn.Dense(4)

    def hybrid_forward(self, F: Any, x: Any, boxes: Any) -> Any:
        x = F.contrib.ROIAlign(F.relu(self.stem(x)), boxes, (3, 3), 0.5, sample_ratio=2)
        return self.head(x * 0.5)


def convs() -> Any:
    net = nn.HybridSequential()
    with net.name_scope():
        net.add(nn.Conv2D(16, 3, padding=1), nn.BatchNorm(), nn.LeakyReLU(0.1), nn.MaxPool2D())
        net.add(Residual(16), nn.Conv2D(16, 3, groups=16, activation="relu"))
        net.add(
            nn.Conv2DTranspose(12, 2, strides=2),
            nn.PReLU(in_channels=12),
            nn.Flatten(),
            nn.Dropout(0.5),
        )
        net.add(nn.Dense(20, activation="relu"), nn.Dense(4))
    return net


def imperative() -> Any:
    """A plain Sequential cannot be hybridized, but all in it can be traced."""
    net = nn.Sequential()
    net.add(nn.Dense(20, activation="relu"), nn.Dense(16, activation="tanh"), nn.Dense(4))
    return net


NETWORKS = {
    "convs": (convs, [(2, 3, 8, 8)]),
    "reshaped": (Reshaped, [(2, 3, 6, 6)]),
    "two": (Two, [(2, 6), (2, 9)]),
    "imperative": (imperative, [(2, 9)]),
}


def built(name: str) -> tuple[Any, list[Any]]:
    """A network with random content everywhere, and its inputs."""
    make, shapes = NETWORKS[name]
    return filled(make(), shapes)


def filled(net: Any, shapes: list[tuple[int, ...]], *more: Any) -> tuple[Any, list[Any]]:
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    rng = np.random.default_rng(0)
    inputs = [*(mx.nd.array(rng.standard_normal(shape)) for shape in shapes), *more]
    net(*inputs)
    for name, parameter in net.collect_params().items():
        if not name.endswith("weight"):
            drawn = rng.uniform(0.5, 1.5, parameter.shape)
            parameter.set_data(mx.nd.array(drawn * (1 if "var" in name else rng.choice([-1, 1]))))
    return net, inputs


def contents(net: Any) -> dict[str, np.ndarray]:
    return {name: p.data().asnumpy() for name, p in net.collect_params().items()}


def outputs(net: Any, inputs: list[Any]) -> list[np.ndarray]:
    found = net(*inputs)
    return [a.asnumpy() for a in (found if isinstance(found, list | tuple) else [found])]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return all(map(same, one, other))
    return one.tobytes() == other.tobytes() and one.shape == other.shape
