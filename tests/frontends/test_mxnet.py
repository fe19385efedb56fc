"""Gluon blocks: pruned in place, exactly, and taken back bit for bit."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from mxnet_networks import (
    NETWORKS,
    Regions,
    Reshaped,
    Two,
    built,
    contents,
    filled,
    mx,
    nn,
    outputs,
    same,
)

import spa_kernel as spa
from spa_kernel.errors import CaptureError, InfeasibleTarget, SpaError, StaleSession

pytestmark = pytest.mark.mxnet


def masked_outputs(session, net, removed, inputs):
    """What the original gives with zeros for all that goes."""
    coupling, before = session.analysis.coupling, contents(net)
    for name, parameter in net.collect_params().items():
        content, value = before[name].copy(), session.analysis.graph.stored[name]
        for axis in range(content.ndim):
            content[(slice(None),) * axis + (~coupling.kept((value, axis), removed),)] = 0
        parameter.set_data(mx.nd.array(content))
    found = outputs(net, inputs)
    for name, parameter in net.collect_params().items():
        parameter.set_data(mx.nd.array(before[name]))
    return found


def train(net, inputs):
    settings = {"learning_rate": 1e-3, "momentum": 0.9}
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", settings)
    losses = []
    for _ in range(5):
        with mx.autograd.record():
            found = net(*inputs)
            several = isinstance(found, list | tuple)
            loss = sum((a**2).mean() for a in (found if several else [found]))
        loss.backward()
        trainer.step(1)
        losses.append(float(loss.asscalar()))
    return losses


@pytest.mark.parametrize("hybrid", [False, True], ids=["plain", "hybrid"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_prune_is_exact_trained_and_taken_back(name, hybrid):
    net, inputs = built(name)
    if hybrid:
        net.hybridize()
    before, weights = outputs(net, inputs), contents(net)
    session = spa.analyze(net, inputs)
    assert session.framework == "mxnet" and session.model is net
    assert same(contents(net), weights)
    plan = session.plan("random", ratio=0.4, seed=2)
    expected = masked_outputs(session, net, plan.mask(session.analysis.coupling), inputs)
    report = session.prune(plan)
    assert report.verification.ok and report.verification.error < 1e-4
    assert not report.notes
    after, pruned = outputs(net, inputs), contents(net)
    assert sum(a.size for a in pruned.values()) < sum(a.size for a in weights.values())
    for a, b in zip(expected, after, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4)

    session.undo()
    assert same(contents(net), weights) and same(outputs(net, inputs), before)
    session.redo()
    assert same(contents(net), pruned) and same(outputs(net, inputs), after)

    assert np.isfinite(train(net, inputs)).all()
    trained = contents(net)
    assert not same(trained, pruned)
    session.prune(criterion="l2", ratio=0.2)
    session.undo(2)
    assert same(contents(net), weights) and same(outputs(net, inputs), before)
    session.redo()
    assert same(contents(net), trained)


def test_a_pruned_block_trains_as_one_that_is_built_small():
    net, inputs = built("two")
    net.hybridize()
    train(net, inputs)
    spa.analyze(net, inputs).prune(criterion="l2", ratio=0.4)
    small, _ = filled(Two(width=net.left._units), [array.shape for array in inputs])
    assert net.left._units < 12
    for parameter, content in zip(
        small.collect_params().values(), contents(net).values(), strict=True
    ):
        parameter.set_data(mx.nd.array(content))
    assert train(small, inputs) == train(net, inputs)
    assert same(list(contents(small).values()), list(contents(net).values()))


def test_layers_know_their_new_sizes():
    net, inputs = built("convs")
    spa.analyze(net, inputs).prune(criterion="l1", ratio=0.5)
    shown = repr(net)
    first, depthwise, last = net[0], net[5], net[-1]
    assert first.weight.shape[0] == first._channels < 16
    assert f"3 -> {first._channels}" in shown
    assert depthwise._kwargs["num_group"] == depthwise._kwargs["num_filter"] < 16
    assert last.weight.shape == (4, last._in_units) and last._in_units < 20


def test_files_of_mxnet_are_read_and_written(tmp_path):
    net, inputs = built("convs")
    net.hybridize()
    expected = outputs(net, inputs)
    net.export(str(tmp_path / "net"), epoch=3)
    session = spa.analyze(tmp_path / "net-symbol.json", inputs)
    assert same(outputs(session.model, inputs), expected)
    assert session.prune(criterion="l1", flops=2).verification.ok
    session.export(tmp_path / "small-symbol.json")
    small = mx.gluon.SymbolBlock.imports(
        str(tmp_path / "small-symbol.json"), ["data"], str(tmp_path / "small-0000.params")
    )
    pruned = outputs(session.model, inputs)
    assert same(outputs(small, inputs), pruned)
    assert np.isfinite(train(small, inputs)).all()
    # The block does the same as its symbol.
    twin = spa.analyze(net, inputs)
    twin.prune(criterion="l1", flops=2)
    assert same(outputs(net, inputs), pruned)
    session.undo()
    assert same(outputs(session.model, inputs), expected)


def test_export_to_onnx(tmp_path):
    net, inputs = built("two")
    session = spa.analyze(net, inputs)
    session.prune(criterion="l1", ratio=0.5)
    train(net, inputs)
    session.export(tmp_path / "net.onnx")
    model = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    feeds = {f"data{at}": array.asnumpy() for at, array in enumerate(inputs)}
    for a, b in zip(model.run(None, feeds), outputs(net, inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    # A batch of another size.
    alone = {name: array[:1] for name, array in feeds.items()}
    for a, b in zip(model.run(None, alone), outputs(net, inputs), strict=True):
        np.testing.assert_allclose(a, b[:1], rtol=1e-4, atol=1e-5)


def test_numbers_of_the_code_are_no_weights():
    boxes = mx.nd.array([[0, 1, 1, 8, 8], [1, 2, 3, 9, 9]])
    net, inputs = filled(Regions(), [(2, 3, 12, 12)], boxes)
    session = spa.analyze(net, inputs)
    assert session.cost[1] == sum(array.size for array in contents(net).values())
    assert session.prune(criterion="l1", ratio=0.4).verification.ok


def test_a_batch_size_in_the_code_stays():
    net, inputs = filled(Reshaped(batch=2), [(2, 3, 6, 6)])
    session = spa.analyze(net, inputs)
    sizes = [
        i.type.tensor_type.shape.dim[0].dim_value for i in session.backend.as_onnx().graph.input
    ]
    assert sizes == [2]
    data = [inputs[0].repeat(3, axis=0)]
    assert session.prune(criterion="wanda", ratio=0.3, data=data).verification.ok


def test_sizes_in_the_code_stay():
    net, inputs = filled(Reshaped(width=16), [(2, 3, 6, 6)])
    session = spa.analyze(net, inputs)
    report = session.prune(criterion="l1", ratio=0.5)
    assert report.verification.ok
    assert net.stem.weight.shape[0] == 16 and net.wide.weight.shape[0] < 24
    assert any("could not follow" in note for note in report.notes)


def test_data_is_taken_as_mxnet_gives_it(tmp_path):
    net, inputs = built("convs")
    session = spa.analyze(net, inputs)
    samples = mx.nd.array(np.random.default_rng(0).standard_normal((4, 3, 8, 8)))
    loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(samples, mx.nd.zeros(4)), 2)
    before, weights = outputs(net, [samples]), contents(net)
    session.prune(criterion="obspa", ratio=0.3, data=loader)
    mended = outputs(net, [samples])
    session.export(tmp_path / "net.onnx")
    model = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    [found] = model.run(None, {"data": samples[:2].asnumpy()})
    np.testing.assert_allclose(found, mended[0][:2], rtol=1e-3, atol=1e-4)
    session.undo()
    assert same(contents(net), weights) and same(outputs(net, [samples]), before)
    session.redo()
    assert same(outputs(net, [samples]), mended)


def test_gradients_are_those_of_mxnet():
    net, inputs = built("convs")
    session = spa.analyze(net, inputs)
    labels = mx.nd.array([1, 3], dtype="int64")
    data, loss = [(inputs[0], labels)], torch.nn.functional.cross_entropy
    found = session.backend.statistic("gradient", session.analysis.coupling, data, loss)
    with mx.autograd.record(train_mode=False):
        wrong = mx.gluon.loss.SoftmaxCrossEntropyLoss()(net(*inputs), labels).mean()
    wrong.backward()
    for name, parameter in net.collect_params().items():
        if parameter.grad_req != "null":
            expected = parameter.grad().asnumpy()
            atol = 1e-4 * np.abs(expected).max()
            np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=atol)
    assert session.prune(criterion="taylor", ratio=0.3, data=data, loss=loss).verification.ok


def test_a_session_is_saved_and_loaded(tmp_path):
    net, inputs = built("convs")
    session = spa.analyze(net, inputs)
    session.prune(criterion="l1", ratio=0.3)
    expected = outputs(net, inputs)
    session.save(tmp_path / "net.spa")
    session.undo()
    before = contents(net)
    for parameter in net.collect_params().values():
        parameter.set_data(parameter.data() * 0 + 1)
    loaded = spa.load(tmp_path / "net.spa", net)
    assert same(outputs(net, inputs), expected)
    loaded.undo()
    assert same(contents(net), before)


def test_latency_is_that_of_mxnet():
    net, inputs = built("convs")
    session = spa.analyze(net, inputs)
    coupling = session.analysis.coupling
    removed = session.plan("l1", ratio=0.5).mask(coupling)
    before = contents(net)
    assert session.backend.timed().seconds() > 0
    assert session.backend.timed(coupling, removed).seconds() > 0
    assert same(contents(net), before)


def test_what_cannot_be_read_is_refused():
    class Python(nn.Block):
        def forward(self, x):
            return x * float(x.sum().asscalar())

    net, inputs = built("convs")
    for block, given, reason in [
        (nn.Dense(3), inputs, "initialize"),
        (Python(), inputs, "hybridized"),
        (net, None, "shape of an input"),
        (net, (2, 3), "fails on the example input"),
        (net, inputs * 2, "fails on the example input"),
    ]:
        with pytest.raises(CaptureError, match=reason):
            spa.analyze(block, given)
    with pytest.raises(CaptureError, match="there is no file"):
        spa.analyze("nothing-symbol.json", inputs)


def test_what_cannot_be_done_is_refused_and_nothing_is_changed():
    net, inputs = built("convs")
    session, before = spa.analyze(net, inputs), contents(net)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd")
    with pytest.raises(InfeasibleTarget, match="Trainer anew"):
        session.prune(criterion="l1", ratio=0.3, optimizer=trainer)
    with pytest.raises(SpaError):
        session.prune(criterion="taylor", ratio=0.3, data=[(inputs[0], inputs[0])])
    assert same(contents(net), before)
    net.add(nn.Dense(2))
    net[-1].initialize()
    net(*inputs)
    with pytest.raises(StaleSession):
        session.prune(criterion="l1", ratio=0.3)


def test_a_wrong_cut_is_found_and_nothing_is_changed(monkeypatch):
    from spa_kernel.frontends.mxnet import sizes

    net, inputs = built("convs")
    session, before = spa.analyze(net, inputs), contents(net)
    right = sizes.fill

    def wrong(parameter, content, swaps):
        right(parameter, content[..., ::-1].copy(), swaps)

    monkeypatch.setattr(sizes, "fill", wrong)
    with pytest.raises(SpaError):
        session.prune(criterion="l1", ratio=0.3)
    assert same(contents(net), before)
