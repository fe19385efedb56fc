"""Run an ONNX model once, to see what it computes."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from spa_kernel.frontends.onnx.inputs import Given, input_infos

LIMIT = 2**31 - 2**24
"""Protocol buffers cannot be longer than 2 GiB in one piece."""


@contextmanager
def serialized(model: onnx.ModelProto) -> Iterator[bytes | str]:
    """The model as bytes, or as a temporary file with the weights beside it if it is too large."""
    if sum(len(t.raw_data) for t in model.graph.initializer) < LIMIT:
        yield model.SerializeToString()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        # `save_model` would move the weights of the model at hand out of it.
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        onnx.save_model(copy, path, save_as_external_data=True)
        yield path


def run(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray], names: Sequence[str] | None = None
) -> list[np.ndarray]:
    """Outputs (or the named ones) for the given inputs, with onnxruntime if it is installed."""
    with serialized(model) as source:
        if importlib.util.find_spec("onnxruntime") is not None:
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.log_severity_level = 4
            session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            results = session.run(names, feeds)
        else:
            from onnx.reference import ReferenceEvaluator

            results = ReferenceEvaluator(source).run(names, feeds)
    return [np.asarray(r) for r in results]


def random_inputs(
    model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]], given: Given, seed: int = 0
) -> dict[str, np.ndarray]:
    """The arrays that were passed; random ones of the right shape for the others."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for info in input_infos(model):
        dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        value, shape = given.get(info.name), shapes[info.name]
        if isinstance(value, np.ndarray):
            feeds[info.name] = value.astype(dtype, copy=False)
        elif np.issubdtype(dtype, np.integer) or dtype == np.bool_:
            # Small numbers are valid as token, class or position in about any model.
            feeds[info.name] = rng.integers(0, 2, shape).astype(dtype)
        else:
            feeds[info.name] = rng.standard_normal(shape).astype(dtype)
    return feeds


def shapes_by_running(
    model: onnx.ModelProto, feeds: dict[str, np.ndarray], names: Sequence[str]
) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element type and shape of any values, for operators whose shapes nothing else tells."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {o.name for o in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in present)
    arrays = run(copy, feeds, names)
    return {
        name: (helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(names, arrays, strict=True)
    }
