"""Run an ONNX model once, to see what it computes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from spa_kernel.frontends.onnx.infer import has_subgraph
from spa_kernel.frontends.onnx.inputs import Given, input_infos

LARGE = 2**14
"""Tensors of at least so many bytes are fed to a run instead of copied into its model."""
MEMORY = 2**33
"""Bytes that a model with loops may take where the machine does not say how much it has."""
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


@dataclass(slots=True)
class Light:
    """A copy of a model without its large weights, which have become inputs.

    It takes little memory and never passes the 2 GiB that protocol buffers can hold.
    """

    model: onnx.ModelProto
    weights: dict[str, np.ndarray]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Light:
        """Copy everything but the large weights, which are read from the model."""
        new = onnx.ModelProto(ir_version=model.ir_version, graph=onnx.GraphProto())
        for field in ("opset_import", "functions", "metadata_props"):
            getattr(new, field).extend(getattr(model, field))
        for field in ("node", "input", "output", "value_info", "sparse_initializer"):
            getattr(new.graph, field).extend(getattr(model.graph, field))
        new.graph.name = model.graph.name or "graph"
        weights, declared = {}, {info.name for info in model.graph.input}
        for tensor in model.graph.initializer:
            if tensor.data_type in FLOATS and 4 * np.prod(tensor.dims) >= LARGE:
                weights[tensor.name] = numpy_helper.to_array(tensor)
                if tensor.name not in declared:
                    new.graph.input.append(
                        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                    )
            else:
                new.graph.initializer.append(tensor)
        return cls(new, weights)

    def run(
        self, feeds: dict[str, np.ndarray], names: Sequence[str] | None = None
    ) -> list[np.ndarray]:
        """Outputs (or the named ones), as by `Runner`."""
        return Runner(self.model).run({**feeds, **self.weights}, names)

    def inside(self, feeds: dict[str, np.ndarray], name: str) -> np.ndarray:
        """A value on the way to the outputs."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        model.graph.output.append(onnx.ValueInfoProto(name=name))
        return Light(model, self.weights).run(feeds, [name])[0]


class Ran(Light):
    """A model that was run while it was there: what came out, without the weights.

    Parameters
    ----------
    light : Light
    feeds : dict
        What it is run on now.
    again : callable
        Makes the model anew, should it be run on anything else.
    """

    def __init__(
        self, light: Light, feeds: dict[str, np.ndarray], again: Callable[[], Light]
    ) -> None:
        super().__init__(light.model, {})
        self._feeds, self._again = feeds, again
        self._outputs: list[np.ndarray] = []
        self._failed: Exception | None = None
        try:
            # Copies, as what onnxruntime gives back keeps all memory of its session.
            self._outputs = [array.copy() for array in light.run(feeds)]
        except Exception as error:
            self._failed = error.with_traceback(None)
            self._failed.__context__ = None  # frames of both would hold the weights

    def run(
        self, feeds: dict[str, np.ndarray], names: Sequence[str] | None = None
    ) -> list[np.ndarray]:
        """What came out, if these are the feeds that it was run on."""
        same = all(np.array_equal(feeds[name], array) for name, array in self._feeds.items())
        if names is not None or not same:
            return self._again().run(feeds, names)
        if self._failed is not None:
            raise self._failed
        return self._outputs

    def inside(self, feeds: dict[str, np.ndarray], name: str) -> np.ndarray:
        return self._again().inside(feeds, name)


class Runner:
    """Runs a model many times: by onnxruntime where it knows the operators.

    Parameters
    ----------
    model : onnx.ModelProto
    threads : int
        How many the runtime may keep; 0 leaves that to it.
    """

    def __init__(self, model: onnx.ModelProto, threads: int = 0) -> None:
        self._source, self._threads = model.SerializeToString(), threads
        self._bodies = any(has_subgraph(node) for node in model.graph.node)
        self._session: Any = None
        self._unknown: Exception | None = None

    def run(
        self, feeds: dict[str, np.ndarray], names: Sequence[str] | None = None
    ) -> list[np.ndarray]:
        """Outputs, or the named ones."""
        if importlib.util.find_spec("onnxruntime") is None:
            return self._by_reference(feeds, names)
        failed = self._unknown
        if failed is None:
            try:
                if self._session is None:
                    self._session = session(self._source, self._threads, self._bodies)
                return [np.asarray(r) for r in self._session.run(names, feeds)]
            except Exception as error:
                failed = error
                if self._session is None:
                    self._unknown = error
        if self._bodies:
            raise failed  # nobody knows beforehand how much memory a loop takes
        # Not every operator exists for every type there, such as convolutions in float64.
        try:
            return self._by_reference(feeds, names)
        except Exception:
            raise failed from None

    def _by_reference(
        self, feeds: dict[str, np.ndarray], names: Sequence[str] | None
    ) -> list[np.ndarray]:
        """By the slow evaluator that comes with onnx."""
        from onnx.reference import ReferenceEvaluator

        results = ReferenceEvaluator(self._source).run(names, feeds)
        return [np.asarray(r) for r in results]


def session(source: bytes, threads: int, bounded: bool = False) -> Any:
    """The model in onnxruntime, as it is written; ``bounded``: in a part of the memory only."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    # Threads of a session that waits for its turn would go on turning for a while.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if bounded:
        bound_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


@cache
def bound_memory() -> None:
    """Let sessions that ask for it take a quarter of the machine's memory at most."""
    import onnxruntime as ort

    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    most = pages * os.sysconf("SC_PAGE_SIZE") // 4 if pages > 0 else MEMORY
    kind = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    info = ort.OrtMemoryInfo("Cpu", kind, 0, ort.OrtMemType.DEFAULT)
    # Not in powers of two, which would come to the bound too early.
    arena = ort.OrtArenaCfg({"max_mem": most, "arena_extend_strategy": 1})
    ort.create_and_register_allocator(info, arena)


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
    light = Light.of(model)
    present = {o.name for o in light.model.graph.output}
    light.model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in present)
    arrays = light.run(feeds, names)
    return {
        name: (helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(names, arrays, strict=True)
    }
