"""LSTM, GRU and RNN, step by step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spa_kernel.frontends.onnx.twin.registry import Call, Known, operator

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu,
    "softsign": torch.nn.functional.softsign,
}  # fmt: skip
USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
States = list[Tensor]
Step = Callable[[Tensor, States], States]


@operator("LSTM", "GRU", "RNN", settings=(4,))
def recurrent(
    call: Call,
    x: Tensor,
    weight: Tensor,
    again: Tensor,
    bias: Tensor | None = None,
    lengths: Known | None = None,
    h: Tensor | None = None,
    c: Tensor | None = None,
    peepholes: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Results: all states (time, direction, batch, unit), last state, last cell."""
    by_sample = bool(call.attr("layout", 0))
    if by_sample:
        x = x.transpose(0, 1)
        h, c = (t if t is None else t.transpose(0, 1) for t in (h, c))
    if lengths is not None and bool((lengths != x.shape[0]).any()):
        raise call.refuse("its sequences differ in length")
    if call.attr("clip") or call.attr("input_forget", 0):
        raise call.refuse("its gates are cut off, or tied")
    ways = {"forward": [0], "reverse": [1], "bidirectional": [0, 1]}
    every: list[Tensor] = []
    lasts: list[States] = []
    for i, backwards in enumerate(ways[call.attr("direction", "forward")]):
        zeros = x.new_zeros(x.shape[1], again.shape[2])
        states = [zeros if h is None else h[i]]
        if call.op == "LSTM":
            states.append(zeros if c is None else c[i])
        step = STEPS[call.op](call, i, again[i], bias, peepholes)
        products = torch.matmul(x, weight[i].t())
        found: list[Tensor] = []
        order = range(x.shape[0] - 1, -1, -1) if backwards else range(x.shape[0])
        for t in order:
            states = step(products[t], states)
            found.append(states[0])
        every.append(torch.stack(found[::-1] if backwards else found))
        lasts.append(states)
    out = torch.stack(every, 1)
    ends = [torch.stack([states[k] for states in lasts]) for k in range(len(lasts[0]))]
    if by_sample:
        return out.permute(2, 0, 1, 3), *(e.transpose(0, 1) for e in ends)
    return out, *ends


def functions(call: Call, way: int) -> list[Callable[[Tensor], Tensor]]:
    """The activations of one direction."""
    usual = USUAL[call.op]
    given = call.attr("activations") or usual * 2
    names = [name.lower() for name in given[way * len(usual) : (way + 1) * len(usual)]]
    if any(name not in FUNCTIONS for name in names):
        raise call.refuse(f"its activations are {', '.join(given)}")
    return [FUNCTIONS[name] for name in names]


def biases(bias: Tensor | None, way: int, rows: int) -> tuple[Tensor | float, Tensor | float]:
    """Of the input's product and of the state's."""
    return (0.0, 0.0) if bias is None else (bias[way, :rows], bias[way, rows:])


def rnn(call: Call, way: int, again: Tensor, bias: Tensor | None, _: Tensor | None) -> Step:
    (f,) = functions(call, way)
    below, inner = biases(bias, way, again.shape[0])

    def step(x: Tensor, states: States) -> States:
        return [f(x + below + states[0] @ again.t() + inner)]

    return step


def lstm(call: Call, way: int, again: Tensor, bias: Tensor | None, p: Tensor | None) -> Step:
    f, g, h = functions(call, way)
    below, inner = biases(bias, way, again.shape[0])
    units = again.shape[1]
    peeps = None if p is None else p[way].split(units)

    def step(x: Tensor, states: States) -> States:
        state, cell = states
        gates = x + below + state @ again.t() + inner
        i, o, forget, c = gates.split(units, -1)
        if peeps is not None:
            i, forget = i + peeps[0] * cell, forget + peeps[2] * cell
        cell = f(forget) * cell + f(i) * g(c)
        o = o if peeps is None else o + peeps[1] * cell
        return [f(o) * h(cell), cell]

    return step


def gru(call: Call, way: int, again: Tensor, bias: Tensor | None, _: Tensor | None) -> Step:
    f, g = functions(call, way)
    units = again.shape[1]
    below, inner = biases(bias, way, again.shape[0])
    after = bool(call.attr("linear_before_reset", 0))

    def step(x: Tensor, states: States) -> States:
        (state,) = states
        given = x + below
        if after:
            z, r, n = given.split(units, -1)
            zs, rs, ns = (state @ again.t() + inner).split(units, -1)
            z, r = f(z + zs), f(r + rs)
            n = g(n + r * ns)
        else:
            z, r, n = (given + inner).split(units, -1)
            zs, rs = (state @ again[: 2 * units].t()).split(units, -1)
            z, r = f(z + zs), f(r + rs)
            n = g(n + (r * state) @ again[2 * units :].t())
        return [(1 - z) * n + z * state]

    return step


STEPS = {"LSTM": lstm, "GRU": gru, "RNN": rnn}
