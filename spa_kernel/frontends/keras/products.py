"""Converters of products of tensors: `keras.ops.einsum` and `keras.ops.matmul`."""

from __future__ import annotations

from collections import Counter

from spa_kernel.frontends.keras.call import Call, Opaque
from spa_kernel.frontends.keras.capture import Held
from spa_kernel.frontends.keras.layers import layer
from spa_kernel.frontends.keras.merging import only_tensors


@layer("ops.Einsum", several=True)
def einsum(call: Call) -> list[Held]:
    only_tensors(call)
    equation = explicit(call.layer.subscripts)
    terms = equation.partition("->")[0].split(",")
    if "." in equation or any(len(set(term)) < len(term) for term in terms):
        raise Opaque
    operands = [call.plain(at) for at in range(len(call.inputs))]
    return call.made(call.emit("Einsum", operands, call.shape, equation=equation))


def explicit(equation: str) -> str:
    """With what it makes, which may be left out: the letters that are there once, in order."""
    text = equation.replace(" ", "")
    if "->" in text:
        return text
    count = Counter(text.replace(",", ""))
    return f"{text}->{''.join(sorted(letter for letter, n in count.items() if n == 1))}"


@layer("ops.Matmul", several=True)
def matmul(call: Call) -> list[Held]:
    only_tensors(call)
    if len(call.inputs) != 2:
        raise Opaque
    return call.made(call.emit("MatMul", [call.plain(0), call.plain(1)], call.shape))
