"""Networks described once, to be built of each framework's own layers with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

EPSILON = 1e-5
"""Of every norm."""
MOMENTUM = 0.9
"""What a norm keeps of its mean and variance in a step of training."""
RATE = 0.01
"""At which the networks are trained."""


class Weights:
    """Arrays by name, in torch's layouts; made when they are first asked for."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.arrays: dict[str, np.ndarray] = {}

    def get(self, name: str, shape: tuple[int, ...], mean: float = 0.0, deviation: float = 1.0):
        if name not in self.arrays:
            drawn = mean + deviation * self.rng.standard_normal(shape)
            # Variances must be positive, and no channel of a scale should be almost gone.
            self.arrays[name] = np.abs(drawn).astype(np.float32) if mean else drawn.astype("f4")
        return self.arrays[name]

    def of_norm(self, name: str, n: int) -> list[np.ndarray]:
        """Scale, shift, mean and variance of a norm of n channels."""
        parts = ("weight", 1, 0.3), ("bias", 0, 0.3), ("mean", 0, 0.3), ("var", 1, 0.2)
        return [self.get(f"{name}.{part}", (n,), *how) for part, *how in parts]

    def kernel(self, name: str, shape: tuple[int, ...]):
        """With the deviation that keeps the size of what passes through."""
        return self.get(name, shape, 0.0, float(np.prod(shape[1:])) ** -0.5)


Network = Callable[[Any, Any], Any]
"""Takes the builder and the input."""


def small(o, x):
    """A residual block and a depthwise layer."""
    x = o.relu(o.norm(o.conv(x, "stem", 12), "stem_bn"))
    y = o.relu(o.norm(o.conv(x, "one", 10), "bn1"))
    x = o.relu(o.add(x, o.norm(o.conv(y, "two", 12, 1), "bn2")))
    x = o.relu6(o.norm(o.conv(x, "b_deep", 12, groups=12), "bn3"))
    return o.linear(o.relu(o.linear(o.mean(x), "fc1", 16)), "fc2", 10)


def resnet18(o, x):
    x = o.relu(o.norm(o.conv(x, "stem", 64, 7, 2), "stem_bn"))
    x = o.max_pool(x)
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name, stride = f"s{stage}b{block}", 2 if stage and not block else 1
            y = o.relu(o.norm(o.conv(x, f"{name}_conv1", width, 3, stride), f"{name}_bn1"))
            y = o.norm(o.conv(y, f"{name}_conv2", width), f"{name}_bn2")
            if stride > 1:
                x = o.norm(o.conv(x, f"{name}_down", width, 1, stride), f"{name}_down_bn")
            x = o.relu(o.add(x, y))
    return o.linear(o.mean(x), "fc", 10)


def mobilenet_v2(o, x):
    x = o.relu6(o.norm(o.conv(x, "stem", 32, 3, 2), "stem_bn"))
    width, number = 32, 0
    for expand, out, count, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for stride in (first, *[1] * (count - 1)):
            name, y, hidden = f"b{number}", x, width * expand
            number += 1
            if expand > 1:
                y = o.relu6(o.norm(o.conv(y, f"{name}_up", hidden, 1), f"{name}_up_bn"))
            y = o.conv(y, f"{name}_deep", hidden, 3, stride, groups=hidden)
            y = o.relu6(o.norm(y, f"{name}_deep_bn"))
            y = o.norm(o.conv(y, f"{name}_down", out, 1), f"{name}_down_bn")
            x = o.add(x, y) if stride == 1 and width == out else y
            width = out
    x = o.relu6(o.norm(o.conv(x, "head", 1280, 1), "head_bn"))
    return o.linear(o.mean(x), "fc", 10)


def densenet(o, x):
    """Four layers in each of three blocks, growth 12."""
    x, width = o.conv(x, "stem", 24), 24
    for block in range(3):
        for layer in range(4):
            name = f"d{block}l{layer}"
            y = o.conv(o.relu(o.norm(x, f"{name}_bn1")), f"{name}_conv1", 48, 1)
            y = o.conv(o.relu(o.norm(y, f"{name}_bn2")), f"{name}_conv2", 12)
            x, width = o.concat([x, y]), width + 12
        if block < 2:
            width //= 2
            x = o.conv(o.relu(o.norm(x, f"t{block}_bn")), f"t{block}_conv", width, 1)
            x = o.halved(x)
    return o.linear(o.mean(o.relu(o.norm(x, "bn"))), "fc", 10)


def vit(o, x):
    """Patches of 4 x 4, width 48, 3 layers of 4 heads; a convolution tells positions apart."""
    x = o.conv(x, "patches", 48, 4, 4, bias=True, padded=False)
    x = o.tokens(o.add(x, o.conv(x, "positions", 48, groups=48, bias=True)))
    for layer in range(3):
        y = o.attention(o.layer_norm(x, f"l{layer}_ln1"), f"l{layer}_attention", 4, 12)
        x = o.add(x, y)
        y = o.linear(o.layer_norm(x, f"l{layer}_ln2"), f"l{layer}_up", 96)
        x = o.add(x, o.linear(o.gelu(y), f"l{layer}_down", 48))
    return o.linear(o.mean(o.layer_norm(x, "ln")), "fc", 10)


NETWORKS: dict[str, tuple[Network, tuple[int, int, int]]] = {
    "small": (small, (3, 12, 12)),
    "resnet18": (resnet18, (3, 64, 64)),
    "mobilenet_v2": (mobilenet_v2, (3, 64, 64)),
    "densenet": (densenet, (3, 32, 32)),
    "vit": (vit, (3, 32, 32)),
}
"""With the shape of a picture."""
