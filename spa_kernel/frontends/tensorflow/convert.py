"""A function of TensorFlow as an ONNX model."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import numpy_helper

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.onnx.inputs import input_shapes
from spa_kernel.frontends.onnx.run import Runner, random_inputs
from spa_kernel.frontends.tensorflow.order import settle
from spa_kernel.surgery.difference import difference

OPSET = 18
TOLERANCE = 1e-3
"""In units of the output's standard deviation."""


def converted(function: Any, module: Any) -> onnx.ModelProto:
    """What a concrete function computes; weights have the names of their variables.

    Parameters
    ----------
    function : tf.types.experimental.ConcreteFunction
    module : tf.Module or other
        Whose attributes say what variables are called, where it is a module.

    Raises
    ------
    CaptureError
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    traced = SimpleNamespace(get_concrete_function=lambda *_: function)
    try:
        model, _ = tf2onnx.convert.from_function(traced, input_signature=(), opset=OPSET)
        onnx.checker.check_model(model)
    except Exception as error:
        raise CaptureError(f"TensorFlow's model cannot be written as ONNX: {error}") from error
    settle(model)
    rename(model, dict(named_variables(function, module)))
    return model


def named_variables(function: Any, module: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Contents of variables, by the attributes that lead to them or else by their own names."""
    paths: dict[int, str] = {}
    if isinstance(module, tf.Module):
        found = module._flatten(predicate=lambda v: isinstance(v, tf.Variable), with_path=True)
        paths = {id(variable): ".".join(map(str, path)) for path, variable in found}
    for variable in function.variables:
        yield paths.get(id(variable), variable.name.partition(":")[0]), variable.numpy()


def rename(model: onnx.ModelProto, variables: dict[str, np.ndarray]) -> None:
    """Call weights like the only variable with their entries, in this or another order of axes."""
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    owners: dict[str, list[str]] = defaultdict(list)
    for tensor in graph.initializer:
        content = numpy_helper.to_array(tensor)
        if content.size > 1:
            same = [name for name, value in variables.items() if turned(value, content)]
            if len(same) == 1:
                owners[same[0]].append(tensor.name)
    new = {
        tensors[0]: name
        for name, tensors in owners.items()
        if len(tensors) == 1 and name not in taken
    }
    for tensor in graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]


def turned(variable: np.ndarray, content: np.ndarray) -> bool:
    """Whether a tensor is a variable, its axes perhaps in another order."""
    if variable.dtype != content.dtype or variable.size != content.size:
        return False
    if sorted(n for n in variable.shape if n > 1) != sorted(n for n in content.shape if n > 1):
        return False
    a, b = variable.squeeze(), content.squeeze()
    orders = itertools.permutations(range(a.ndim)) if a.ndim < 5 else [tuple(range(a.ndim))]
    return any(
        a.transpose(order).shape == b.shape and np.array_equal(a.transpose(order), b)
        for order in orders
    )


def check(function: Any, model: onnx.ModelProto, given: dict[str, Any]) -> None:
    """The ONNX model computes what the function does.

    Raises
    ------
    CaptureError
    """
    feeds = random_inputs(model, input_shapes(model, given), given)

    def tensor(spec: Any) -> Any:
        if not isinstance(spec, tf.TensorSpec):
            return spec
        if spec.name not in feeds:
            raise CaptureError(f"input {spec.name!r} has no part in what the model computes")
        return tf.constant(feeds[spec.name])

    args, kwargs = tf.nest.map_structure(tensor, function.structured_input_signature)
    expected = [value.numpy() for value in tf.nest.flatten(function(*args, **kwargs))]
    found = Runner(model).run(feeds)
    worst = max(map(difference, expected, found), default=0.0)
    if len(expected) != len(found) or not worst <= TOLERANCE:
        raise CaptureError(
            f"the ONNX model that was made differs from TensorFlow's by {worst:.2g} of the "
            "output's standard deviation"
        )
