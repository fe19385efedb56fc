"""The registry of jaxpr primitives, and how each becomes nodes of the standard graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spa_kernel.frontends.jax.capture import Captured, Operand, content
from spa_kernel.graph.ir import Value


@dataclass(slots=True)
class Call:
    """One equation of a jaxpr: its operands as values of the graph, or as known arrays."""

    captured: Captured
    eqn: Any
    operands: list[Operand]

    @property
    def name(self) -> str:
        return str(self.eqn.primitive.name)

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.eqn.params)

    def fresh(self, shape: Iterable[int], like: Value | None = None) -> Value:
        """A new value; of the type of another one, or of the call's result."""
        dtype = str(self.eqn.outvars[0].aval.dtype) if like is None else like.dtype
        number = len(self.captured.graph.nodes)
        return Value(f"{self.name} {number}", tuple(shape), "activation", dtype)

    def outs(self) -> tuple[Value, ...]:
        """New values for what the call makes."""
        number = len(self.captured.graph.nodes)
        return tuple(
            Value(f"{self.name} {number}.{i}", tuple(v.aval.shape), "activation", str(v.aval.dtype))
            for i, v in enumerate(self.eqn.outvars)
        )

    def value(self, slot: int) -> Value:
        """An operand as a value; known content becomes a constant."""
        return as_value(self.operands[slot])

    def number(self, slot: int) -> int | float | None:
        """An operand that is one number."""
        operand = self.operands[slot]
        if isinstance(operand, np.ndarray) and operand.size == 1:
            return operand.item()
        return None

    def emit(
        self,
        op: str,
        inputs: Iterable[Value | None],
        outputs: tuple[Value, ...] | None = None,
        numbers: tuple[Any, ...] = (),
        **attrs: Any,
    ) -> tuple[Value, ...]:
        """Add a node; by default it makes what the call makes."""
        made = self.outs() if outputs is None else outputs
        operands = tuple(inputs)
        known = tuple(content(v.data) for v in operands if v is not None and v.data is not None)
        self.captured.emit(op, operands, made, attrs, (*numbers, *known))
        return made

    def one(self, op: str, inputs: Iterable[Value | None], shape: Iterable[int], **attrs: Any
            ) -> Value:  # fmt: skip
        """Add a node between others, which makes one value of a shape."""
        operands = list(inputs)
        out = self.fresh(shape, next((v for v in operands if v is not None), None))
        self.emit(op, operands, (out,), **attrs)
        return out

    def moved(self, value: Value, perm: Iterable[int]) -> Value:
        """A value with its axes in another order."""
        order = tuple(int(i) for i in perm)
        if order == tuple(range(value.ndim)):
            return value
        return self.one("Transpose", (value,), (value.shape[i] for i in order), perm=order)


def as_value(operand: Operand) -> Value:
    """A value of the graph; known content becomes a constant."""
    if isinstance(operand, Value):
        return operand
    return Value("constant", operand.shape, "constant", str(operand.dtype), operand)


Handler = Callable[[Call], "Iterable[Operand] | None"]
HANDLERS: dict[str, Handler] = {}


def primitive(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for primitives; it returns ``None`` for what it cannot describe."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def convert(call: Call) -> list[Operand]:
    """What an equation makes; a primitive that nobody has described is an unknown operator."""
    from spa_kernel.frontends.jax import calls, elementwise, layers, shapes

    assert calls and elementwise and layers and shapes
    handler = HANDLERS.get(call.name)
    made = None if handler is None else handler(call)
    if made is None:
        operands = [call.value(slot) for slot in range(len(call.operands))]
        made = call.emit(f"jax.{call.name}", operands)
    return list(made)
