"""An ONNX model as a torch module: its nodes are carried out one by one, by torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from spa_kernel.errors import UnsupportedOperator
from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.inputs import input_infos
from spa_kernel.frontends.onnx.places import place as place_of
from spa_kernel.frontends.onnx.tensors import constant_array
from spa_kernel.frontends.onnx.twin import (  # noqa: F401 (they register operators)
    attention,
    elementwise,
    layers,
    picking,
    pooling,
    recurrent,
    reductions,
    resize,
    sequences,
    shapes,
)
from spa_kernel.frontends.onnx.twin.dtypes import to_array, to_tensor
from spa_kernel.frontends.onnx.twin.host import Host, sizes
from spa_kernel.frontends.onnx.twin.names import place
from spa_kernel.frontends.onnx.twin.norms import layer, norms
from spa_kernel.frontends.onnx.twin.registry import OPERATORS, Call, Known

Values = dict[str, Any]
"""By name a tensor, a numpy array where it is known, or a list of tensors."""


class Step:
    """One node to be carried out.

    Attributes
    ----------
    node : onnx.NodeProto
    call : Call
    norm : str or None
        Path of the layer that does it.
    bodies : dict of str to Steps
        Subgraphs by attribute.
    over : list of str
        Values that nobody needs afterwards.
    """

    __slots__ = ("bodies", "call", "node", "norm", "over")

    def __init__(self, node: onnx.NodeProto, opset: int) -> None:
        self.node = node
        attributes = {
            a.name: read(a) for a in node.attribute
            if a.type not in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
        }  # fmt: skip
        self.call = Call(node.op_type, opset, attributes, list(node.output), place_of(node)[0])
        self.norm: str | None = None
        self.bodies: dict[str, Steps] = {}
        self.over: list[str] = []


class Steps:
    """The nodes of a graph in order, and what is known beforehand."""

    __slots__ = ("known", "outputs", "steps")

    def __init__(self, steps: list[Step], known: dict[str, Known], outputs: list[str]) -> None:
        self.steps, self.known, self.outputs = steps, known, outputs


class Program:
    """What a `RebuiltInTorch` does; in one object, so that nobody takes its numbers for settings.

    Attributes
    ----------
    steps : Steps
    inputs : list of str
    places : dict of str to (str, str)
        For each stored tensor the path of the module that holds it, and its name there.
    single : str or None
        One of those in single precision.
    host : Host
    """

    __slots__ = ("host", "inputs", "places", "single", "steps")

    def __init__(self, host: Host, inputs: list[str], steps: Steps) -> None:
        self.host, self.inputs, self.steps = host, inputs, steps
        self.places: dict[str, tuple[str, str]] = {}
        self.single: str | None = None


class RebuiltInTorch(nn.Module):
    """An ONNX model as a torch module.

    The weights are parameters; statistics of BatchNormalization are buffers of torch's layers.
    Its inputs are those of the model, by place or by name; it returns a tensor, or a tuple where
    the model has several outputs.

    Parameters
    ----------
    captured : Captured
        Of the model.

    Attributes
    ----------
    names : dict of str to str
        What the model calls a stored tensor -> its name in ``state_dict()``.
    example : tuple of torch.Tensor
        Inputs on which it was compared with the model.

    Raises
    ------
    UnsupportedOperator
    """

    names: dict[str, str]
    example: tuple[torch.Tensor, ...] = ()

    def __init__(self, captured: Captured) -> None:
        super().__init__()
        model = captured.model
        host = Host(captured.opsets)
        stored = {
            name: captured.tensors.array(name)
            for name, value in captured.graph.stored.items()
            if np.dtype(value.dtype).kind not in "iubO" and name not in captured.quantised
        }
        known = {n: captured.tensors.array(n) for n in captured.tensors if n not in stored}
        nodes = [n for n in model.graph.node if stored.keys().isdisjoint(n.output)]
        self._program = Program(
            host,
            [info.name for info in input_infos(model)],
            prepared(nodes, known, [o.name for o in model.graph.output], host),
        )
        self._store({name: to_tensor(array) for name, array in stored.items()}, captured)
        self.eval()

    def _store(self, content: dict[str, torch.Tensor], captured: Captured) -> None:
        program, nodes = self._program, [step.node for step in self._program.steps.steps]
        ranks = {
            node.input[0]: len(captured.meta(node.input[0])[1])
            for node in nodes
            if node.op_type == "BatchNormalization"
        }
        chosen = list(norms(nodes, content, ranks))
        statistics = {name for node in chosen for name in node.input[3:]}
        tensors: dict[str, Any] = {
            n: t if n in statistics else nn.Parameter(t) for n, t in content.items()
        }
        for number, node in enumerate(chosen):
            step = next(step for step in program.steps.steps if step.node is node)
            step.norm = layer(self, node, ranks[node.input[0]], tensors, number)
        held = {id(t) for t in (*self.parameters(), *self.buffers())}
        for name, tensor in tensors.items():
            if id(tensor) not in held:
                module, last, _ = place(self, name)
                module.register_parameter(last, tensor)
        found = {id(t): n for n, t in (*self.named_parameters(), *self.named_buffers())}
        names = {name: found[id(tensor)] for name, tensor in tensors.items()}
        for name, whole in names.items():
            path, _, last = whole.rpartition(".")
            program.places[name] = path, last
            if content[name].dtype == torch.float32:
                program.single = name
        self.names = names

    @property
    def outputs(self) -> list[str]:
        """What the model calls its outputs."""
        return self._program.steps.outputs

    def tensor(self, name: str) -> torch.Tensor:
        """A stored tensor by its name in the model."""
        path, last = self._program.places[name]
        found: torch.Tensor = getattr(self.get_submodule(path), last)
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        program = self._program
        if len(args) > len(program.inputs) or not kwargs.keys() <= {*program.inputs[len(args) :]}:
            raise TypeError(f"the model's inputs are {', '.join(program.inputs)}")
        values: Values = {name: self.tensor(name) for name in program.places}
        values |= zip(program.inputs, args, strict=False)
        values |= kwargs
        missing = [name for name in program.inputs if name not in values]
        if missing:
            raise TypeError(f"the model's input {missing[0]!r} is missing")
        single = torch.float32 if program.single is None else values[program.single].dtype
        device = next((values[n].device for n in program.places), torch.device("cpu"))
        self._run(program.steps, values, single, device)
        outputs = [
            to_tensor(v) if isinstance(v, np.ndarray) else v
            for v in (values[name] for name in program.steps.outputs)
        ]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _run(self, steps: Steps, values: Values, single: torch.dtype, device: torch.device) -> None:
        values |= steps.known
        for step in steps.steps:
            step.call.single, step.call.device = single, device
            given = [values[name] if name else None for name in step.node.input]
            for name, value in zip(step.node.output, self._made(step, given, values), strict=False):
                if name:
                    values[name] = value
            for name in step.over:
                del values[name]

    def _made(self, step: Step, given: list[Any], values: Values) -> Iterable[Any]:
        """What a node makes of its operands."""
        call, node = step.call, step.node
        if step.norm is not None:
            return [self.get_submodule(step.norm)(given[0])]
        if step.bodies:
            condition = given[0]
            if call.op != "If" or not isinstance(condition, np.ndarray):
                raise call.refuse("what it does depends on what is in the inputs")
            body = step.bodies["then_branch" if condition.item() else "else_branch"]
            self._run(body, values, call.single, call.device)
            return [values[name] for name in body.outputs]
        if call.op in ("Shape", "Size") and not isinstance(given[0], list):
            return [sizes(node, given[0].shape)]
        if call.op == "CastLike" and isinstance(given[0], np.ndarray):
            # Of the other operand only the type matters, which may be an activation's.
            like = given[1]
            if isinstance(like, torch.Tensor):
                like = to_array(torch.empty(0, dtype=like.dtype))
            return [given[0].astype(like.dtype)]
        if all(v is None or isinstance(v, np.ndarray) for v in given) and given:
            found = self._program.host.evaluate(node, given)
            if found is not None:
                return found
        operator = OPERATORS.get(call.op) if node.domain in ("", "ai.onnx") else None
        if operator is None:
            name = call.op if node.domain in ("", "ai.onnx") else f"{node.domain}.{call.op}"
            raise UnsupportedOperator(f"{name} in {call.place} has no like in torch here")
        operands: list[Any] = []
        for slot, value in enumerate(given):
            array = isinstance(value, np.ndarray)
            if slot in operator.settings and not array and value is not None:
                raise call.refuse(f"its operand {slot} depends on what is in the inputs")
            convert = array and slot not in (*operator.settings, *operator.either)
            operands.append(call.tensor(value) if convert else value)
        made = operator.compute(call, *operands)
        return made if isinstance(made, tuple) else [made]


def prepared(
    nodes: Iterable[onnx.NodeProto], known: dict[str, Known], outputs: list[str], host: Host
) -> Steps:
    """The nodes that are left when all is worked out that can be."""
    steps: list[Step] = []
    opset = host.opsets.get("", 1)
    for node in nodes:
        if any(name in known for name in node.output if name):
            continue
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            known[node.output[0]] = constant_array(node)
            continue
        if node.input and all(not name or name in known for name in node.input):
            found = host.evaluate(node, [known[n] if n else None for n in node.input])
            if found is not None:
                known |= {n: a for n, a in zip(node.output, found, strict=True) if n}
                continue
        step = Step(node, opset)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                body = attribute.g
                inside = {t.name: numpy_helper.to_array(t) for t in body.initializer}
                step.bodies[attribute.name] = prepared(
                    body.node, inside, [o.name for o in body.output], host
                )
        steps.append(step)
    last: dict[str, Step] = {}
    for step in steps:
        for name in (*step.node.input, *step.node.output, *infer.outer_names(step.node)):
            last[name] = step
    made = {name for step in steps for name in step.node.output if name}
    for name, step in last.items():
        if name in made and name not in outputs:
            step.over.append(name)
    return Steps(steps, known, outputs)


def read(attribute: onnx.AttributeProto) -> Any:
    """An attribute's content, as Python and numpy have it."""
    if attribute.type == onnx.AttributeProto.TENSOR:
        return numpy_helper.to_array(attribute.t)
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if attribute.type == onnx.AttributeProto.STRINGS:
        return [text.decode() for text in value]
    return list(value) if attribute.type in LISTS else value


LISTS = onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS
