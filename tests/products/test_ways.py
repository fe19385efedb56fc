"""From parameters to where they are used, and back."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import spa_kernel as spa
from spa_kernel.products.ways import Step, Way, back, forth, from_weights, pure, ways


def factored(draw: st.DrawFn, number: int) -> tuple[int, ...]:
    """A shape with so many entries."""
    shape = []
    while number > 1:
        divisors = [d for d in range(2, number + 1) if number % d == 0]
        shape.append(draw(st.sampled_from(divisors)))
        number //= shape[-1]
    for _ in range(draw(st.integers(0, 2))):
        shape.insert(draw(st.integers(0, len(shape))), 1)
    return tuple(shape) or (1,)


@st.composite
def random_ways(draw: st.DrawFn) -> tuple[tuple[int, ...], Way]:
    start = shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    steps = []
    for _ in range(draw(st.integers(0, 4))):
        op = draw(st.sampled_from(["Transpose", "Reshape", "Slice", "Expand"]))
        detail: tuple[Any, ...] = ()
        if op == "Transpose":
            detail = tuple(draw(st.permutations(range(len(shape)))))
            made = tuple(shape[i] for i in detail)
        elif op == "Reshape":
            made = factored(draw, prod(shape))
        elif op == "Slice":
            axis = draw(st.integers(0, len(shape) - 1))
            index = draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, unique=True))
            detail = ((axis, tuple(index)),)
            made = (*shape[:axis], len(index), *shape[axis + 1 :])
        else:
            longer = tuple(draw(st.integers(2, 3)) if n == 1 else n for n in shape)
            made = (*draw(st.sampled_from([(), (2,)])), *longer)
        steps.append(Step(op, shape, made, detail))
        shape = made
    return start, Way("weight", tuple(steps))


@given(random_ways())
def test_back_is_the_adjoint_of_forth(case: tuple[tuple[int, ...], Way]) -> None:
    start, way = case
    x = torch.randn(start, dtype=torch.float64)
    there = forth(x, way)
    assert there.shape == (way.steps[-1].made if way.steps else start)
    y = torch.randn_like(there)
    torch.testing.assert_close((there * y).sum(), (x * back(y, way).expand(start)).sum())


@given(random_ways(), st.data())
def test_back_takes_what_broadcasts(case: tuple[tuple[int, ...], Way], data: Any) -> None:
    start, way = case
    full = way.steps[-1].made if way.steps else start
    y = torch.randn([data.draw(st.sampled_from([1, n])) for n in full], dtype=torch.float64)
    got, wanted = back(y, way), back(y.expand(full), way)
    torch.testing.assert_close(got.expand(start), wanted.expand(start))


@given(random_ways())
def test_a_pure_way_gives_each_entry_one_place(case: tuple[tuple[int, ...], Way]) -> None:
    start, way = case
    if pure(way):
        x = torch.arange(1.0, 1 + prod(start)).reshape(start)
        there = forth(x, way)
        assert len(there.unique()) == there.numel()
        assert torch.equal(back(there, way).expand(start), x * torch.isin(x, there))


class Moved(nn.Module):
    """Weights that are moved about, put together, masked and scaled before their use."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(3, 6))
        self.c, self.d = nn.Parameter(torch.randn(8, 7)), nn.Parameter(torch.randn(5, 8))
        self.register_buffer("mask", torch.ones(5, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.linear(x, torch.cat([self.a, self.b]))
        x = x @ self.c.t()[:, ::2].reshape(7, 2, 2).flatten(1)
        first, second = self.c.split([3, 5])
        x = F.linear(torch.cat([x, x], 1), self.d * self.mask) @ second[:, :3]
        return x @ first[:, :3].t()


def test_ways_of_a_network() -> None:
    model = Moved().eval()
    graph = spa.analyze(model, (2, 6)).analysis.coupling.graph
    made = from_weights(graph.nodes)
    parameters = dict(model.named_parameters())
    found = []
    for node in graph.nodes:
        if node.op not in ("Gemm", "MatMul"):
            continue
        weight = node.inputs[1]
        assert weight is not None
        known = list(ways(weight, made))
        found.append(sorted(way.parameter for way in known))
        for way in known:
            if pure(way):
                # What is used is a part of the parameter, and goes back to where it was.
                own = parameters[way.parameter].detach()
                there = back(forth(own, way), way)
                assert torch.equal(there[there != 0], own[there != 0])
                assert int((there != 0).sum()) == prod(weight.shape)
    assert found == [["a", "b"], ["c"], ["d"], ["c"], ["c"]]
