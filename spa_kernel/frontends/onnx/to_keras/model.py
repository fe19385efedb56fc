"""An ONNX model built in Keras, and checked against onnxruntime."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from spa_kernel.errors import SpaError
from spa_kernel.frontends.onnx.agreement import EXACT, disagreement
from spa_kernel.frontends.onnx.infer import RANDOM, has_subgraph
from spa_kernel.frontends.onnx.inputs import input_infos
from spa_kernel.frontends.onnx.run import Runner, random_inputs
from spa_kernel.frontends.onnx.to_keras.call import Call, Shared, Value
from spa_kernel.frontends.onnx.to_keras.registry import build, refusal
from spa_kernel.frontends.onnx.written import inline


def keras_from_onnx(model: onnx.ModelProto) -> Any:
    """A functional Keras model that computes what an ONNX model does.

    Inputs and outputs keep their axes. Stored tensors become variables of layers; one that is
    used by layers of several kinds becomes a variable of each. The model has been saved, loaded
    and compared with onnxruntime on random inputs.

    Parameters
    ----------
    model : onnx.ModelProto
        All sizes of its inputs but the first must be known.

    Returns
    -------
    keras.Model

    Raises
    ------
    SpaError
        An operator cannot be built, or the outcome differs.
    """
    model = inline(model)
    net = built(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.keras"
        try:
            net.save(path)
            loaded = keras.models.load_model(path)
        except Exception as error:
            raise SpaError(f"what was built in Keras cannot be saved: {error}") from error
    check(model, loaded)
    return loaded


def built(model: onnx.ModelProto) -> Any:
    """The Keras model, not yet compared."""
    shared, known = Shared(), dict[str, Value]()
    for tensor in model.graph.initializer:
        known[tensor.name] = Value(numpy_helper.to_array(tensor), tensor.name, weight=True)
    for info, shape in inputs_of(model):
        kind = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type).name
        name = "".join(c if c.isalnum() or c in "_-" else "_" for c in info.name)
        tensor = keras.Input(batch_shape=shape, dtype=kind, name=name)
        shared.inputs.append(tensor)
        known[info.name] = Value(first=tensor)
    opset = next(i.version for i in model.opset_import if i.domain in ("", "ai.onnx"))
    for proto in with_biases(model, known):
        inputs = [known[name] if name else None for name in proto.input]
        if has_subgraph(proto) or proto.op_type in RANDOM:
            raise refusal(proto)
        if all(value is None or value.array is not None for value in inputs):
            made = folded(proto, inputs, opset)
        else:
            made = build(Call(proto, inputs, shared, opset))
        known.update(zip(proto.output, made, strict=False))
    outputs = []
    for info in model.graph.output:
        value = known[info.name]
        if value.array is not None:
            raise SpaError(f"output {info.name!r} depends on no input")
        reader = onnx.NodeProto(op_type="Identity")
        outputs.append(Call(reader, [value], shared, opset).first())
    try:
        return keras.Model(shared.inputs, outputs if len(outputs) > 1 else outputs[0])
    except Exception as error:
        raise SpaError(f"the model cannot be built in Keras: {error}") from error


def inputs_of(model: onnx.ModelProto) -> Iterator[tuple[onnx.ValueInfoProto, tuple[Any, ...]]]:
    """What is fed, and its sizes; a first one that is not known is the batch."""
    for info in input_infos(model):
        dims = info.type.tensor_type.shape.dim
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
        if None in shape[1:]:
            raise SpaError(f"input {info.name!r} has sizes that are not known: {shape}")
        yield info, shape


def with_biases(model: onnx.ModelProto, known: dict[str, Value]) -> Iterator[onnx.NodeProto]:
    """All nodes; a product and a stored bias that is added to it are one."""
    nodes = model.graph.node
    readers = Counter(name for node in nodes for name in node.input)
    readers.update(info.name for info in model.graph.output)
    after = {name: node for node in nodes for name in node.input if node.op_type == "Add"}
    done = set[str]()
    for node in nodes:
        if node.op_type == "Add" and node.output[0] in done:
            continue
        (out, *_), add = node.output, after.get(node.output[0])
        if node.op_type == "MatMul" and add is not None and readers[out] == 1:
            kernel = known[node.input[1]].array if node.input[1] in known else None
            (name,) = [n for n in add.input if n != out] or [""]
            bias = known[name].array if name in known else None
            sizes = [w.shape if w is not None else () for w in (kernel, bias)]
            if len(sizes[0]) == 2 and sizes[1] == sizes[0][1:]:
                done.add(add.output[0])
                yield helper.make_node("Gemm", [*node.input, name], add.output, node.name)
                continue
        yield node


def folded(proto: onnx.NodeProto, inputs: list[Value | None], opset: int) -> list[Value]:
    """What a node makes of numbers that are known."""
    feeds = {
        name: value.array
        for name, value in zip(proto.input, inputs, strict=True)
        if value is not None
    }
    try:
        arrays = ReferenceEvaluator(proto, opsets={"": opset}).run(None, feeds)
    except Exception as error:
        raise refusal(proto, f": {error}") from error
    attrs = tuple(sorted(a.SerializeToString() for a in proto.attribute))
    origin = proto.op_type, attrs, tuple(v.origin if v is not None else None for v in inputs)
    weight = any(value is not None and value.weight for value in inputs)
    return [Value(np.asarray(a), (*origin, at), weight) for at, a in enumerate(arrays)]


def check(model: onnx.ModelProto, net: Any) -> None:
    """Raise `SpaError` where a Keras model makes something else than an ONNX model."""
    infos, runner = list(inputs_of(model)), Runner(model)
    free = any(shape[:1] == (None,) for _, shape in infos)
    for trial in (2, 3) if free else (0,):
        shapes = {info.name: tuple(trial if n is None else n for n in s) for info, s in infos}
        feeds = random_inputs(model, shapes, {}, seed=trial)
        given = [feeds[info.name] for info, _ in infos]
        try:
            expected = runner.run(feeds)
            found = net.predict_on_batch(given)
        except Exception as error:
            raise SpaError(f"the model cannot be compared with one in Keras: {error}") from error
        found = found if isinstance(found, list | tuple) else [found]
        for info, a, b in zip(model.graph.output, expected, found, strict=True):
            worst = disagreement(a, np.asarray(b))
            if not worst <= EXACT:
                raise SpaError(
                    f"the model cannot be built in Keras: output {info.name!r} would differ by "
                    f"{worst:.1e} of its deviation"
                )
