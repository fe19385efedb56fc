"""Torch's recurrent layers, recorded as one node per layer and direction.

Below the call that the Python code makes, they are either one closed kernel or all time steps
one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from spa_kernel.frontends.torch.recorder import DependsOnData, Recorder
from spa_kernel.graph.ir import Node, Value
from spa_kernel.graph.sizes import SizeUse

OPERATORS = {torch.lstm: "LSTM", torch.gru: "GRU", torch.rnn_tanh: "RNN", torch.rnn_relu: "RNN"}
PACKING = {
    torch._pack_padded_sequence: "PackSequence",
    torch._pad_packed_sequence: "PadSequence",
}

CALLS = {*OPERATORS, *PACKING}


def record(recorder: Recorder, func: Any, args: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    """Record a call of one of `OPERATORS` or `PACKING`, and make its outputs."""
    return Layer(recorder, func, args).run() if func in OPERATORS else repack(recorder, func, args)


def repack(recorder: Recorder, func: Any, args: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    """Sequences of several lengths, laid end to end or filled up to the same length."""
    x, lengths, *rest = args
    outer = 2 if PACKING[func] == "PackSequence" else 1
    if lengths.device.type == "meta":
        raise DependsOnData("the lengths of packed sequences")
    with _disable_current_modes():
        if recorder.real:
            out, sizes = func(*args)
        else:
            few = torch.empty((*x.shape[:outer], 1), dtype=x.dtype)
            out, sizes = func(few, lengths, *rest)
            shape = (*out.shape[:-1], *x.shape[outer:])
            out = torch.empty(shape, dtype=x.dtype, device="meta")
    value = Value(f"packed_{len(recorder.graph.nodes)}", tuple(out.shape), dtype=str(x.dtype)[6:])
    attrs = {"features": x.ndim - outer, "value": rest[1] if outer == 1 else 0}
    inputs = (recorder.operand(x),)
    where = recorder.module, recorder.source()
    recorder.add(Node(PACKING[func], inputs, (value,), attrs, *where))
    recorder.know(out, value)
    return out, sizes


class Layer:
    """One call of a recurrent layer.

    Parameters
    ----------
    recorder : Recorder
    func : callable
        One of `OPERATORS`.
    args : tuple
        As the Python code passes them.
    """

    def __init__(self, recorder: Recorder, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.recorder, self.func, self.args = recorder, func, args
        self.op = OPERATORS[func]
        packed = isinstance(args[3], list | tuple)
        # (input, batch sizes, state, weights, ...) or (input, state, weights, ..., batch first)
        self.x: torch.Tensor = args[0]
        state, self.weights = args[2:4] if packed else args[1:3]
        self.states: list[torch.Tensor] = list(state) if self.op == "LSTM" else [state]
        self.bias, self.layers = bool(args[4 if packed else 3]), int(args[5 if packed else 4])
        self.directions = 2 if args[8 if packed else 7] else 1
        self.packed, self.first = packed, not packed and bool(args[8])
        self.module, self.source = recorder.module, recorder.source()
        each = 4 if self.bias else 2
        self.projected = len(self.weights) > self.layers * self.directions * each
        self.each = each + self.projected

    def run(self) -> tuple[torch.Tensor, ...]:
        """Make the outputs, and record the nodes."""
        width = self.states[0].shape[-1] * self.directions
        shapes = [(*self.x.shape[:-1], width), *(tuple(s.shape) for s in self.states)]
        if self.recorder.real:
            with _disable_current_modes():
                outs = tuple(self.func(*self.args))
        else:
            outs = tuple(torch.empty(s, dtype=self.x.dtype, device="meta") for s in shapes)
        made = [self._value(f"{self.op.lower()}_output{i}", s) for i, s in enumerate(shapes)]
        self._record(made)
        for tensor, value in zip(outs, made, strict=True):
            self.recorder.know(tensor, value)
        return outs

    def _record(self, outs: list[Value]) -> None:
        x = self.recorder.operand(self.x)
        starts = [self._starts(state) for state in self.states]
        ends: list[list[Value]] = [[] for _ in self.states]
        for layer in range(self.layers):
            parts = []
            for direction in range(self.directions):
                number = layer * self.directions + direction
                own = [part[number] if part else None for part in starts]
                y, *last = self._direction(x, number, own)
                parts.append(y)
                for values, value in zip(ends, last, strict=True):
                    values.append(value)
            final = layer == self.layers - 1
            shape = (*self.x.shape[:-1], sum(p.shape[-1] for p in parts))
            x = outs[0] if final else self._value("layer", shape)
            self._node("Concat", parts, [x], axis=x.ndim - 1)
        for values, out in zip(ends, outs[1:], strict=True):
            stacked = []
            for value in values:
                stacked.append(self._value("state", (1, *value.shape)))
                self._node("Reshape", [value], stacked[-1:], optional=True)
            self._node("Concat", stacked, [out], axis=0, optional=True)

    def _direction(self, x: Value, number: int, starts: list[Value | None]) -> list[Value]:
        """One layer in one direction: its output, last state and last cell."""
        weights = self.weights[number * self.each : (number + 1) * self.each]
        values: list[Value | None] = [self.recorder.operand(w) for w in weights]
        below, inner = values[:2]
        bias_below, bias_inner = values[2:4] if self.bias else (None, None)
        projection = values[-1] if self.projected else None
        assert below is not None and inner is not None
        columns = self._value("weight_t", below.shape[::-1])
        self._node("Transpose", [below], [columns], perm=[1, 0])
        product = self._value("gates", (*x.shape[:-1], below.shape[0]))
        self._node("MatMul", [x, columns], [product])
        if bias_below is not None:
            summed = self._value("gates_bias", product.shape)
            self._node("Add", [product, bias_below], [summed])
            product = summed
        units = below.shape[0] // {"LSTM": 4, "GRU": 3, "RNN": 1}[self.op]
        steps = self._value("steps", (*x.shape[:-1], units))
        count = self.states[0].shape[1]
        outs = [steps, self._value("h", (count, inner.shape[1]))]
        if self.op == "LSTM":
            outs.append(self._value("c", (count, units)))
        state, cell = (*starts, None)[:2]
        inputs = [product, inner, bias_inner, state, cell, projection]
        self._node(self.op, inputs, outs, batch=None if self.packed else 1 - self.first)
        self._sizes([(inner, 1), (steps, steps.ndim - 1)])
        if projection is not None:
            across = self._value("projection_t", projection.shape[::-1])
            self._node("Transpose", [projection], [across], perm=[1, 0])
            steps = self._value("projected", (*x.shape[:-1], projection.shape[0]))
            self._node("MatMul", [outs[0], across], [steps])
        return [steps, *outs[1:]]

    def _starts(self, state: torch.Tensor) -> list[Value] | None:
        """The first states of each layer and direction; ``None`` for zeros of a known size.

        Zeros say how many units there are, but not which.
        """
        filled = self.recorder.filled.get(state)
        if filled is not None and filled[0] == 0:
            return None
        value, parts, starts = self.recorder.operand(state), [], []
        for i in range(value.shape[0]):
            parts.append(self._value(f"start{i}", (1, *value.shape[1:])))
            starts.append(self._value(f"state{i}", value.shape[1:]))
        self._node("Split", [value], parts, axis=0)
        for part, start in zip(parts, starts, strict=True):
            self._node("Reshape", [part], [start])
        return starts

    def _sizes(self, axes: list[tuple[Value, int]]) -> None:
        """States that were made of zeros settle how many units there are."""
        for axis, state in zip(axes, self.states, strict=False):
            filled = self.recorder.filled.get(state)
            if filled is not None and filled[0] == 0:
                where = self.recorder.graph.nodes[-1].where
                self.recorder.graph.sizes.append(SizeUse(axis, filled[1][-1], where))

    def _value(self, name: str, shape: tuple[int, ...]) -> Value:
        number = len(self.recorder.graph.nodes)
        return Value(f"{name}_{number}", tuple(shape), "activation", str(self.x.dtype)[6:])

    def _node(
        self, op: str, inputs: list[Any], outs: list[Value], optional: bool = False, **attrs: Any
    ) -> None:
        node = Node(op, tuple(inputs), tuple(outs), attrs, self.module, self.source)
        self.recorder.add(node, optional)
