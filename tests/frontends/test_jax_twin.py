"""The same network with the same weights in flax.nnx and torch: same groups, same scores."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from jax_networks import Convs
from torch import nn

import spa_kernel as spa


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.n = nn.BatchNorm2d(width)
        self.b = nn.Conv2d(width, width, 3, padding=1)
        self.m = nn.BatchNorm2d(width)

    def forward(self, x: Any) -> Any:
        return torch.relu(x + self.m(self.b(torch.relu(self.n(self.a(x))))))


class Twin(nn.Module):
    """`jax_networks.Convs` in torch; its head reads positions before channels, as flax's does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.bn = nn.BatchNorm2d(12)
        self.block = Block(12)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.hidden = nn.Linear(12 * 16, 20)
        self.head = nn.Linear(20, 4)

    def forward(self, x: Any) -> Any:
        x = nn.functional.max_pool2d(torch.relu(self.bn(self.conv(x))), 2)
        x = nn.functional.silu(self.depthwise(self.block(x))).permute(0, 2, 3, 1)
        hidden = self.hidden(x.reshape(x.shape[0], -1))
        return self.head(nn.functional.gelu(hidden, approximate="tanh"))


NAMES = {"weight": "kernel", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def flax_name(module: nn.Module, name: str) -> str:
    norm = isinstance(module, nn.BatchNorm2d) and name == "weight"
    return "scale" if norm else NAMES[name]


def carried_over(twin: nn.Module, model: nnx.Module) -> dict[str, str]:
    """Give the flax network the weights of the torch one; torch's names by flax's."""
    variables = {
        ".".join(map(str, path)): node
        for path, node in nnx.iter_graph(model)
        if isinstance(node, nnx.Variable)
    }
    found = {}
    for path, module in twin.named_modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is None or name == "num_batches_tracked":
                continue
            array = tensor.detach().numpy()
            order = {4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim, (0,))
            key = f"{path}.{flax_name(module, name)}"
            variables[key].set_raw_value(jnp.asarray(array.transpose(order)))
            found[key] = f"{path}.{name}"
    return found


def test_same_groups_scores_and_outputs() -> None:
    torch.manual_seed(0)
    twin, model = Twin(), Convs(nnx.Rngs(0))
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor.data, 0.5, 1.5)
    twin.eval()
    model.eval()
    names = carried_over(twin, model)
    images = torch.randn(2, 3, 8, 8)
    pixels = images.permute(0, 2, 3, 1).numpy()
    a, b = spa.analyze(twin, images), spa.analyze(model, pixels)

    def prunable(session: Any, rename: dict[str, str]) -> dict[frozenset[str], Any]:
        return {
            frozenset(rename.get(name, name) for name, _ in g.members): g
            for g in session.groups
            if g.prunable
        }

    ours, theirs = prunable(b, names), prunable(a, {})
    assert ours.keys() == theirs.keys()
    assert a.cost == b.cost
    for criterion in ("l1", "l2", "lamp", "bn_scale", "fpgm"):
        left, right = a.importance(criterion), b.importance(criterion)
        for key, group in theirs.items():
            assert ours[key].size == group.size
            assert (group.id in left) == (ours[key].id in right)
            if group.id not in left:
                continue  # no BatchNorm there
            scores = left[group.id], right[ours[key].id]
            np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-7)
    a.prune(ratio=0.4)
    b.prune(ratio=0.4)
    expected = twin(images).detach().numpy()
    found = np.asarray(jax.jit(lambda x: model(x))(pixels))
    assert np.abs(expected - found).max() <= 1e-5 * expected.std()
