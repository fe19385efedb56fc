"""LSTM, GRU and RNN: one operator for all time steps, in one direction or both."""

from __future__ import annotations

import numpy as np

from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.convert import converts
from spa_kernel.graph.ir import Value
from spa_kernel.graph.ops_recurrent import GATES
from spa_kernel.surgery.after import After

THROUGH_ZERO = {
    "LSTM": (None, "Tanh", "Tanh"),
    "GRU": (None, "Tanh"),
    "RNN": ("Tanh",),
}
"""Functions of each direction, where one must be 0 at 0: those that are not gates."""
ZERO_AT_ZERO = set("tanh relu leakyrelu scaledtanh elu softsign".split())


@converts("LSTM", "GRU", "RNN")
def recurrent(call: Call) -> bool | None:
    """Inputs X, W, R, B, lengths, h0, c0, P; outputs Y, last state, last cell."""
    kind, functions = call.proto.op_type, call.attr("activations") or []
    pattern = THROUGH_ZERO[kind]
    for i, name in enumerate(functions):
        if pattern[i % len(pattern)] and name.decode().lower() not in ZERO_AT_ZERO:
            return False  # a unit whose weights are zero would not stay zero
    rows, inner = call.shape(2)[1:]
    if rows != GATES[kind] * inner:
        return False
    x, weight, again = call.x(0), call.x(1), call.x(2)
    units = Value(f"units of {call.name}", (inner,), "virtual")
    batch = 0 if call.attr("layout", 0) else 1
    places: dict[Value, tuple[int, int]] = {}
    for value in call.outputs:
        # Y: (time, direction, batch, unit), or (batch, time, direction, unit).
        axes = (0, 1) if value.ndim == 3 else (1, 2)
        places[value] = ((2, 0) if value.ndim == 4 else (1, 0)) if batch == 0 else axes
    states = []
    for slot in (5, 6):
        start = state(call, slot, units)
        states.append(start)
        if start is not None:
            places[start] = (1, 0) if batch == 0 else (0, 1)
    below = Value(f"input times weight in {call.name}", (*x.shape[:2], *weight.shape[:2]))
    below.dtype = x.dtype
    call.emit("RecurrentInput", (x, weight), [below])
    operands = (below, again, call.data(3), *states, call.data(7), call.data(4))
    call.rewrite("hidden_size", lambda after: after.size(units, 0))
    call.emit(
        "RecurrentLayer", operands, units=units, gates=GATES[kind], batch=batch, places=places
    )
    return None


def state(call: Call, slot: int, units: Value) -> Value | None:
    """A first state; one of zeros that the model makes for itself ties nothing."""
    if call.uniform(slot) != 0:
        return call.data(slot)
    zeros = call.capture.known[call.proto.input[slot]]

    def want(after: After) -> np.ndarray:
        return np.compress(after.kept(units, 0), zeros, axis=2)

    call.rewrite(slot, want)
    return None
