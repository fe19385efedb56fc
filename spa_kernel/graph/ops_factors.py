"""How a factor passes through operators that compute."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from spa_kernel.graph.factors import (
    FLOATS,
    Multiplied,
    Relation,
    Rule,
    Term,
    Tied,
    Unscaled,
    aligned,
)
from spa_kernel.graph.ir import Node
from spa_kernel.graph.ops_factor_moves import MOVES

# f(c x) = c**degree f(x) for positive c.
DEGREES = dict.fromkeys(("Abs", "Neg", "Relu", "LeakyRelu", "Dropout", "Identity", "Cast"), 1)
DEGREES |= {"Reciprocal": -1}
ROOTS = {"Sqrt": 2, "Rsqrt": -2}
SUMS = frozenset({"Add", "Sub", "Sum", "Max", "Min"})
REDUCED = {"ReduceSumSquare": 2}
REDUCED |= dict.fromkeys(
    ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceStd"), 1
)
POOLS = frozenset(
    {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "Resize"}
)
CHANNEL_NORMS = frozenset({"InstanceNormalization", "GroupNormalization"})
LAYER_NORMS = frozenset({"LayerNormalization", "RMSNormalization"})
FREE_OF_ZERO = (0, inf, -inf)
"""Numbers that a positive factor leaves as they are."""


def relations(node: Node) -> list[Relation] | None:
    """What a node says about exponents; ``None`` where no factor passes."""
    known = _relations(node)
    return None if known is None else list(known)


def _relations(node: Node) -> Iterator[Relation] | None:
    op, operands = node.op, [v for v in node.inputs if v is not None]
    if op == "ConstantOfShape":
        return constant(node)
    if not operands:
        return None
    if op in DEGREES or op in ROOTS or op == "Square":
        return unary(node)
    if op in SUMS:
        return None if node.attrs.get("scalar") else sums(node)
    if op in ("Mul", "Div"):
        return None if node.attrs.get("rounding_mode") else iter([multiplied(node)])
    if op in MOVES:
        return MOVES[op](node)
    if op in REDUCED:
        return reduced(node)
    if op in POOLS:
        return iter([Tied(node.outputs[0], operands[0], ((0, 0), (1, 1)))])
    if op in CHANNEL_NORMS or op in LAYER_NORMS:
        return norm(node)
    return OTHERS[op](node) if op in OTHERS else None


def unary(node: Node) -> Iterator[Relation] | None:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    if out.dtype not in FLOATS:
        return None
    if node.op == "Square":
        power = node.attrs.get("exponent", 2)
        if power == 0.5:
            return iter([Tied(x, out, aligned(x, out), 2)])
        whole = power > 0 and float(power).is_integer()
        return iter([Tied(out, x, aligned(out, x), int(power))]) if whole else None
    if node.op in ROOTS:
        return iter([Tied(x, out, aligned(x, out), ROOTS[node.op])])
    return iter([Tied(out, x, aligned(out, x), DEGREES[node.op])])


def sums(node: Node) -> Iterator[Relation]:
    out = node.outputs[0]
    for slot, value in enumerate(node.inputs):
        if value is not None:
            yield Tied(out, value, aligned(out, value), slot=slot)


def multiplied(node: Node) -> Multiplied:
    out = node.outputs[0]
    letters = tuple(f"axis {i}" for i in range(out.ndim))
    terms = [Term(out, -1, letters, out.shape)]
    for i, value in enumerate(v for v in node.inputs if v is not None):
        # Axes of size 1 are stretched: there the exponent does not depend on the index.
        shift = out.ndim - value.ndim
        own = tuple(
            letters[shift + j] if n == out.shape[shift + j] else f"stretched {i} {j}"
            for j, n in enumerate(value.shape)
        )
        terms.append(Term(value, -1 if node.op == "Div" and i else 1, own, value.shape))
    return Multiplied(tuple(terms))


def reduced(node: Node) -> Iterator[Relation]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    gone, pairs, at = node.attrs["axes"], [], 0
    for axis in range(x.ndim):
        if axis not in gone:
            pairs.append((at, axis))
        at += 1 if axis not in gone or node.attrs["keepdims"] else 0
    values = node.outputs if node.op == "ReduceStd" else (out,)
    for value in values:
        yield Tied(value, x, tuple(pairs), REDUCED[node.op])


def norm(node: Node) -> Iterator[Relation]:
    """The statistics see the input as it was; the affine part takes the factor."""
    x, out, weights = node.inputs[0], node.outputs[0], [v for v in node.inputs[1:] if v is not None]
    assert x is not None
    yield Unscaled(x)
    if (node.inputs[1:] and node.inputs[1] is None) or not weights:
        yield Unscaled(out)
    for value in weights[:2]:
        channels = node.op in CHANNEL_NORMS
        yield Tied(out, value, ((1, 0),) if channels else aligned(out, value))
    for value in weights[2:]:
        yield Unscaled(value)


def batch_norm(node: Node) -> Iterator[Relation] | None:
    """``(x - mean) * weight / sqrt(var + eps) + bias``: all but the variance may be scaled."""
    x, weight, bias, mean, var = (*node.inputs, None, None, None, None)[:5]
    out = node.outputs[0]
    if x is None or weight is None or mean is None or var is None:
        return None
    axes = tuple(f"axis {i}" for i in range(x.ndim))
    found: list[Relation] = [
        Multiplied(
            (
                Term(out, -1, axes, out.shape),
                Term(x, 1, axes, x.shape),
                Term(weight, 1, axes[1:2], weight.shape),
            )
        ),
        Tied(x, mean, ((1, 0),)),
        Unscaled(var),
    ]
    if bias is not None:
        found.append(Tied(out, bias, ((1, 0),)))
    return iter(found)


def weight_norm(node: Node) -> Iterator[Relation]:
    v, g, axis = node.inputs[0], node.inputs[1], node.attrs["axis"]
    assert v is not None and g is not None
    yield Unscaled(v)
    yield Tied(node.outputs[0], g, ((axis, axis),))


def matmul(node: Node) -> Iterator[Relation]:
    a, b, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    rows, columns = (["row"] if a.ndim > 1 else []), (["column"] if b.ndim > 1 else [])
    batch = [f"batch {i}" for i in range(out.ndim - len(rows) - len(columns))]
    sizes = out.shape[: len(batch)]
    terms = [Term(out, -1, (*batch, *rows, *columns), out.shape)]
    for value, tail in ((a, [*rows, "inner"]), (b, ["inner", *columns])):
        own = value.ndim - len(tail)
        names = [
            name if value.shape[i] == size else f"stretched {value.name} {i}"
            for i, (name, size) in enumerate(
                zip(batch[len(batch) - own :], sizes[len(batch) - own :], strict=True)
            )
        ]
        terms.append(Term(value, 1, (*names, *tail), value.shape))
    yield Multiplied(tuple(terms))


def grouped_matmul(node: Node) -> Iterator[Relation]:
    """Which matrix a row meets is decided at run time, so all of them take the same."""
    x, weight, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and weight is not None
    yield Multiplied(
        (
            Term(out, -1, ("row", "column"), out.shape),
            Term(x, 1, ("row", "inner"), x.shape),
            Term(weight, 1, ("matrix", "inner", "column"), weight.shape),
        )
    )
    for table in node.inputs[2:]:
        if table is not None:
            yield Unscaled(table)


def gemm(node: Node) -> Iterator[Relation]:
    a, b, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    left, right = ("row", "inner"), ("inner", "column")
    yield Multiplied(
        (
            Term(out, -1, ("row", "column"), out.shape),
            Term(a, 1, left[::-1] if node.attrs.get("transA", 0) else left, a.shape),
            Term(b, 1, right[::-1] if node.attrs.get("transB", 0) else right, b.shape),
        )
    )
    if (bias := (*node.inputs, None)[2]) is not None:
        yield Tied(out, bias, aligned(out, bias), slot=2)


def einsum(node: Node) -> Iterator[Relation] | None:
    equation = node.attrs["equation"].replace(" ", "")
    if "." in equation or "->" not in equation:
        return None
    left, _, right = equation.partition("->")
    terms = [Term(node.outputs[0], -1, tuple(right), node.outputs[0].shape)]
    operands = [v for v in node.inputs if v is not None]
    for value, letters in zip(operands, left.split(","), strict=True):
        if len(set(letters)) < len(letters):
            return None
        terms.append(Term(value, 1, tuple(letters), value.shape))
    product: Relation = Multiplied(tuple(terms))
    return iter([product])


def convolution(node: Node) -> Iterator[Relation]:
    """Positions are mixed; channels of one group are contracted."""
    x, weight = node.inputs[0], node.inputs[1]
    out = node.outputs[0]
    assert x is not None and weight is not None
    groups = node.attrs.get("group", 1)
    tail = range(2, x.ndim)
    ins, outs = x.shape[1] // groups, out.shape[1] // groups
    forward = node.op == "Conv"
    kernel = (groups, *((outs, ins) if forward else (ins, outs)), *weight.shape[2:])
    channels = ("out", "in") if forward else ("in", "out")
    yield Multiplied(
        (
            Term(
                out,
                -1,
                ("batch", "group", "out", *(f"position out {i}" for i in tail)),
                (out.shape[0], groups, outs, *out.shape[2:]),
            ),
            Term(
                x,
                1,
                ("batch", "group", "in", *(f"position in {i}" for i in tail)),
                (x.shape[0], groups, ins, *x.shape[2:]),
            ),
            Term(weight, 1, ("group", *channels, *(f"kernel {i}" for i in tail)), kernel),
        )
    )
    if (bias := (*node.inputs, None)[2]) is not None:
        yield Tied(out, bias, ((1, 0),), slot=2)


def where(node: Node) -> Iterator[Relation] | None:
    """Both branches follow; a number in place of one must be its own multiple."""
    out, (condition, *branches) = node.outputs[0], node.inputs
    value = node.attrs.get("value")
    number = isinstance(value, int | float) and value in FREE_OF_ZERO
    if condition is None or condition.dtype != "bool" or not (len(branches) == 2 or number):
        return None
    return iter([Tied(out, v, aligned(out, v)) for v in branches if v is not None])


def along(node: Node) -> Iterator[Relation]:
    """Entries along some axes are mixed."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    mixed = (node.attrs["axis"],) if node.op == "CumSum" else node.attrs["axes"]
    yield Tied(out, x, tuple((i, i) for i in range(x.ndim) if i not in mixed))


def clip(node: Node) -> Iterator[Relation] | None:
    """Only ``max(x, 0)`` and ``min(x, 0)`` let a positive factor pass."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    limits = node.attrs.get("min"), node.attrs.get("max")
    plain = len(node.inputs) == 1 and limits in ((0, None), (None, 0))
    return iter([Tied(out, x, aligned(out, x))]) if plain else None


def prelu(node: Node) -> Iterator[Relation]:
    x, slope, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and slope is not None
    yield Tied(out, x, aligned(out, x))
    yield Unscaled(slope)


def constant(node: Node) -> Iterator[Relation]:
    """Zeros are their own multiples."""
    out = node.outputs[0]
    if node.attrs["value"]:
        names = tuple(f"axis {i}" for i in range(out.ndim))
        yield Multiplied((Term(out, -1, names, out.shape),))


def blank(node: Node) -> Iterator[Relation]:
    """Only the shape of the input counts."""
    yield Unscaled(node.outputs[0])


def nothing(node: Node) -> Iterator[Relation]:
    """It computes nothing that a factor could change."""
    return iter(())


OTHERS: dict[str, Rule] = {
    "BatchNormalization": batch_norm, "WeightNormalization": weight_norm, "MatMul": matmul,
    "Gemm": gemm, "GroupedMatMul": grouped_matmul, "Einsum": einsum,
    "Conv": convolution, "ConvTranspose": convolution, "Where": where, "CumSum": along,
    "Roll": along, "Clip": clip, "PRelu": prelu,
    "OnesLike": blank, "ZerosLike": blank, "KernelAxes": nothing,
}  # fmt: skip
