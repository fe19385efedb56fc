"""A list of numbers becomes an ONNX model: operators on a growing set of tensors."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .network import WISHES

SIDE, LENGTH = 6, 5
OPSETS = 9, 11, 12, 13, 15, 17, 18, 20
Shape = tuple[int, ...]
Part = Callable[["Maker", str], "str | None"]
IMAGES: dict[str, Part] = {}
TOKENS: dict[str, Part] = {}


def part(*forms: dict[str, Part]) -> Callable[[Part], Part]:
    """Register what can be done with images (N, C, H, W) or tokens (N, T, D)."""

    def register(function: Part) -> Part:
        for form in forms:
            form[function.__name__] = function
        return function

    return register


@dataclass
class Maker:
    """A graph that is being written; each value's shape for a batch of 2 is known."""

    draw: random.Random
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: dict[str, np.ndarray] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    asked: int = 0

    def add(self, op: str, inputs: list[str], shape: Shape, count: int = 1, **attrs: Any) -> str:
        """An operator; the name of its first output."""
        number = len(self.nodes)
        names = [f"v{number}"] + [f"v{number}_{i}" for i in range(1, count)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"n{number}", **attrs))
        for name in names:
            self.shapes[name] = shape
        return names[0]

    def weight(self, *shape: int) -> str:
        rng = np.random.default_rng(self.draw.randrange(2**32))
        scale = np.sqrt(max(np.prod(shape[1:]), 1))
        array = rng.standard_normal(shape) / scale
        if len(shape) == 1:
            array = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)
        return self.constant(array.astype(np.float32))

    def positive(self, n: int) -> str:
        rng = np.random.default_rng(self.draw.randrange(2**32))
        return self.constant(rng.uniform(0.5, 1.5, n).astype(np.float32))

    def constant(self, content: Any) -> str:
        array = np.asarray(content)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"w{len(self.stored) + len(self.nodes)}"
        if self.draw.random() < 0.15:
            value = numpy_helper.from_array(array)
            self.nodes.append(helper.make_node("Constant", [], [name], value=value))
        else:
            self.stored[name] = array
        return name

    def axes(self, op: str, x: str, shape: Shape, axes: list[int], since: int, **attrs: Any) -> str:
        """An operator whose axes were an attribute before an operator set."""
        if self.opset < since:
            return self.add(op, [x], shape, axes=axes, **attrs)
        return self.add(op, [x, self.constant(np.array(axes, np.int64))], shape, **attrs)

    def reshape(self, x: str, *shape: int) -> str:
        """To fixed sizes, or with sizes that the model works out."""
        old, way = self.shapes[x], self.draw.randrange(4)
        out = tuple(n for n in shape)
        if way == 0:
            entries = [-1 if i == len(shape) - 1 else n for i, n in enumerate(shape)]
            return self.add("Reshape", [x, self.constant(np.array(entries, np.int64))], out)
        if way == 1 and old[0] == shape[0]:
            s = self.add("Shape", [x], (len(old),))
            n = self.add("Gather", [s, self.constant(np.array([0]))], (1,))
            rest = self.constant(np.array(shape[1:], np.int64))
            to = self.add("Concat", [n, rest], (len(shape),), axis=0)
            return self.add("Reshape", [x, to], out)
        if way == 2 and old[0] == shape[0]:
            return self.add("Reshape", [x, self.constant(np.array([0, *shape[1:]]))], out)
        return self.add("Reshape", [x, self.constant(np.array(shape, np.int64))], out)


@part(IMAGES)
def conv(m: Maker, x: str) -> str:
    n, c, h, w = m.shapes[x]
    groups = m.draw.choice([g for g in (1, 1, 1, 2, c) if c % g == 0])
    out = groups * m.draw.choice((1, 2) if groups > 2 else (2, 3, 4))
    inputs = [x, m.weight(out, c // groups, 3, 3)] + ([m.weight(out)] * m.draw.randrange(2))
    return m.add("Conv", inputs, (n, out, h, w), pads=[1] * 4, group=groups)


@part(IMAGES)
def conv_transpose(m: Maker, x: str) -> str | None:
    n, c, h, w = m.shapes[x]
    if h > SIDE:
        return None
    groups = m.draw.choice([g for g in (1, 2, c) if c % g == 0])
    each = m.draw.choice((1, 2, 3))
    inputs = [x, m.weight(c, each, 2, 2), m.weight(groups * each)]
    return m.add("ConvTranspose", inputs, (n, groups * each, 2 * h, 2 * w),
                 strides=[2, 2], group=groups)  # fmt: skip


@part(IMAGES)
def norm(m: Maker, x: str) -> str:
    shape = m.shapes[x]
    c = shape[1]
    kind = m.draw.randrange(4)
    if kind == 0:
        return m.add("InstanceNormalization", [x, m.weight(c), m.weight(c)], shape)
    if kind == 1:
        x = m.add("Mul", [x, m.weight(c, 1, 1)], shape)
        return m.add("Add", [x, m.weight(c, 1, 1)], shape)
    parts = [m.weight(c), m.weight(c), m.weight(c), m.positive(c)]
    return m.add("BatchNormalization", [x, *parts], shape)


@part(IMAGES, TOKENS)
def unary(m: Maker, x: str) -> str:
    ops = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Softplus", "Exp", "HardSigmoid",
           "Abs", "Neg", "Identity", "Erf", "Softsign", "ThresholdedRelu", "Cos")  # fmt: skip
    op = m.draw.choice(ops)
    if op == "Exp":
        x = m.add("Tanh", [x], m.shapes[x])
    return m.add(op, [x], m.shapes[x])


@part(IMAGES, TOKENS)
def scalar(m: Maker, x: str) -> str:
    op = m.draw.choice(("Add", "Mul", "Div", "Sub"))
    number = m.constant(np.float32(m.draw.choice((0.5, 2.0, 1.5))))
    pair = [x, number] if m.draw.random() < 0.7 or op == "Div" else [number, x]
    return m.add(op, pair, m.shapes[x])


@part(IMAGES, TOKENS)
def merge(m: Maker, x: str) -> str | None:
    same = [n for n in (*m.images, *m.tokens) if m.shapes[n] == m.shapes[x]]
    op, other = m.draw.choice(("Add", "Mul", "Sub", "Max", "Min", "Mean")), m.draw.choice(same)
    return m.add(op, [x, other], m.shapes[x])


@part(IMAGES, TOKENS)
def concat(m: Maker, x: str) -> str | None:
    shape = m.shapes[x]
    axis = 1 if len(shape) == 4 else 2
    rest = shape[:axis], shape[axis + 1 :]
    same = [n for n in (*m.images, *m.tokens)
            if (m.shapes[n][:axis], m.shapes[n][axis + 1 :]) == rest
            and m.shapes[n][axis] + shape[axis] <= 16]  # fmt: skip
    if not same:
        return None
    other = m.draw.choice(same)
    total = shape[axis] + m.shapes[other][axis]
    return m.add("Concat", [x, other], (*shape[:axis], total, *shape[axis + 1 :]), axis=axis)


@part(IMAGES, TOKENS)
def split(m: Maker, x: str) -> str | None:
    shape = m.shapes[x]
    axis = 1 if len(shape) == 4 else 2
    if shape[axis] % 2:
        return None
    half = (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])
    sizes = {} if m.opset < 18 else {"num_outputs": 2}
    first = m.add("Split", [x], half, 2, axis=axis, **sizes)
    pair = [first, f"{first}_1"]
    if m.draw.random() < 0.5:
        return m.add(m.draw.choice(("Mul", "Add")), pair, half)
    pair[1] = m.add("Relu", [pair[1]], half)
    return m.add("Concat", m.draw.choice((pair, pair[::-1])), shape, axis=axis)


@part(IMAGES, TOKENS)
def slice_(m: Maker, x: str) -> str | None:
    shape = m.shapes[x]
    axis = m.draw.randrange(1, len(shape))
    if shape[axis] < 3:
        return None
    step = m.draw.choice((1, 1, 2, -1)) if m.opset >= 10 else 1
    start, end = (1, shape[axis]) if step > 0 else (-1, -(2**31))
    length = len(range(shape[axis])[slice(start, end if step > 0 else None, step)])
    out = (*shape[:axis], length, *shape[axis + 1 :])
    if m.opset < 10:
        return m.add("Slice", [x], out, starts=[start], ends=[end], axes=[axis])
    each = [m.constant(np.array([n])) for n in (start, end, axis, step)]
    return m.add("Slice", [x, *each], out)


@part(IMAGES, TOKENS)
def gather(m: Maker, x: str) -> str:
    shape = m.shapes[x]
    axis = m.draw.randrange(1, len(shape))
    table = [m.draw.randrange(-shape[axis], shape[axis]) for _ in range(m.draw.randint(1, 6))]
    out = (*shape[:axis], len(table), *shape[axis + 1 :])
    return m.add("Gather", [x, m.constant(np.array(table))], out, axis=axis)


@part(IMAGES, TOKENS)
def pad(m: Maker, x: str) -> str | None:
    shape = m.shapes[x]
    axis = m.draw.randrange(1, len(shape))
    if shape[axis] > 10:
        return None
    pads = [0] * 2 * len(shape)
    pads[axis], pads[axis + len(shape)] = m.draw.choice(((1, 1), (0, 2), (2, 0)))
    out = (*shape[:axis], shape[axis] + 2, *shape[axis + 1 :])
    value = m.draw.choice((0.0, 0.0, 1.5))
    if m.opset < 11:
        return m.add("Pad", [x], out, pads=pads, value=value)
    return m.add("Pad", [x, m.constant(np.array(pads)), m.constant(np.float32(value))], out)


@part(IMAGES, TOKENS)
def reduced(m: Maker, x: str) -> str:
    """Statistics over an axis, put beside what they are of."""
    shape = m.shapes[x]
    axis = m.draw.randrange(1, len(shape))
    out = tuple(1 if i == axis else n for i, n in enumerate(shape))
    op = m.draw.choice(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceMin",
                        "ReduceSumSquare", "ReduceLogSumExp"))  # fmt: skip
    since = 13 if op == "ReduceSum" else 18
    found = m.axes(op, x, out, [axis], since)
    return m.add(m.draw.choice(("Add", "Sub", "Mul")), [x, found], shape)


@part(IMAGES, TOKENS)
def layer_norm(m: Maker, x: str) -> str:
    shape = m.shapes[x]
    axis = len(shape) - 1
    out = (*shape[:-1], 1)
    if m.opset >= 17 and m.draw.random() < 0.5:
        parts = [m.weight(shape[-1]), m.weight(shape[-1])]
        return m.add("LayerNormalization", [x, *parts], shape)
    mean = m.axes("ReduceMean", x, out, [axis], 18)
    d = m.add("Sub", [x, mean], shape)
    square = m.add("Pow", [d, m.constant(np.float32(2))], shape)
    var = m.axes("ReduceMean", square, out, [axis], 18)
    root = m.add("Sqrt", [m.add("Add", [var, m.constant(np.float32(1e-3))], out)], out)
    d = m.add("Div", [d, root], shape)
    return m.add("Mul", [d, m.weight(shape[-1])], shape)


@part(IMAGES, TOKENS)
def gelu(m: Maker, x: str) -> str:
    shape = m.shapes[x]
    e = m.add("Erf", [m.add("Div", [x, m.constant(np.float32(2**0.5))], shape)], shape)
    e = m.add("Mul", [x, m.add("Add", [e, m.constant(np.float32(1))], shape)], shape)
    return m.add("Mul", [e, m.constant(np.float32(0.5))], shape)


@part(IMAGES, TOKENS)
def softmax(m: Maker, x: str) -> str:
    return m.add("Softmax", [x], m.shapes[x], axis=len(m.shapes[x]) - 1)


@part(IMAGES)
def pool(m: Maker, x: str) -> str | None:
    n, c, h, w = m.shapes[x]
    if h < 3 or w < 3:
        return None
    op = m.draw.choice(("MaxPool", "AveragePool"))
    shape = (n, c, h - 1, w - 1)
    return m.add(op, [x], shape, kernel_shape=[2, 2])


@part(IMAGES)
def excite(m: Maker, x: str) -> str:
    n, c, h, w = m.shapes[x]
    g = m.add("GlobalAveragePool", [x], (n, c, 1, 1))
    g = m.add("Relu", [m.add("Conv", [g, m.weight(3, c, 1, 1)], (n, 3, 1, 1))], (n, 3, 1, 1))
    g = m.add("Sigmoid", [m.add("Conv", [g, m.weight(c, 3, 1, 1)], (n, c, 1, 1))], (n, c, 1, 1))
    return m.add("Mul", [x, g], (n, c, h, w))


@part(IMAGES)
def shuffle(m: Maker, x: str) -> str | None:
    n, c, h, w = m.shapes[x]
    if c % 2:
        return None
    x = m.reshape(x, n, 2, c // 2, h, w)
    x = m.add("Transpose", [x], (n, c // 2, 2, h, w), perm=[0, 2, 1, 3, 4])
    return m.reshape(x, n, c, h, w)


@part(IMAGES)
def to_space(m: Maker, x: str) -> str | None:
    n, c, h, w = m.shapes[x]
    if c % 4 == 0 and h <= SIDE:
        mode = {"mode": m.draw.choice(("DCR", "CRD"))} if m.opset >= 11 else {}
        return m.add("DepthToSpace", [x], (n, c // 4, 2 * h, 2 * w), blocksize=2, **mode)
    if h % 2 or w % 2 or c > 4:
        return None
    return m.add("SpaceToDepth", [x], (n, 4 * c, h // 2, w // 2), blocksize=2)


@part(IMAGES)
def channels_last(m: Maker, x: str) -> str:
    n, c, h, w = m.shapes[x]
    out = m.draw.choice((2, 4, 6))
    x = m.add("Transpose", [x], (n, h, w, c), perm=[0, 2, 3, 1])
    x = m.add("Add", [m.add("MatMul", [x, m.weight(c, out)], (n, h, w, out)), m.weight(out)],
              (n, h, w, out))  # fmt: skip
    return m.add("Transpose", [x], (n, out, h, w), perm=[0, 3, 1, 2])


@part(IMAGES)
def resize(m: Maker, x: str) -> str | None:
    n, c, h, w = m.shapes[x]
    if h > SIDE or m.opset < 11:
        return None
    scales = m.constant(np.array([1, 1, 2, 2], np.float32))
    empty = m.constant(np.zeros(0, np.float32))
    mode = m.draw.choice(("nearest", "linear"))
    return m.add("Resize", [x, empty, scales], (n, c, 2 * h, 2 * w), mode=mode)


@part(IMAGES)
def prelu(m: Maker, x: str) -> str:
    return m.add("PRelu", [x, m.weight(m.shapes[x][1], 1, 1)], m.shapes[x])


@part(IMAGES)
def to_tokens(m: Maker, x: str) -> str:
    n, c, h, w = m.shapes[x]
    x = m.reshape(x, n, c, h * w)
    return m.add("Transpose", [x], (n, h * w, c), perm=[0, 2, 1])


@part(TOKENS)
def matmul(m: Maker, x: str) -> str:
    n, t, d = m.shapes[x]
    out = m.draw.choice((3, 4, 6, 8))
    if m.opset >= 12 and m.draw.random() < 0.3:
        equation = m.draw.choice(("btd,do->bto", "...d,do->...o"))
        return m.add("Einsum", [x, m.weight(d, out)], (n, t, out), equation=equation)
    if m.draw.random() < 0.3:
        weight = m.add("Transpose", [m.weight(out, d)], (d, out), perm=[1, 0])
        return m.add("MatMul", [x, weight], (n, t, out))
    return m.add("Add", [m.add("MatMul", [x, m.weight(d, out)], (n, t, out)), m.weight(out)],
                 (n, t, out))  # fmt: skip


@part(TOKENS)
def mlp(m: Maker, x: str) -> str:
    n, t, d = m.shapes[x]
    h = m.add("Relu", [m.add("MatMul", [x, m.weight(d, 8)], (n, t, 8))], (n, t, 8))
    return m.add("Add", [x, m.add("MatMul", [h, m.weight(8, d)], (n, t, d))], (n, t, d))


@part(TOKENS)
def attend(m: Maker, x: str) -> str:
    n, t, d = m.shapes[x]
    heads, width = 2, m.draw.choice((2, 3))
    parts = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        y = m.add("MatMul", [x, m.weight(d, heads * width)], (n, t, heads * width))
        y = m.reshape(y, n, t, heads, width)
        shape = (n, t, heads, width)
        parts.append(m.add("Transpose", [y], tuple(shape[p] for p in perm), perm=perm))
    s = m.add("MatMul", parts[:2], (n, heads, t, t))
    s = m.add("Mul", [s, m.constant(np.float32(width**-0.5))], (n, heads, t, t))
    s = m.add("Softmax", [s], (n, heads, t, t), axis=3)
    o = m.add("MatMul", [s, parts[2]], (n, heads, t, width))
    o = m.add("Transpose", [o], (n, t, heads, width), perm=[0, 2, 1, 3])
    o = m.reshape(o, n, t, heads * width)
    return m.add("MatMul", [o, m.weight(heads * width, d)], (n, t, d))


@part(TOKENS)
def recurrent(m: Maker, x: str) -> str:
    n, t, d = m.shapes[x]
    kind, hidden = m.draw.choice(("LSTM", "GRU", "RNN")), m.draw.choice((3, 4))
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    direction = m.draw.choice(("forward", "reverse", "bidirectional"))
    ways = 2 if direction == "bidirectional" else 1
    x = m.add("Transpose", [x], (t, n, d), perm=[1, 0, 2])
    inputs = [x, m.weight(ways, gates * hidden, d), m.weight(ways, gates * hidden, hidden)]
    inputs += [m.weight(ways, 2 * gates * hidden)] * m.draw.randrange(2)
    y = m.add(kind, inputs, (t, ways, n, hidden), hidden_size=hidden, direction=direction)
    y = m.add("Transpose", [y], (n, t, ways, hidden), perm=[2, 0, 1, 3])
    return m.reshape(y, n, t, ways * hidden)


@part(TOKENS)
def to_image(m: Maker, x: str) -> str | None:
    n, t, d = m.shapes[x]
    if t % 2:
        return None
    x = m.add("Transpose", [x], (n, d, t), perm=[0, 2, 1])
    return m.reshape(x, n, d, t // 2, 2)


@part(IMAGES, TOKENS)
def branch(m: Maker, x: str) -> str | None:
    """An If whose branches read from outside."""
    if m.opset < 11 or m.draw.random() < 0.5:
        return None
    bodies = []
    for name, op in (("then", "Relu"), ("else", "Tanh")):
        out = f"{name}{len(m.nodes)}"
        node, info = helper.make_node(op, [x], [out]), helper.make_tensor_value_info
        bodies.append(helper.make_graph([node], name, [], [info(out, TensorProto.FLOAT, None)]))
    keep = m.constant(np.array(m.draw.random() < 0.5))
    return m.add("If", [keep], m.shapes[x], then_branch=bodies[0], else_branch=bodies[1])


@part(IMAGES, TOKENS)
def top(m: Maker, x: str) -> str:
    shape = m.shapes[x]
    axis = m.draw.randrange(1, len(shape))
    out = (*shape[:axis], 1, *shape[axis + 1 :])
    if m.opset < 10:
        return m.add("TopK", [x], out, 2, axis=axis, k=1)
    return m.add("TopK", [x, m.constant(np.array([1]))], out, 2, axis=axis)


@part(IMAGES, TOKENS)
def integers(m: Maker, x: str) -> str | None:
    """To whole numbers and back."""
    if m.opset < 13 or m.draw.random() < 0.5:
        return None
    parts = [m.constant(np.float32(0.05)), m.constant(np.int8(m.draw.choice((0, 3))))]
    q = m.add("QuantizeLinear", [x, *parts], m.shapes[x])
    return m.add("DequantizeLinear", [q, *parts], m.shapes[x])


@part(TOKENS)
def integer_weight(m: Maker, x: str) -> str | None:
    if m.opset < 13:
        return None
    n, t, d = m.shapes[x]
    rng = np.random.default_rng(m.draw.randrange(2**32))
    weight = m.constant(rng.integers(-99, 99, (d, 6)).astype(np.int8))
    each = m.draw.random() < 0.5
    scale = m.constant(np.full(6, 0.01, np.float32) if each else np.float32(0.01))
    w = m.add("DequantizeLinear", [weight, scale], (d, 6), axis=1)
    return m.add("MatMul", [x, w], (n, t, 6))


@part(IMAGES, TOKENS)
def expand(m: Maker, x: str) -> str:
    shape = m.shapes[x]
    sizes = m.add("Shape", [x], (len(shape),))
    axis = len(shape) - 1
    first = m.axes("ReduceMax", x, (*shape[:-1], 1), [axis], 18)
    again = m.add("Expand", [first, sizes], shape)
    return m.add("Sub", [x, again], shape)


def limits(shape: Shape) -> bool:
    return all(shape) and np.prod(shape) <= 4096 and max(shape) <= 64


def build(number: int, steps: int | None = None) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model with this number, cut off after some steps, and how it is to be pruned."""
    draw = random.Random(number)
    wishes, m = dict(draw.choice(WISHES)), Maker(draw, draw.choice(OPSETS))
    image = draw.random() < 0.6
    m.shapes["x"] = (2, 3, SIDE, SIDE) if image else (2, LENGTH, 6)
    m.images, m.tokens = (["x"], []) if image else ([], ["x"])
    latest, wanted = "x", draw.randint(3, 14)
    for _ in range(wanted if steps is None else min(steps, wanted)):
        kind = IMAGES if len(m.shapes[latest]) == 4 else TOKENS
        weighty = [name for name in ("conv", "matmul", "mlp", "recurrent", "attend")
                   if name in kind]  # fmt: skip
        name = draw.choice(weighty if draw.random() < 0.35 else sorted(kind))
        pool_ = m.images if kind is IMAGES else m.tokens
        x = latest if draw.random() < 0.75 else draw.choice(pool_)
        before = len(m.nodes)
        found = kind[name](m, x)
        if found is None or not limits(m.shapes[found]):
            del m.nodes[before:]
            continue
        latest = found
        (m.images if len(m.shapes[found]) == 4 else m.tokens).append(found)
    shape = m.shapes[latest]
    c = shape[1] if len(shape) == 4 else shape[2]
    if len(shape) == 4:
        y = m.add("GlobalAveragePool", [latest], (2, c, 1, 1))
        y = m.add("Flatten", [y], (2, c))
        y = m.add("Gemm", [y, m.weight(4, c), m.weight(4)], (2, 4), transB=1)
    else:
        y = m.add("MatMul", [latest, m.weight(c, 4)], (*shape[:2], 4))
    used = {name for node in m.nodes for name in node.input}
    info, float32 = helper.make_tensor_value_info, TensorProto.FLOAT
    stored = [numpy_helper.from_array(a, name) for name, a in m.stored.items() if name in used]
    free = draw.random() < 0.3
    given = info("x", float32, [("batch" if free else 2), *m.shapes["x"][1:]])
    out = info(y, float32, [("batch" if free else 2), *m.shapes[y][1:]])
    graph = helper.make_graph(m.nodes, f"random {number}", [given], [out], stored)
    version = 8 if m.opset < 20 else 9
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", m.opset)], ir_version=version
    )
    return model, wishes
