"""A torch module that runs call by call on many batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from spa_kernel.errors import DataNeeded
from spa_kernel.frontends.torch.attributes import stored_tensors
from spa_kernel.frontends.torch.batches import arguments, moved
from spa_kernel.frontends.torch.capture import (
    declared,
    device_of,
    seeded,
    shapes,
    tensors_in,
    watched,
)
from spa_kernel.frontends.torch.recorder import DependsOnData, Recorder
from spa_kernel.frontends.torch.tape import Slot, Step, Stored, Tape
from spa_kernel.frontends.torch.tracker import Tracker
from spa_kernel.graph.ir import Graph, Node, Value
from spa_kernel.obspa.program import Program, State

VIEWS = torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default


class TorchProgram(Program):
    """A torch module, as it is now.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is; each kind of batch is recorded when it comes first.
    recorder : Recorder
        What it does on the example input.
    before : Graph, optional
        Of the model before a prune, whose positions name its nodes.
    """

    def __init__(self, model: nn.Module, recorder: Recorder, before: Graph | None = None) -> None:
        self.model = model
        self.graph: Graph = recorder.graph
        self._names = before or recorder.graph
        self.stored = {name: tensor.detach() for _, name, tensor in stored_tensors(model)}
        self._like = recorder
        self._tapes: dict[Any, Tape] = {}
        self._device = device_of(model)[0]

    def begin(self, inputs: Any, like: State | None = None) -> State:
        inputs = moved(inputs, self._device)
        args, kwargs = arguments(inputs)
        tensors = leaves((args, kwargs))
        key = described((args, kwargs))
        tape = self._tapes.get(key)
        if tape is None:
            tape = self._recorded(args, kwargs, like.tape if like is not None else None)
            if not tape.decisions.places:
                self._tapes[key] = tape
        return State(tape, dict(zip(tape.inputs, tensors, strict=True)))

    def _recorded(self, args: Any, kwargs: Any, like: Tape | None) -> Tape:
        where = f"a batch of shape {shapes((args, kwargs))}"
        decisions = like.decisions if like is not None else None
        try:
            try:
                tape = self._run(Tape(self.model, self._like.real, decisions), args, kwargs)
            except DependsOnData:
                tape = self._run(Tape(self.model, True, decisions), args, kwargs)
        except Exception as error:
            raise DataNeeded(
                f"the forward of {type(self.model).__name__} fails on {where}: "
                f"{type(error).__name__}: {error}. Give batches of inputs, or (inputs, targets), "
                "that the model accepts"
            ) from error
        if not tape.close(self._names.nodes[: self._names.evaluated]):
            raise DataNeeded(
                f"the forward of {type(self.model).__name__} does something else on {where} than "
                "on the example input: give batches like the example, or analyse the model with an "
                "input like the batches"
            )
        return tape

    def _run(self, tape: Tape, args: Any, kwargs: Any) -> Tape:
        tracker = Tracker(tape, self._device)
        args, kwargs = declared(tape, args), declared(tape, kwargs)
        with watched(self.model, tape), seeded(), tape, tracker:
            outputs = tensors_in(self.model(*args, **kwargs))
        tape.graph.outputs += [v for t in outputs if (v := tape.value_of(t)) is not None]
        tape.finish()
        return tape

    def run(self, state: State, node: int, *, through: bool) -> None:
        tape: Tape = state.tape
        end = tape.step(node) + through
        with torch.no_grad():
            while state.next < end:
                self._step(state)

    def outputs(self, state: State) -> list[torch.Tensor]:
        tape: Tape = state.tape
        with torch.no_grad():
            while state.next < len(tape.steps):
                self._step(state)
        return [self._tensor(state, slot) for slot in tape.outputs]

    def _step(self, state: State) -> None:
        tape: Tape = state.tape
        step = tape.steps[state.next]
        if not any(slot in tape.anew for slot in step.outs):
            for slot, tensor in zip(step.outs, self._called(step, state), strict=True):
                if slot is not None:
                    state.live[slot] = tensor
        for slot in tape.ends.get(state.next, ()):
            state.live.pop(slot, None)
        state.next += 1

    def _called(self, step: Step, state: State) -> Sequence[Any]:
        """What a call makes."""
        args, kwargs = self._filled(step.args, state), self._filled(step.kwargs, state)
        try:
            result = step.func(*args, **kwargs)
        except RuntimeError:
            if step.func not in VIEWS:
                raise
            # Real tensors may lie in memory in another order than those of the recording.
            result = args[0].reshape(args[1])
        return result if isinstance(result, tuple | list) else [result]

    def _tensor(self, state: State, slot: int) -> torch.Tensor:
        """What a slot holds."""
        tape: Tape = state.tape
        if slot not in tape.anew:
            return state.live[slot]
        number, position = tape.anew[slot]
        tensor: torch.Tensor = self._called(tape.steps[number], state)[position]
        return tensor

    def _filled(self, template: Any, state: State) -> Any:
        if isinstance(template, Slot):
            return self._tensor(state, template.number)
        if isinstance(template, Stored):
            return self.stored[template.name]
        if isinstance(template, list):
            return [self._filled(v, state) for v in template]
        if isinstance(template, dict):
            return {k: self._filled(v, state) for k, v in template.items()}
        if isinstance(template, torch.Tensor):
            # A constant, which the next call may write into.
            return template.clone()
        if isinstance(template, torch.device) and template.type == "meta":
            return self._device
        return template

    def operand(self, state: State, node: int, position: int) -> torch.Tensor | None:
        tape: Tape = state.tape
        value = tape.nodes[node].inputs[position]
        if value is None:
            return None
        if value.stored:
            return self.stored[value.name]
        # What a call reads may have been looked at anew as a part of this very call.
        slot = tape.slot(value, state.next + (tape.step(node) == state.next))
        return self._found(state, slot)

    def node(self, state: State, node: int) -> tuple[Node, dict[Value, Node]]:
        tape: Tape = state.tape
        return tape.nodes[node], tape.made

    def makers(self, state: State) -> dict[Value, Node]:
        tape: Tape = state.tape
        return tape.makers

    def result(self, state: State, node: int) -> torch.Tensor | None:
        tape: Tape = state.tape
        return self._found(state, tape.slot(tape.nodes[node].outputs[0], state.next))

    def _found(self, state: State, slot: int | None) -> torch.Tensor | None:
        known = slot is not None and (slot in state.tape.anew or slot in state.live)
        return self._tensor(state, slot) if slot is not None and known else None


def leaves(value: Any) -> list[torch.Tensor]:
    """The tensors in inputs, in the order in which a recording declares them."""
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list | tuple):
        return [tensor for one in inner for tensor in leaves(one)]
    return []


def described(value: Any) -> Any:
    """Inputs by their shapes and types, and by their content where they are no tensors."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, Mapping):
        return tuple((k, described(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(described, value))
    return repr(value)
