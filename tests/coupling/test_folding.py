"""The search for weights that take up a factor, on graphs written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spa_kernel.coupling.folding import Folding
from spa_kernel.coupling.signs import Signs
from spa_kernel.graph import Graph, Node, Value
from spa_kernel.graph.factors import MAIN


class Draft:
    """A graph in the making."""

    def __init__(self) -> None:
        self.graph = Graph(folds=True)

    def weight(self, name: str, *shape: int, kind: Any = "parameter") -> Value:
        value = self.graph.stored[name] = Value(name, shape, kind)
        return value

    def input(self, *shape: int) -> Value:
        self.graph.inputs.append(Value("x", shape, "input"))
        return self.graph.inputs[-1]

    def add(self, op: str, shape: tuple[int, ...], *operands: Value | None, **attrs: Any) -> Value:
        out = Value(f"{op}{len(self.graph.nodes)}", shape)
        self.graph.nodes.append(Node(op, operands, (out,), attrs))
        return out

    def linear(self, x: Value, name: str, rows: int) -> Value:
        weight = self.weight(name, rows, x.shape[1])
        return self.add("Gemm", (x.shape[0], rows), x, weight, transB=1)

    def folded(self, *values: Value) -> dict[str, Any] | None:
        """Exponents that make up for a factor in what made these values."""
        nodes = [next(n for n in self.graph.nodes if v in n.outputs) for v in values]
        found = Folding(self.graph).solve(*((node, MAIN) for node in nodes))
        if found is None:
            return None
        stored = self.graph.stored
        return {n: np.broadcast_to(a, stored[n].shape).tolist() for n, a in found.items()}


def test_backward_into_the_rows_that_make_a_value() -> None:
    draft = Draft()
    both = draft.linear(draft.input(2, 3), "w", 4)
    first, second = Value("first", (2, 2)), Value("second", (2, 2))
    draft.graph.nodes.append(Node("Split", (both,), (first, second), {"axis": 1}))
    scaled = draft.add("Mul", (2, 2), first)
    draft.graph.outputs = [draft.add("Softmax", (2, 2), scaled, axis=1), second]
    assert draft.folded(scaled) == {"w": [[1] * 3, [1] * 3, [0] * 3, [0] * 3]}


def test_forward_into_the_columns_that_take_a_value_in() -> None:
    draft = Draft()
    x = draft.add("Sigmoid", (2, 4), draft.linear(draft.input(2, 3), "v", 4))
    scaled = draft.add("Relu", (2, 4), draft.add("Mul", (2, 4), x))
    other = draft.linear(draft.graph.inputs[0], "u", 2)
    joined = draft.add("Concat", (2, 6), scaled, other, axis=1)
    draft.graph.outputs = [draft.linear(joined, "w", 1)]
    product = draft.graph.nodes[2].outputs[0]
    assert draft.folded(product) == {"w": [[1] * 4 + [0] * 2]}


def test_a_weight_that_is_used_elsewhere_too_is_left_alone() -> None:
    draft = Draft()
    x = draft.input(2, 3)
    y = draft.linear(x, "w", 4)
    again = draft.add("Gemm", (2, 4), x, draft.graph.stored["w"], transB=1)
    scaled = draft.add("Mul", (2, 4), y)
    draft.graph.outputs = [draft.add("Softmax", (2, 4), scaled, axis=1), again]
    assert draft.folded(scaled) is None


def test_two_places_at_once() -> None:
    draft = Draft()
    x = draft.input(2, 3)
    y = draft.linear(x, "w", 4)
    one, other = draft.add("Mul", (2, 4), y), draft.add("Mul", (2, 4), y)
    draft.graph.outputs = [
        draft.add("Softmax", (2, 4), one, axis=1),
        draft.add("Softmax", (2, 4), other, axis=0),
    ]
    assert draft.folded(one) is None
    assert draft.folded(one, other) == {"w": [[1] * 3] * 4}


def test_all_of_a_residual_stream_follows() -> None:
    draft = Draft()
    x = draft.linear(draft.input(2, 3), "a", 4)
    y = draft.add("Add", (2, 4), x, draft.linear(x, "b", 4))
    scaled = draft.add("Mul", (2, 4), y)
    draft.graph.outputs = [draft.add("Softmax", (2, 4), scaled, axis=1)]
    assert draft.folded(scaled) == {"a": [[1] * 3] * 4}


def test_a_sum_with_a_bias() -> None:
    draft = Draft()
    x = draft.linear(draft.input(2, 3), "a", 4)
    y = draft.add("Add", (2, 4), x, draft.weight("bias", 4))
    scaled = draft.add("Div", (2, 4), y)
    draft.graph.outputs = [draft.add("Exp", (2, 4), scaled)]
    assert draft.folded(scaled) == {"a": [[1] * 3] * 4, "bias": [1] * 4}


def test_a_square_takes_half_of_a_power() -> None:
    draft = Draft()
    y = draft.add("Square", (2, 4), draft.linear(draft.input(2, 3), "a", 4), exponent=2)
    scaled = draft.add("Mul", (2, 4), y)
    draft.graph.outputs = [draft.add("Softmax", (2, 4), scaled, axis=1)]
    assert draft.folded(scaled) == {"a": [[0.5] * 3] * 4}
    squared = Draft()
    scaled = squared.add("Mul", (2, 4), squared.linear(squared.input(2, 3), "a", 4))
    y = squared.add("Square", (2, 4), squared.add("Sigmoid", (2, 4), scaled), exponent=2)
    squared.graph.outputs = [squared.add("Softmax", (2, 4), y, axis=1)]
    assert squared.folded(scaled) == {"a": [[1] * 3] * 4}


@pytest.mark.parametrize(("exponent", "power"), [(1, 1), (2, 0.5), (4, None), (3, None), (0.5, 2)])
def test_only_halves_of_powers_are_looked_for(exponent: float, power: float | None) -> None:
    draft = Draft()
    y = draft.add("Square", (2, 4), draft.linear(draft.input(2, 3), "a", 4), exponent=exponent)
    scaled = draft.add("Mul", (2, 4), y)
    draft.graph.outputs = [draft.add("Softmax", (2, 4), scaled, axis=1)]
    assert draft.folded(scaled) == (None if power is None else {"a": [[power] * 3] * 4})


def rms(draft: Draft, x: Value, weight: Value | None) -> tuple[Value, Value]:
    """The mean and the result of a norm that is written out."""
    rows = (x.shape[0], 1)
    square = draft.add("Square", x.shape, x, exponent=2)
    mean = draft.add("ReduceMean", rows, square, axes=(1,), keepdims=True)
    root = draft.add("Rsqrt", rows, draft.add("Add", rows, mean, scalar=1e-6, alpha=1))
    y = draft.add("Mul", x.shape, x, root)
    return mean, y if weight is None else draft.add("Mul", x.shape, weight, y)


def stream(draft: Draft, layers: int) -> list[Value]:
    """A residual stream; each layer reads it through a norm."""
    x, means = draft.linear(draft.input(2, 3), "first", 4), []
    for i in range(layers):
        mean, y = rms(draft, x, draft.weight(f"norm{i}", 4))
        y = draft.add("Softmax", (2, 5), draft.linear(y, f"in{i}", 5), axis=1)
        x = draft.add("Add", x.shape, x, draft.linear(y, f"out{i}", 4))
        means.append(mean)
    mean, y = rms(draft, x, draft.weight("norm", 4))
    draft.graph.outputs = [draft.linear(y, "head", 6)]
    return [*means, mean]


def test_norms_of_a_stream_are_put_right_together() -> None:
    draft = Draft()
    means = stream(draft, 2)
    assert draft.folded(means[0]) is None
    assert draft.folded(*means) == {
        "first": [[0.5] * 3] * 4, "out0": [[0.5] * 5] * 4, "out1": [[0.5] * 5] * 4,
        "norm0": [-0.5] * 4, "norm1": [-0.5] * 4, "norm": [-0.5] * 4,
    }  # fmt: skip


def test_many_layers() -> None:
    draft = Draft()
    means = stream(draft, 500)
    found = draft.folded(*means)
    assert found is not None
    assert len(found) == 2 * 500 + 2


def test_no_weight_behind_one_of_the_norms() -> None:
    draft = Draft()
    means = stream(draft, 2)
    mean, y = rms(draft, draft.graph.nodes[0].outputs[0], None)
    draft.graph.outputs.append(y)
    assert draft.folded(*means, mean) is None


def test_the_table_that_fills_a_stream_and_reads_it() -> None:
    """What the head's scaled weights do, the last norm has to undo."""
    draft = Draft()
    tokens, table = draft.input(2, 3), draft.weight("table", 6, 4)
    tokens.dtype = "int64"
    x = draft.add("Gather", (2, 3, 4), table, tokens, axis=0)
    mean, y = rms(draft, draft.add("Reshape", (6, 4), x), draft.weight("norm", 4))
    draft.graph.outputs = [draft.add("Gemm", (6, 6), y, table, transB=1)]
    assert draft.folded(mean) == {"table": [[0.5] * 4] * 6, "norm": [-1] * 4}


def test_every_matrix_of_a_grouped_product() -> None:
    draft = Draft()
    x, weights = draft.linear(draft.input(5, 3), "a", 4), draft.weight("w", 2, 4, 6)
    ends = draft.weight("ends", 2, kind="buffer")
    x = draft.add("Sigmoid", (5, 4), x)
    scaled = draft.add("Mul", (5, 4), x)
    draft.graph.outputs = [draft.add("GroupedMatMul", (5, 6), scaled, weights, ends)]
    assert draft.folded(scaled) == {"w": [[[1] * 6] * 4] * 2}


def test_batch_norm_takes_a_factor_in_its_mean_and_scale() -> None:
    draft = Draft()
    x = draft.add("Sigmoid", (2, 3, 5), draft.input(2, 3, 5))
    scaled = draft.add("Mul", (2, 3, 5), x)
    norm = [draft.weight(n, 3, kind=k) for n, k in (
        ("weight", "parameter"), ("bias", "parameter"), ("mean", "buffer"), ("var", "buffer"),
    )]  # fmt: skip
    draft.graph.outputs = [draft.add("BatchNormalization", (2, 3, 5), scaled, *norm)]
    assert draft.folded(scaled) == {"weight": [1] * 3, "mean": [-1] * 3}


@pytest.mark.parametrize("op", ["Exp", "Gelu", "Softplus", "Tanh", "aten.unheard_of"])
def test_nothing_passes_through_what_is_not_homogeneous(op: str) -> None:
    draft = Draft()
    y = draft.add(op, (2, 4), draft.linear(draft.input(2, 3), "a", 4))
    scaled = draft.add("Mul", (2, 4), y)
    draft.graph.outputs = [draft.add(op, (2, 4), scaled)]
    assert draft.folded(scaled) is None


def test_masks_and_tables_of_the_program_are_not_scaled() -> None:
    draft = Draft()
    table = draft.weight("table", 2, 4, kind="buffer")
    scaled = draft.add("Mul", (2, 4), draft.add("Mul", (2, 4), draft.input(2, 4), table))
    draft.graph.outputs = [scaled]
    assert draft.folded(scaled) is None


def test_a_search_without_end_is_given_up() -> None:
    """Every layer leaves a choice, and each of them is wrong."""
    draft = Draft()
    first = x = draft.linear(draft.input(2, 4), "first", 4)
    for i in range(40):
        x = draft.linear(x, f"w{i}", 4)
    scaled = draft.add("Mul", (2, 4), x)
    again = [draft.add("Softmax", (4, 4), w, axis=0) for w in draft.graph.stored.values()]
    draft.graph.outputs = [scaled, first, *again]
    assert draft.folded(scaled) is None


@pytest.mark.parametrize(
    ("op", "attrs", "nonnegative"),
    [
        ("Relu", {}, True),
        ("Sigmoid", {}, True),
        ("Gelu", {}, False),
        ("Clip", {"min": 0, "max": 6}, True),
        ("Clip", {"min": -1, "max": 6}, False),
        ("Square", {"exponent": 2}, True),
        ("Square", {"exponent": 3}, False),
        ("Identity", {}, False),
    ],
)
def test_signs(op: str, attrs: dict[str, Any], nonnegative: bool) -> None:
    draft = Draft()
    y = draft.add(op, (2, 4), draft.linear(draft.input(2, 3), "a", 4), **attrs)
    shifted = draft.add("Add", (2, 4), y, scalar=-1.0)
    both = draft.add("Concat", (2, 8), y, y, axis=1)
    signs = Signs(draft.graph)
    assert signs.nonnegative(y) == signs.nonnegative(both) == nonnegative
    assert not signs.nonnegative(shifted)
