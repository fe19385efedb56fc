"""Each operator's relation against the operator itself.

A node is built with random small shapes, coupled, and a random choice that its statements allow
is made. Cutting the operands must then give the cut output, entry by entry.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from spa_kernel.coupling.result import Coupling
from spa_kernel.coupling.solver import Solver, finish
from spa_kernel.graph import OPERATORS, Graph, Node, Value
from spa_kernel.graph.operators import statements
from spa_kernel.graph.ops_shape import aligned_blocks

SIZE = st.integers(1, 4)
Arrays = list[torch.Tensor]
Function = Callable[..., torch.Tensor | tuple[torch.Tensor, ...]]


def couple(op: str, arrays: Arrays, outs: Arrays, attrs: dict[str, Any]) -> tuple[Node, Coupling]:
    """One node whose operands are all free to be cut."""
    inputs = tuple(Value(f"x{i}", tuple(a.shape), "parameter") for i, a in enumerate(arrays))
    outputs = tuple(Value(f"y{i}", tuple(a.shape)) for i, a in enumerate(outs))
    node = Node(op, inputs, outputs, attrs, "here")
    # Not listed as outputs of the network: those are frozen.
    solver = Solver(Graph(nodes=[node], inputs=[], stored={v.name: v for v in inputs}))
    solver.run()
    return node, finish(solver)


def cut(array: torch.Tensor, value: Value, coupling: Coupling, gone: np.ndarray) -> torch.Tensor:
    for axis in range(value.ndim):
        keep = torch.from_numpy(coupling.kept((value, axis), gone))
        array = array[(slice(None),) * axis + (keep,)]
    return array


def check(
    data: st.DataObject,
    op: str,
    function: Function,
    arrays: Arrays,
    after: Callable[[list[Value], Coupling, np.ndarray], Function] | None = None,
    **attrs: Any,
) -> None:
    """``after``: the function of the pruned network, where its literals are other ones."""
    result = function(*arrays)
    outs = list(result) if isinstance(result, tuple) else [result]
    node, coupling = couple(op, arrays, outs, attrs)
    free = np.flatnonzero(~coupling.frozen)
    gone = np.zeros(coupling.count, dtype=bool)
    gone[free] = data.draw(st.lists(st.booleans(), min_size=len(free), max_size=len(free)))
    values = [v for v in (*node.inputs, *node.outputs) if v is not None]
    assume(all(0 not in coupling.shape(v, gone) for v in values))
    masked = []
    for array, value in zip(arrays, node.inputs, strict=True):
        array = array.clone()
        for axis in range(array.ndim):
            drop = np.flatnonzero(~coupling.kept((value, axis), gone))
            array.index_fill_(axis, torch.from_numpy(drop), 0)
        masked.append(array)
    wanted = function(*masked)
    small = [cut(a, v, coupling, gone) for a, v in zip(arrays, node.inputs, strict=True)]
    run = function if after is None else after(values, coupling, gone)
    got = run(*small)
    pairs = zip(*((r if isinstance(r, tuple) else (r,)) for r in (wanted, got)), strict=True)
    for (whole, part), value in zip(pairs, node.outputs, strict=True):
        expected = cut(whole, value, coupling, gone)
        assert part.shape == expected.shape
        torch.testing.assert_close(part, expected, rtol=1e-9, atol=1e-9)


def array(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def draw_shape(data: st.DataObject, low: int = 1, high: int = 4) -> list[int]:
    return data.draw(st.lists(SIZE, min_size=low, max_size=high))


@given(st.data())
def test_elementwise_with_broadcasting(data: st.DataObject) -> None:
    shape = draw_shape(data)
    ones = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    skip = data.draw(st.integers(0, len(shape) - 1))
    other = [1 if one else n for n, one in zip(shape, ones, strict=True)][skip:]
    op, function = data.draw(
        st.sampled_from([("Add", torch.add), ("Mul", torch.mul), ("Max", torch.maximum)])
    )
    pair = [array(*shape), array(*other)]
    if data.draw(st.booleans()):
        pair.reverse()
    check(data, op, function, pair)


UNARY: dict[str, Function] = {
    "Relu": torch.relu, "Neg": torch.neg, "Gelu": F.gelu, "Silu": F.silu, "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid, "Exp": torch.exp, "Cos": torch.cos, "Softplus": F.softplus,
    "Identity": torch.clone, "Abs": torch.abs, "Elu": F.elu, "HardSigmoid": F.hardsigmoid,
    "HardSwish": F.hardswish, "Mish": F.mish, "LeakyRelu": F.leaky_relu, "Selu": F.selu,
    "Celu": F.celu, "Erf": torch.erf, "Sin": torch.sin, "Tan": torch.tan, "Atan": torch.atan,
    "Sqrt": lambda x: x.abs().sqrt(), "Floor": torch.floor, "Ceil": torch.ceil,
    "Round": torch.round, "Sign": torch.sign, "Sinh": torch.sinh, "Asinh": torch.asinh,
    "Softsign": F.softsign, "Shrink": F.softshrink, "LogSigmoid": F.logsigmoid,
    "Trunc": torch.trunc, "Square": torch.square, "Cosh": torch.cosh, "Log1p": torch.log1p,
}  # fmt: skip


@pytest.mark.parametrize("op", sorted(UNARY))
def test_zero_stays_zero_where_the_registry_says_so(op: str) -> None:
    """A removed channel that was zero is taken for zero behind these; at 0 they must be."""
    rule = OPERATORS[op].zero
    node = Node(op, (Value("x", (3,)),), (Value("y", (3,)),))
    rule = rule(node) if callable(rule) else rule
    at_zero = float(UNARY[op](torch.zeros(1, dtype=torch.float64)))
    if rule != "never":
        assert at_zero == 0
    else:
        # log(1 + 0) is zero as well: it is allowed to be careful.
        assert at_zero != 0 or op == "Log1p"


@given(st.data())
def test_gemm(data: st.DataObject) -> None:
    m, k, n = (data.draw(SIZE) for _ in range(3))
    ta, tb = data.draw(st.booleans()), data.draw(st.booleans())
    bias = data.draw(st.sampled_from([(n,), (1, n), (m, n), (m, 1), (1,), ()]))
    a, b = array(*((k, m) if ta else (m, k))), array(*((n, k) if tb else (k, n)))
    check(
        data, "Gemm", lambda a, b, c: (a.T if ta else a) @ (b.T if tb else b) + c,
        [a, b, array(*bias)], transA=int(ta), transB=int(tb),
    )  # fmt: skip


@given(st.data())
def test_matmul(data: st.DataObject) -> None:
    m, k, n = (data.draw(SIZE) for _ in range(3))
    batch = data.draw(st.lists(SIZE, max_size=2))
    a_batch = batch[data.draw(st.integers(0, len(batch))) :]
    left = [k] if data.draw(st.booleans()) else [*a_batch, m, k]
    right = [k] if data.draw(st.booleans()) else [*batch, k, n]
    check(data, "MatMul", torch.matmul, [array(*left), array(*right)])


@given(st.data())
def test_einsum(data: st.DataObject) -> None:
    """Random letters; some are summed over, some are kept, none is repeated in one operand."""
    sizes = {letter: data.draw(SIZE) for letter in "abcde"}
    terms = [
        "".join(data.draw(st.permutations("abcde"))[: data.draw(st.integers(1, 3))])
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    used = sorted(set("".join(terms)))
    kept = [c for c in used if data.draw(st.booleans())]
    equation = f"{','.join(terms)}->{''.join(data.draw(st.permutations(kept)))}"
    arrays = [array(*(sizes[c] for c in term)) for term in terms]
    check(data, "Einsum", lambda *x: torch.einsum(equation, *x), arrays, equation=equation)


@given(st.data())
def test_convolutions(data: st.DataObject) -> None:
    """With groups; whole groups go, or the same channels of every group."""
    transposed = data.draw(st.booleans())
    groups, i, o = data.draw(st.integers(1, 3)), data.draw(SIZE), data.draw(SIZE)
    spatial = data.draw(st.integers(1, 2))
    name = f"conv{'_transpose' if transposed else ''}{spatial}d"
    call: Any = getattr(F, name)
    kernel = [data.draw(st.integers(1, 2)) for _ in range(spatial)]
    weight = (groups * i, o, *kernel) if transposed else (groups * o, i, *kernel)
    arrays = [array(2, groups * i, *[3] * spatial), array(*weight), array(groups * o)]
    virtual = Value("groups", (groups,), "virtual")
    attrs: dict[str, Any] = {"group": groups} | ({"groups": virtual} if groups > 1 else {})

    def after(_: Any, coupling: Coupling, gone: np.ndarray) -> Function:
        left = coupling.size((virtual, 0), gone) if groups > 1 else 1
        return lambda x, w, b: call(x, w, b, groups=left)

    check(
        data, "ConvTranspose" if transposed else "Conv",
        lambda x, w, b: call(x, w, b, groups=groups), arrays, after, **attrs,
    )  # fmt: skip


def sizes_after(values: list[Value], coupling: Coupling, gone: np.ndarray) -> Function:
    shape = coupling.shape(values[-1], gone)
    return lambda x: x.reshape(shape)


@given(st.data())
def test_reshape(data: st.DataObject) -> None:
    """Random factors, grouped in two random ways; size-1 axes anywhere."""
    factors = draw_shape(data, 1, 5)

    def grouped() -> list[int]:
        cuts = sorted(data.draw(st.sets(st.integers(1, len(factors) - 1)))) if factors[1:] else []
        parts = [
            int(np.prod(factors[a:b])) for a, b in itertools.pairwise([0, *cuts, len(factors)])
        ]
        for _ in range(data.draw(st.integers(0, 2))):
            parts.insert(data.draw(st.integers(0, len(parts))), 1)
        return parts

    old, new = grouped(), grouped()
    check(data, "Reshape", lambda x: x.reshape(new), [array(*old)], sizes_after)


@given(st.lists(SIZE, min_size=1, max_size=5), st.data())
def test_blocks_of_a_reshape_are_independent(factors: list[int], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(factors)))))
    new = [int(np.prod(factors[a:b])) for a, b in itertools.pairwise([0, *cuts, len(factors)])]
    blocks = list(aligned_blocks(tuple(factors), tuple(new)))
    for xs, ys in blocks:
        assert np.prod([factors[i] for i in xs]) == np.prod([new[j] for j in ys])
    assert sorted(i for xs, _ in blocks for i in xs) == [i for i, n in enumerate(factors) if n > 1]
    assert sorted(j for _, ys in blocks for j in ys) == [j for j, n in enumerate(new) if n > 1]


@given(st.data())
def test_transpose(data: st.DataObject) -> None:
    shape = draw_shape(data)
    perm = data.draw(st.permutations(range(len(shape))))
    check(data, "Transpose", lambda x: x.permute(perm), [array(*shape)], perm=list(perm))


@given(st.data())
def test_concat(data: st.DataObject) -> None:
    shape = draw_shape(data)
    axis = data.draw(st.integers(0, len(shape) - 1))
    arrays = []
    for _ in range(data.draw(st.integers(1, 3))):
        shape[axis] = data.draw(SIZE)
        arrays.append(array(*shape))
    check(data, "Concat", lambda *xs: torch.cat(xs, axis), arrays, axis=axis)


@given(st.data())
def test_split(data: st.DataObject) -> None:
    shape = draw_shape(data)
    axis = data.draw(st.integers(0, len(shape) - 1))
    sizes = draw_shape(data, 1, 3)
    shape[axis] = sum(sizes)

    def after(values: list[Value], coupling: Coupling, gone: np.ndarray) -> Function:
        new = [coupling.size((v, axis), gone) for v in values[1:]]
        return lambda x: x.split(new, axis)

    check(data, "Split", lambda x: x.split(sizes, axis), [array(*shape)], after, axis=axis)


@given(st.data())
def test_slice(data: st.DataObject) -> None:
    """Any index map that names each index once: stretches, flips, shuffles."""
    shape = draw_shape(data)
    axis = data.draw(st.integers(0, len(shape) - 1))
    order = data.draw(st.permutations(range(shape[axis])))
    index = np.array(order[: data.draw(st.integers(1, shape[axis]))])

    def after(values: list[Value], coupling: Coupling, gone: np.ndarray) -> Function:
        keep = coupling.kept((values[0], axis), gone)
        place = np.cumsum(keep) - 1
        new = torch.from_numpy(place[index[keep[index]]])
        return lambda x: x.index_select(axis, new)

    check(
        data, "Slice", lambda x: x.index_select(axis, torch.from_numpy(index)), [array(*shape)],
        after, index={axis: index}, step=1, borders=[],
    )  # fmt: skip


@given(st.data())
def test_expand(data: st.DataObject) -> None:
    shape = draw_shape(data)
    small = [1 if data.draw(st.booleans()) else n for n in shape]
    small = small[data.draw(st.integers(0, len(shape) - 1)) :]

    def after(values: list[Value], coupling: Coupling, gone: np.ndarray) -> Function:
        new = coupling.shape(values[-1], gone)
        return lambda x: x.expand(new)

    check(data, "Expand", lambda x: x.expand(shape), [array(*small)], after)


@given(st.data())
def test_tile(data: st.DataObject) -> None:
    shape = draw_shape(data)
    repeats = data.draw(st.lists(st.integers(1, 3), min_size=len(shape), max_size=len(shape)))
    check(data, "Tile", lambda x: x.repeat(repeats), [array(*shape)], repeats=repeats)


REDUCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "ReduceSum": torch.sum, "ReduceMean": torch.mean, "ReduceMax": torch.amax,
    "ReduceMin": torch.amin, "ReduceVar": torch.var, "ReduceLogSumExp": torch.logsumexp,
    "ReduceL2": torch.linalg.vector_norm, "ReduceL1": lambda x, dim, keepdim: x.abs().sum(
        dim, keepdim=keepdim),
}  # fmt: skip


@given(st.data())
def test_reductions(data: st.DataObject) -> None:
    op = data.draw(st.sampled_from(sorted(REDUCTIONS)))
    shape = [n + 1 for n in draw_shape(data)]
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    keep = data.draw(st.booleans())
    check(
        data, op, lambda x: REDUCTIONS[op](x, dim=axes, keepdim=keep), [array(*shape)],
        axes=axes, keepdims=keep,
    )  # fmt: skip


@given(st.data())
def test_softmax_and_running_sums(data: st.DataObject) -> None:
    op, function = data.draw(
        st.sampled_from([("Softmax", torch.softmax), ("CumSum", torch.cumsum)])
    )
    shape = draw_shape(data)
    axis = data.draw(st.integers(0, len(shape) - 1))
    check(data, op, lambda x: function(x, axis), [array(*shape)], axis=axis)


@given(st.data())
def test_batch_norm(data: st.DataObject) -> None:
    c = data.draw(SIZE)
    check(
        data, "BatchNormalization", lambda x, w, b, mean, var: F.batch_norm(x, mean, var, w, b),
        [array(2, c, 3), array(c), array(c), array(c), array(c).abs() + 0.5],
    )  # fmt: skip


@given(st.data())
def test_layer_norm_couples_its_scale(data: st.DataObject) -> None:
    """The affine part; what the statistics become is another matter."""
    shape = draw_shape(data)
    axis = data.draw(st.integers(0, len(shape) - 1))
    check(
        data, "LayerNormalization", lambda x, w, b: x * w + b,
        [array(*shape), array(*shape[axis:]), array(*shape[axis:])], axis=axis,
    )  # fmt: skip


@given(st.data())
def test_group_norm(data: st.DataObject) -> None:
    """Whole groups go, or equally many of each group; the statistics are another matter."""
    groups, inner = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    virtual = Value("groups", (groups,), "virtual")
    c = groups * inner
    _, coupling = couple(
        "GroupNormalization", [array(2, c, 2), array(c), array(c)], [array(2, c, 2)],
        {"groups": virtual, "num_groups": groups},
    )  # fmt: skip
    gone = np.array(data.draw(st.lists(st.booleans(), min_size=coupling.count,
                                       max_size=coupling.count)), dtype=bool)  # fmt: skip
    gone &= ~coupling.frozen
    out = next(v for v, a in coupling.axes if v.name == "y0") if c > 1 else None
    if out is not None:
        left = coupling.kept((out, 1), gone).reshape(groups, inner)
        full = left[left.any(axis=1)]
        assert (full == full[:1]).all()
        if groups > 1:
            assert coupling.size((virtual, 0), gone) == left.any(axis=1).sum() or not left.any()


@given(st.data())
def test_pixel_shuffle(data: st.DataObject) -> None:
    c, block = data.draw(SIZE), data.draw(st.integers(1, 2))
    x = array(2, c * block * block, 2, 2)
    check(
        data, "DepthToSpace", lambda x: F.pixel_shuffle(x, block), [x], blocksize=block, mode="CRD"
    )


@given(st.data())
def test_pooling(data: st.DataObject) -> None:
    op, function = data.draw(
        st.sampled_from([("MaxPool", F.max_pool2d), ("AveragePool", F.avg_pool2d)])
    )
    check(data, op, lambda x: function(x, 2), [array(data.draw(SIZE), data.draw(SIZE), 4, 4)])


@given(st.data())
def test_pad(data: st.DataObject) -> None:
    shape = draw_shape(data)
    pads = [(data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))) for _ in shape]
    flat = [n for pair in reversed(pads) for n in pair]
    check(data, "Pad", lambda x: F.pad(x, flat), [array(*shape)], pads=pads)


@pytest.mark.parametrize("table", ["known", "stored"])
def test_gather(table: str) -> None:
    """A table that the program holds says where each index comes from; others look up."""
    index = np.array([2, 0, 3])
    data = Value("data", (5, 4), "parameter")
    kind: Any = "constant" if table == "known" else "buffer"
    indices = Value("table", (3,), kind, "int64", index)
    out = Value("out", (3, 4))
    node = Node("Gather", (data, indices), (out,), {"axis": 0})
    solver = Solver(Graph(nodes=[node]))
    solver.run()
    coupling = finish(solver)
    assert np.array_equal(coupling.axes[out, 1], coupling.axes[data, 1])
    assert not coupling.frozen[coupling.axes[data, 1]].any()
    if table == "known" and (data, 0) in coupling.axes and (out, 0) in coupling.axes:
        assert np.array_equal(coupling.axes[out, 0], coupling.axes[data, 0][index])


def test_an_unknown_operator_freezes_all_that_it_touches() -> None:
    _, coupling = couple("aten.mystery", [array(3, 4), array(2)], [array(3, 5)], {})
    assert coupling.frozen.all()
    assert all("aten.mystery" in reason for reason in coupling.reasons.values())


def test_every_operator_answers_for_its_flops_in_the_axes_it_touches() -> None:
    x, w, y = Value("x", (2, 3)), Value("w", (4, 3), "parameter"), Value("y", (2, 4))
    node = Node("Gemm", (x, w), (y,), {"transB": 1})
    flops = OPERATORS["Gemm"].flops
    assert flops is not None
    constant, axes = flops(node)
    assert constant * np.prod([v.shape[a] for v, a in axes]) == 2 * 2 * 3 * 4
    assert list(statements(node))
