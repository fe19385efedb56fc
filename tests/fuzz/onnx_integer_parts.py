"""Whole numbers in an ONNX graph: quantised data, weights and operators."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from .onnx_maker import IMAGES, TOKENS, Maker, Shape, part


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
    each = m.draw.random() < 0.5
    scale = m.constant(np.full(6, 0.01, np.float32) if each else np.float32(0.01))
    if m.draw.random() < 0.5:
        parts = [m.constant(rng.integers(-99, 99, (d, 6)).astype(np.int8)), scale]
    else:
        zero = m.constant(np.full(6 if each else (), 120, np.uint8))
        parts = [m.constant(rng.integers(20, 220, (d, 6)).astype(np.uint8)), scale, zero]
    w = m.add("DequantizeLinear", parts, (d, 6), axis=1)
    return m.add("MatMul", [x, w], (n, t, 6))


def stored_integers(m: Maker, shape: Shape) -> tuple[str, str]:
    """A weight, with or without a sign, and its zero point."""
    rng = np.random.default_rng(m.draw.randrange(2**32))
    kind, low = m.draw.choice(((np.int8, -99), (np.uint8, 20)))
    zero = m.draw.choice((0, 0, 3)) if kind is np.int8 else 120
    weight = m.constant(rng.integers(low, low + 200, shape).astype(kind))
    return weight, m.constant(np.array(zero, kind))


def back(m: Maker, x: str, scale: str, shape: Shape, tail: tuple[int, ...]) -> str:
    """Sums of whole numbers, scaled, with a bias."""
    x = m.add("Cast", [x], shape, to=TensorProto.FLOAT)
    each = tail if m.draw.random() < 0.3 else ()
    own = m.constant(np.full(each, 0.01, np.float32))
    x = m.add("Mul", [x, m.add("Mul", [scale, own], each)], shape)
    if m.draw.random() < 0.6:
        return x
    return m.add("Add", [x, m.weight(*tail)], shape)


@part(IMAGES, TOKENS)
def dynamic(m: Maker, x: str) -> str | None:
    """Quantised when it runs, times stored whole numbers."""
    if m.opset < 11:
        return None
    shape = m.shapes[x]
    q = m.add("DynamicQuantizeLinear", [x], shape, 3)
    scale, zero = f"{q}_1", f"{q}_2"
    m.shapes[scale] = m.shapes[zero] = ()
    out = m.draw.choice((2, 3, 4))
    if len(shape) == 4:
        n, c, h, w = shape
        groups = m.draw.choice([g for g in (1, 1, 2, c) if c % g == 0])
        made = (n, groups * out, h, w)
        weight, own = stored_integers(m, (groups * out, c // groups, 3, 3))
        y = m.add("ConvInteger", [q, weight, zero, own], made, pads=[1] * 4, group=groups)
        return back(m, y, scale, made, (groups * out, 1, 1))
    made = (*shape[:2], out)
    weight, own = stored_integers(m, (shape[2], out))
    y = m.add("MatMulInteger", [q, weight, zero, own], made)
    return back(m, y, scale, made, (out,))


@part(IMAGES, TOKENS)
def linear(m: Maker, x: str) -> str | None:
    """One or two operators that take and give quantised data."""
    if m.opset < 11:
        return None
    scale, zero = m.constant(np.float32(0.05)), m.constant(np.uint8(m.draw.choice((0, 128))))
    y = m.add("QuantizeLinear", [x, scale, zero], m.shapes[x])
    for _ in range(m.draw.choice((1, 2))):
        shape, out = m.shapes[y], m.draw.choice((2, 3, 4))
        last = m.constant(np.float32(0.07)), m.constant(np.uint8(m.draw.choice((0, 110))))
        each = (out,) if m.draw.random() < 0.5 else ()
        if len(shape) == 4:
            weight, own = stored_integers(m, (out, shape[1], 3, 3))
            parts = [y, scale, zero, weight, m.constant(np.full(each, 0.004, np.float32)), own]
            bias = [m.constant(np.arange(-out, out, 2, np.int32) * 40)] * m.draw.randrange(2)
            made = (shape[0], out, *shape[2:])
            y = m.add("QLinearConv", [*parts, *last, *bias], made, pads=[1] * 4)
        else:
            weight, own = stored_integers(m, (shape[2], out))
            parts = [y, scale, zero, weight, m.constant(np.float32(0.008)), own]
            y = m.add("QLinearMatMul", [*parts, *last], (*shape[:2], out))
        scale, zero = last
    return m.add("DequantizeLinear", [y, scale, zero], m.shapes[y])
