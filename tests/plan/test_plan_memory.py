"""Peak activation memory: against a count of what a real forward keeps, and after real prunes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import spa_kernel as spa
from spa_kernel.graph.ir import Graph, Node, Value
from spa_kernel.plan.memory import itemsize, lifetimes


class Watch(TorchDispatchMode):
    """Notes when each piece of memory of a forward is first and last used."""

    def __init__(self, model: nn.Module, *inputs: torch.Tensor) -> None:
        super().__init__()
        self.own = {memory(t) for t in (*model.parameters(), *model.buffers())}
        self.size = {memory(t): t.nbytes for t in inputs}
        self.first = dict.fromkeys(self.size, 0)
        self.last: dict[int, int] = {}
        self.steps = 0
        self.alive: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        made = made[:1] if "norm" in str(func) else made  # the others are there for training only
        for tensor in made:
            self.size.setdefault(memory(tensor), tensor.untyped_storage().nbytes())
            self.first.setdefault(memory(tensor), self.steps)
        self.use([args, kwargs, made])
        self.steps += 1
        self.alive.append(out)
        return out

    def use(self, what: Any) -> None:
        tensors = [t for t in tree_leaves(what) if isinstance(t, torch.Tensor)]
        self.last.update(dict.fromkeys(map(memory, tensors), self.steps))

    def peak(self) -> int:
        pieces = [k for k in self.size if k in self.last and k not in self.own]
        return max(
            sum(self.size[k] for k in pieces if self.first[k] <= step <= self.last[k])
            for step in range(self.steps)
        )


def memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def watched(model: nn.Module, *inputs: torch.Tensor) -> int:
    with torch.no_grad(), Watch(model, *inputs) as watch:
        out = model(*inputs)
    watch.steps -= 1
    watch.use(out)
    watch.steps += 1
    return watch.peak()


class Residual(nn.Module):
    """A sum, writes in place, views, a concatenation and channels that are gated."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 12, 3, padding=1)
        self.b = nn.Conv2d(12, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.c = nn.Conv2d(24, 16, 1)
        self.gate = nn.Linear(16, 16)
        self.last = nn.Linear(16, 5)
        self.relu = nn.ReLU(inplace=inplace)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.a(x))
        y = self.relu(self.norm(self.b(x)))
        y += x
        z = self.relu(self.c(torch.cat([x, y], 1)))
        z = z * torch.sigmoid(self.gate(z.mean((2, 3))))[:, :, None, None]
        return self.last(z.flatten(2).transpose(1, 2).mean(1))


class Writes(nn.Module):
    """Both halves of the channels are written to through views."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        first, second = y.chunk(2, 1)
        first.relu_()
        second.mul_(2)
        return self.b(torch.cat([second, first], 1) + y) + x[:, :4]


DOUBLES = torch.ones(7, 6, dtype=torch.float64)
NETWORKS = {
    "in place": lambda: (Residual(True), torch.randn(2, 3, 8, 8)),
    "out of place": lambda: (Residual(False), torch.randn(2, 3, 8, 8)),
    "writes": lambda: (Writes(), torch.randn(2, 6)),
    "double": lambda: (nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)).double(), DOUBLES),
    "depthwise": lambda: (
        nn.Sequential(
            nn.Conv2d(3, 16, 1), nn.ReLU6(), nn.Conv2d(16, 16, 3, groups=16), nn.MaxPool2d(2),
            nn.Conv2d(16, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        ),
        torch.randn(1, 3, 12, 12),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_prediction_is_what_a_forward_keeps_before_and_after(name: str) -> None:
    torch.manual_seed(0)
    model, x = NETWORKS[name]()
    model.eval()
    session = spa.analyze(model, x)
    plan = session.plan("random", ratio=0.5, scope="local")
    assert plan.memory[0] == watched(model, x)
    session.prune(plan, verify=False)
    assert plan.memory[1] == session.analysis.cost.measure("memory").base == watched(model, x)
    assert plan.memory[1] < plan.memory[0]


@pytest.mark.parametrize("target", [1.1, 1.3])
def test_a_memory_budget_is_reached(target: float) -> None:
    model, x = NETWORKS["out of place"]()
    session = spa.analyze(model.eval(), x)
    plan = session.plan(memory=target)
    assert plan.memory[0] >= target * plan.memory[1]
    removed = plan.mask(session.analysis.coupling)
    for label in np.flatnonzero(removed):
        fewer = removed.copy()
        fewer[label] = False
        assert plan.memory[0] < target * session.analysis.cost.memory(fewer)
    with pytest.raises(spa.InfeasibleTarget, match=r"memory=100.0 cannot be reached: memory=\d"):
        session.plan(memory=100.0)


def test_lifetimes() -> None:
    x, w = Value("x", (4,), "input"), Value("w", (4,), "parameter")
    a, view, part, b, unused = (Value(name, (4,)) for name in ("a", "view", "part", "b", "unused"))
    nodes = [
        Node("MatMul", (x, w), (a,)),
        Node("Reshape", (a,), (view,)),
        Node("Relu", (x,), (unused,)),
        Node("Split", (view,), (part,)),
        Node("Sigmoid", (part,), (b,)),
    ]
    graph = Graph(nodes, [x], [x])
    assert lifetimes(graph) == {x: (0, 4), a: (0, 3), unused: (2, 2), part: (3, 4), b: (4, 4)}
    graph.memory = {view: a, part: None}
    assert lifetimes(graph) == {x: (0, 4), a: (0, 4), unused: (2, 2), b: (4, 4)}


def test_sizes_of_types() -> None:
    names = {"float32": 4, "bfloat16": 2, "float8_e4m3fn": 1, "complex64": 8, "bool": 1, "int64": 8}
    assert {name: itemsize(name) for name in names} == names
