"""A Keras model written as ONNX, and checked against its own forward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import onnx

from spa_kernel.errors import SpaError
from spa_kernel.frontends.keras.capture import functional, named_weights, reals, walk
from spa_kernel.frontends.keras.export.call import Call, Tensor
from spa_kernel.frontends.keras.export.registry import write
from spa_kernel.frontends.onnx.agreement import EXACT, disagreement
from spa_kernel.frontends.onnx.run import Runner
from spa_kernel.frontends.onnx.writer import Writer

BATCH = "N"

Forward = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def written(model: Any, feeds: Sequence[np.ndarray], forward: Forward) -> onnx.ModelProto:
    """A model as ONNX, with a free first axis where the model has one.

    Parameters
    ----------
    model : keras.Model
        Functional or Sequential, and built.
    feeds : sequence of numpy.ndarray
        Example inputs, in the order of ``model.inputs``; axes other than the first get their sizes.
    forward : callable
        What the model makes of inputs.

    Raises
    ------
    SpaError
        A layer cannot be written, or the outcome differs from the model's own.
    """
    outer, writer = functional(model), Writer(model.name)
    feeds = [feed.astype(t.dtype) for t, feed in zip(outer._inputs, feeds, strict=True)]
    free = all(t.shape and t.shape[0] is None for t in outer._inputs)
    free = free and len({len(feed) for feed in feeds}) == 1
    batch = BATCH if free else None
    variables = named_weights(model)
    names = {id(variable): name for name, variable in variables.items()}
    for name, variable in variables.items():
        writer.weight(name, np.asarray(keras.ops.convert_to_numpy(variable)))

    def perform(
        node: Any, name: str, inputs: list[Tensor], known: Mapping[int, Tensor]
    ) -> list[Tensor]:
        for tensor, held in zip(node.input_tensors, inputs, strict=True):
            ranks = len(tensor.shape), len(held.real.shape)
            if tensor.dtype != held.real.dtype or ranks[0] != ranks[1]:
                raise SpaError(f"{name} cannot be written as ONNX: its model converts its inputs")
        try:
            made = reals(node, known)
        except Exception as error:
            raise SpaError(
                f"{name} cannot be written as ONNX for a batch of any size: {error}"
            ) from error
        return write(Call(writer, names, node.operation, name, node.arguments, inputs, made))

    given = []
    for tensor, feed in zip(outer._inputs, feeds, strict=True):
        name = writer.input(tensor._keras_history.operation.name, feed, batch)
        shape = (None if free else feed.shape[0], *feed.shape[1:]) if feed.shape else ()
        given.append(Tensor(keras.KerasTensor(shape, tensor.dtype), name))
    found = walk(outer, given, perform)

    trials = [feeds, [another(feed) for feed in feeds]] if free else [feeds]
    expected = [forward(trial) for trial in trials]
    for at, (held, name) in enumerate(zip(found, outer.output_names, strict=True)):
        sizes = [outputs[at].shape for outputs in expected]
        if len({size[1:] for size in sizes}) > 1:
            raise SpaError(f"output {name!r} has a size that depends on the batch")
        first = None
        if len({size[:1] for size in sizes}) > 1:
            same = all(size[0] == len(trial[0]) for size, trial in zip(sizes, trials, strict=True))
            first = BATCH if same else f"{name}.0"
        writer.output(name, held.as_keras(writer, name), expected[0][at], first)
    made = writer.model()
    check(made, trials, expected)
    return made


def another(feed: np.ndarray) -> np.ndarray:
    """The rows of an example in another order, and one more."""
    last = feed[:1] * np.array(0.7, feed.dtype) if feed.dtype.kind == "f" else feed[:1]
    return np.concatenate([feed[::-1], last])


def check(
    model: onnx.ModelProto,
    trials: Sequence[Sequence[np.ndarray]],
    expected: Sequence[Sequence[np.ndarray]],
) -> None:
    """Raise `SpaError` where a model makes something else of inputs than is expected."""
    runner, names = Runner(model), [info.name for info in model.graph.input]
    for feeds, wanted in zip(trials, expected, strict=True):
        try:
            found = runner.run(dict(zip(names, feeds, strict=True)))
        except Exception as error:
            raise SpaError(f"what was written as ONNX does not run: {error}") from error
        for info, a, b in zip(model.graph.output, wanted, found, strict=True):
            worst = disagreement(a, b)
            if not worst <= EXACT:
                raise SpaError(
                    f"the model cannot be written as ONNX: output {info.name!r} would differ by "
                    f"{worst:.1e} of its deviation"
                )
