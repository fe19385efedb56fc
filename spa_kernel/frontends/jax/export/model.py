"""From a model in JAX to an ONNX model that computes the same."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import numpy as np
import onnx

from spa_kernel.errors import CaptureError, SpaError
from spa_kernel.frontends.jax.capture import trace
from spa_kernel.frontends.jax.export.check import batch_of, check, others
from spa_kernel.frontends.jax.export.reading import Reading
from spa_kernel.frontends.jax.export.sizes import TRACED, Bound, Size, merged
from spa_kernel.frontends.jax.export.tensors import Sheet, Tensor
from spa_kernel.frontends.jax.inputs import Inputs
from spa_kernel.frontends.jax.model import JaxModel, is_numeric
from spa_kernel.frontends.onnx.writer import Writer

BATCH = "N"


def to_onnx(model: JaxModel, inputs: Inputs) -> onnx.ModelProto:
    """The forward in eval mode; stored tensors are initializers of their name and shape.

    The first axis of the inputs is free where the model does the same for every size of it.

    Parameters
    ----------
    model : JaxModel
    inputs : (tuple, dict)
        Example inputs.

    Raises
    ------
    SpaError
        Something in it cannot be written, or onnxruntime computes something else.
    """
    try:
        made = written(model, inputs, free=True)
        check(made, model, inputs)
        check(made, model, others(inputs))
        return made
    except (Bound, CaptureError, SpaError):
        # What is in the way is said of the model as it is for these inputs.
        made = written(model, inputs, free=False)
    check(made, model, inputs)
    return made


def written(model: JaxModel, inputs: Inputs, *, free: bool) -> onnx.ModelProto:
    """The model, not compared with anything yet.

    Raises
    ------
    Bound
        ``free``, and it does something else for another size of the batch.
    CaptureError, SpaError
    """
    writer, arrays = Writer(model.title), model.arrays()
    sheet = Sheet(writer)
    if free:
        closed, twin = (trace(model, arrays, resized(inputs, size)) for size in TRACED)
    else:
        closed = twin = trace(model, arrays, inputs)
    # The order of `jax.tree.leaves`: dictionaries are sorted.
    names = sorted(arrays)
    operands: list[Tensor] = []
    for name, var in zip(names, closed.jaxpr.invars, strict=False):
        tensor = Tensor(tuple(var.aval.shape), np.dtype(object))
        if is_numeric(arrays[name]):
            array = np.asarray(arrays[name], var.aval.dtype)
            tensor = Tensor(array.shape, array.dtype, writer.weight(name, array))
        operands.append(tensor)
    variables = zip(closed.jaxpr.invars[len(names) :], twin.jaxpr.invars[len(names) :], strict=True)
    for title, (var, other) in zip(titles(model, inputs), variables, strict=True):
        shape = merged(tuple(var.aval.shape), tuple(other.aval.shape))
        example = np.empty([n if isinstance(n, int) else 1 for n in shape], var.aval.dtype)
        batched = any(isinstance(n, Size) for n in shape)
        name = writer.input(title, example, BATCH if batched else None)
        sheet.batched = sheet.batched or (name if batched else "")
        operands.append(Tensor(shape, example.dtype, name))
    stored = {t.name for t in operands[: len(names)] if t.name}
    results = Reading(sheet, stored).read(closed, twin, operands)
    outs = zip(results, closed.jaxpr.outvars, twin.jaxpr.outvars, strict=True)
    for i, (tensor, var, other) in enumerate(outs):
        shape = merged(tuple(var.aval.shape), tuple(other.aval.shape))
        value = sheet.name(sheet.expand(tensor, shape))
        output(writer, "output" if len(results) == 1 else f"output_{i}", value, shape, var)
    drop_unread(writer.graph)
    return writer.model()


def output(writer: Writer, name: str, value: str, shape: Any, var: Any) -> None:
    """An output; sizes that follow the batch are left open."""
    example = np.empty([n if isinstance(n, int) else 1 for n in shape], var.aval.dtype)
    writer.output(name, value, example)
    declared = writer.graph.output[-1].type.tensor_type.shape
    for size, place in zip(shape, declared.dim, strict=True):
        if isinstance(size, Size):
            place.dim_param = (
                BATCH if size == Size(1, 0) else f"{size.factor}*{BATCH}+{size.offset}"
            )


def resized(inputs: Inputs, size: int) -> Any:
    """Inputs of another batch, shapes only; one whose first axis is another one stays."""
    batch = batch_of(inputs)

    def shape(leaf: Any) -> Any:
        own = np.shape(leaf)
        found = (size, *own[1:]) if own[:1] == batch else own
        return jax.ShapeDtypeStruct(found, jax.numpy.asarray(leaf).dtype)

    return jax.tree.map(shape, inputs)


def titles(model: JaxModel, inputs: Inputs) -> list[str]:
    """What the inputs are called: as the model's arguments are."""
    args, kwargs = inputs
    try:
        own = [*inspect.signature(model.model).parameters]
    except (TypeError, ValueError):
        own = []
    own += [f"input_{i}" for i in range(len(own), len(args))]
    named = [(title, arg) for title, arg in zip(own, args, strict=False)]
    named += [(title, kwargs[title]) for title in sorted(kwargs)]
    return [title for title, arg in named for _ in jax.tree.leaves(arg)]


def drop_unread(graph: onnx.GraphProto) -> None:
    """Leave out nodes that no output needs."""
    needed = {o.name for o in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
