"""What can be done with images and tokens in an ONNX graph."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .onnx_maker import IMAGES, SIDE, TOKENS, Maker, part


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
    """An If whose branches read from outside; which one it takes may be settled beforehand."""
    if m.opset < 11 or m.draw.random() < 0.5:
        return None
    shape, bodies = m.shapes[x], []
    c = shape[1] if len(shape) == 4 else shape[2]
    info = helper.make_tensor_value_info
    for name, op in (("then", "Relu"), ("else", "Tanh")):
        out = f"{name}{len(m.nodes)}"
        own = np.linspace(0.5, 1.5, c, dtype=np.float32).reshape(
            (c, 1, 1) if len(shape) == 4 else c
        )
        nodes = [helper.make_node(op, [x], ["inner"]),
                 helper.make_node("Mul", ["inner", "own"], [out])]  # fmt: skip
        stored = [numpy_helper.from_array(own, "own")]
        outs = [info(out, TensorProto.FLOAT, None)]
        bodies.append(helper.make_graph(nodes, name, [], outs, stored))
    way = m.draw.randrange(3)
    if way == 0:
        keep = m.constant(np.array(m.draw.random() < 0.5))
    else:
        sizes = m.add("Shape", [x], (len(shape),))
        axis = m.constant(np.array(m.draw.choice((0, len(shape) - 1))))
        size = m.add("Gather", [sizes, axis], ())
        if way == 2:
            size = m.add("Size", [m.add("NonZero", [x], (len(shape), 1))], ())
        keep = m.add("Equal", [size, m.constant(np.array(m.draw.choice((2, 6))))], ())
    return m.add("If", [keep], shape, then_branch=bodies[0], else_branch=bodies[1])


@part(IMAGES, TOKENS)
def top(m: Maker, x: str) -> str:
    shape = m.shapes[x]
    axis = m.draw.randrange(1, len(shape))
    out = (*shape[:axis], 1, *shape[axis + 1 :])
    if m.opset < 10:
        return m.add("TopK", [x], out, 2, axis=axis, k=1)
    return m.add("TopK", [x, m.constant(np.array([1]))], out, 2, axis=axis)


@part(IMAGES, TOKENS)
def expand(m: Maker, x: str) -> str:
    shape = m.shapes[x]
    sizes = m.add("Shape", [x], (len(shape),))
    axis = len(shape) - 1
    first = m.axes("ReduceMax", x, (*shape[:-1], 1), [axis], 18)
    again = m.add("Expand", [first, sizes], shape)
    return m.add("Sub", [x, again], shape)
