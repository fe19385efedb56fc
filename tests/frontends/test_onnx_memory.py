"""What is held of large models, and how they are written."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, inliner, parser
from onnx_networks import build, content, convs

import spa_kernel as spa
from spa_kernel.errors import VerificationFailed
from spa_kernel.frontends.onnx import beside
from spa_kernel.frontends.onnx.run import Light, Ran
from spa_kernel.frontends.onnx.written import inline

WIDTH, DEPTH = 512, 12
"""12 MiB of weights, in tensors of which one is little against all."""


def deep() -> onnx.ModelProto:
    lines = [f"h{i} = MatMul (r{i}, w{i}) r{i + 1} = Relu (h{i})" for i in range(DEPTH)]
    text = f"net (float[1,{WIDTH}] r0) => (float[1,4] y) {{ {' '.join(lines)} "
    text += f"y = MatMul (r{DEPTH}, last) }}"
    return build(text, last=(WIDTH, 4), **{f"w{i}": (WIDTH, WIDTH) for i in range(DEPTH)})


def test_a_prune_holds_little_beside_the_model(tmp_path: Path) -> None:
    """One masked copy of the weights, and what is left of them, but not all at the same time."""
    path = tmp_path / "net.onnx"
    onnx.save_model(deep(), path, save_as_external_data=True)
    stored = {file: file.read_bytes() for file in tmp_path.iterdir()}
    session = spa.analyze(path)
    before = content(session.model)
    weights = sum(len(t.raw_data) for t in session.model.graph.initializer)
    plan = session.plan(criterion="l1", ratio=0.25, scope="local")
    tracemalloc.start()
    try:
        report = session.prune(plan)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.verification.error is not None
    assert peak < 1.35 * weights
    session.undo()
    assert content(session.model) == before
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == stored


def test_large_models_are_written_tensor_by_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = deep()
    model.producer_name, model.graph.doc_string = "somebody", "notes"
    model.metadata_props.add(key="a", value="b")
    model.graph.initializer[0].doc_string = "the last one"
    before = model.SerializeToString()
    session = spa.analyze(model)
    for limit, files in ((beside.LARGE, {"a.onnx"}), (0, {"a.onnx", "a.onnx.data"})):
        monkeypatch.setattr(beside, "LARGE", limit)
        session.export(tmp_path / "a.onnx")
        assert {file.name for file in tmp_path.iterdir()} == files
        onnx.checker.check_model(tmp_path / "a.onnx", full_check=True)
        written = onnx.load_model(tmp_path / "a.onnx")
        for tensor in written.graph.initializer:
            tensor.ClearField("data_location")
        assert written == model
    assert model.SerializeToString() == before


def test_large_models_are_saved_and_timed_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step may need the whole model in one message, which ends at 2 GiB."""
    model, fresh = deep(), deep()
    session = spa.analyze(model)
    session.prune(criterion="l1", ratio=0.25, scope="local")
    monkeypatch.setattr(beside, "LARGE", 0)
    whole, written = onnx.ModelProto.SerializeToString, []

    def small(message: onnx.ModelProto) -> bytes:
        written.append(len(whole(message)))
        return whole(message)

    with monkeypatch.context() as patch:
        patch.setattr(onnx.ModelProto, "SerializeToString", small)
        session.save(tmp_path / "saved")
        spa.load(tmp_path / "saved", fresh)
        assert session.backend.timed().seconds() > 0
    assert max(written) < 2**16
    assert content(fresh) == content(model)


def test_outputs_that_are_kept() -> None:
    model = build("net (float[1,8] x) => (float[1,4] y) { y = MatMul (x, w) }", w=(8, 4))
    made = []

    def again() -> Light:
        made.append(1)
        return Light.of(model)

    feeds = {"x": np.ones((1, 8), np.float32)}
    ran = Ran(Light.of(model), feeds, again)
    np.testing.assert_array_equal(ran.run(feeds)[0], Light.of(model).run(feeds)[0])
    assert not made
    other = {"x": np.full((1, 8), 2, np.float32)}
    np.testing.assert_array_equal(ran.run(other)[0], Light.of(model).run(other)[0])
    assert made
    broken = Ran(Light.of(model), {"x": np.ones((1, 9), np.float32)}, again)
    with pytest.raises(Exception, match="invalid dimensions for input: x"):
        broken.run({"x": np.ones((1, 9), np.float32)})


@pytest.mark.parametrize("differs", [False, True])
def test_the_original_is_run_once_more_on_other_inputs(
    monkeypatch: pytest.MonkeyPatch, differs: bool
) -> None:
    """Where a difference may be rounding: the prune is taken off for it, and put on again."""
    from spa_kernel.surgery import onnx_verify

    model = convs()
    session, before = spa.analyze(model), content(model)
    # As if the first comparison had found a difference that only rounding explains.
    found = iter([1.5e-3, 1.0 * (not differs)])
    monkeypatch.setattr(onnx_verify, "difference", lambda a, b: next(found))
    monkeypatch.setattr("spa_kernel.session.pruning.culprits", lambda *args: [])
    plan = session.plan(criterion="l1", ratio=0.25, scope="local")
    if differs:
        with pytest.raises(VerificationFailed):
            session.prune(plan)
    else:
        session.prune(plan)
        assert content(model) != before
        session.undo()
    assert content(model) == before


def test_functions_are_written_out_without_the_weights() -> None:
    model = parser.parse_model(
        """<ir_version: 9, opset_import: ["": 18, "own": 1]>
        net (float[1,4] x) => (float[1,4] y) { h = own.F (x, w) y = own.F (h, w__1) }
        <domain: "own", opset_import: ["": 18]>
        F (a, b) => (c) { w = MatMul (a, b) c = Relu (w) }"""
    )
    for name in ("w", "w__1", "w__2"):
        values = np.eye(4, dtype=np.float32).ravel()
        model.graph.initializer.append(helper.make_tensor(name, 1, [4, 4], values))
    before = model.SerializeToString()
    assert inline(model) == inliner.inline_local_functions(model)
    assert model.SerializeToString() == before
