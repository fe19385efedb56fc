"""The model zoo's graphs that come with the onnx package, with weights that it leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx_networks import content

import spa_kernel as spa

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = sorted(path.stem for path in FOLDER.glob("*.onnx"))
SMALL = {"light_shufflenet", "light_squeezenet"}


def filled(name: str) -> onnx.ModelProto:
    """The graph with random weights, of a size that lets the signal through."""
    model = onnx.load(FOLDER / f"{name}.onnx")
    rng, shapes = np.random.default_rng(0), {}
    for tensor in model.graph.initializer:
        if tensor.name not in shapes:
            shapes[tensor.name] = numpy_helper.to_array(tensor)
    fills = {node.output[0]: node for node in model.graph.node if node.op_type == "ConstantOfShape"}
    variances = {n.input[4] for n in model.graph.node if n.op_type == "BatchNormalization"}
    for name_, node in fills.items():
        shape = tuple(int(n) for n in shapes[node.input[0]])
        array = rng.uniform(0.5, 1.5, shape)
        if len(shape) > 1:
            array = rng.standard_normal(shape) * (2 / max(np.prod(shape[1:]), 1)) ** 0.5
        elif name_ not in variances:
            array = array - 0.5
        stored = numpy_helper.from_array(array.astype(np.float32), name_)
        assert stored.data_type == TensorProto.FLOAT
        model.graph.initializer.append(stored)
    kept = [node for node in model.graph.node if node.op_type != "ConstantOfShape"]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def test_there_are_some() -> None:
    assert len(NAMES) >= 9


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in SMALL else [pytest.mark.slow]) for n in NAMES],
)
@pytest.mark.parametrize("weights", ["one number", "random"])
def test_pruned(name: str, weights: str) -> None:
    model = onnx.load(FOLDER / f"{name}.onnx") if weights == "one number" else filled(name)
    before = content(model)
    session = spa.analyze(model)
    report = session.prune(ratio=0.5, scope="local", criterion="random")
    old, new = report.plan.params
    assert new < 0.6 * old
    assert report.verification.ok
    if weights == "random":
        assert report.verification.error is not None
        assert report.verification.error < 1e-4
    session.undo()
    assert content(model) == before
