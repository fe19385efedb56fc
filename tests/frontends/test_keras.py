"""Keras models: pruned in place, exactly, and taken back bit for bit."""

import numpy as np
import pytest
import torch
from keras_networks import (
    NETWORKS,
    L,
    batch,
    filled,
    keras,
    predicted,
    residual,
    same,
    sequential,
)
from torch import nn

import spa_kernel as spa
from spa_kernel.errors import CaptureError, DataNeeded, VerificationFailed


def masked_outputs(session, net, removed, x):
    """What the original gives with zeros for all that goes."""
    coupling, weights = session.analysis.coupling, net.get_weights()
    for variable in net.weights:
        value = session.analysis.graph.captured.stored(variable)
        content = np.array(keras.ops.convert_to_numpy(variable))
        for axis in range(value.ndim):
            gone = ~coupling.kept((value, axis), removed)
            content[(slice(None),) * axis + (gone,)] = 0
        variable.assign(content)
    found = predicted(net, x)
    net.set_weights(weights)
    return found


def has_norms(net):
    kinds = L.LayerNormalization, L.GroupNormalization
    return any(isinstance(layer, kinds) for layer in net.layers)


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
def test_a_prune_is_exact_saved_trained_and_taken_back(make, tmp_path):
    net = filled(make)
    x, weights = batch(net), net.get_weights()
    before = predicted(net, x)
    session = spa.analyze(net, x)
    assert same(net.get_weights(), weights)
    plan = session.plan(criterion="random", ratio=0.4, seed=2)
    expected = masked_outputs(session, net, plan.mask(session.analysis.coupling), x)
    report = session.prune(plan)
    assert session.model is net
    assert report.verification.ok and report.verification.error < 1e-4
    assert net.count_params() < sum(w.size for w in weights)
    after, pruned = predicted(net, x), net.get_weights()
    if not has_norms(net):
        for a, b in zip(expected, after, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4)

    net.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    assert same(predicted(loaded, x), after)
    net.summary(print_fn=lambda *_, **__: None)

    session.undo()
    assert same(net.get_weights(), weights) and same(predicted(net, x), before)
    session.redo()
    assert same(net.get_weights(), pruned) and same(predicted(net, x), after)

    net.compile("adam", "mse")
    net.fit(x, [0 * y for y in after] if len(after) > 1 else 0 * after[0], verbose=0)
    trained = net.get_weights()
    assert not same(trained, pruned)
    session.undo()
    assert same(net.get_weights(), weights) and same(predicted(net, x), before)
    session.redo()
    assert same(net.get_weights(), trained)


def test_a_keras_file_is_read(tmp_path):
    net = filled(sequential)
    net.save(tmp_path / "net.keras")
    session = spa.analyze(str(tmp_path / "net.keras"))
    assert same(session.model.get_weights(), net.get_weights())
    assert session.prune(criterion="l1", ratio=0.4).verification.ok


def test_statistics_that_a_model_was_adapted_to(tmp_path):
    def make():
        parts = [L.Normalization(name="norm"), L.Flatten(), L.Dense(8, name="one")]
        return keras.Sequential([keras.Input((4, 4, 3)), *parts, L.Dense(3, name="two")])

    net, x = make(), np.random.default_rng(0).normal(2, 3, (8, 4, 4, 3)).astype(np.float32)
    net.layers[0].adapt(x)
    session, before = spa.analyze(net, x), predicted(net, x)
    assert session.prune(criterion="l1", ratio=0.4).verification.ok
    expected = predicted(net, x)
    session.export(tmp_path / "net.onnx")
    other = spa.load(session.save(tmp_path / "session"), make())
    assert same(predicted(other.model, x), expected)
    session.undo()
    assert same(predicted(net, x), before)


def test_an_optimizer_that_was_first_used_after_a_prune_does_not_stay():
    net = filled(residual)
    x, y = batch(net), np.zeros((4, 4))
    net.compile("adam", "mse")
    session = spa.analyze(net, x)
    session.prune(criterion="l1", ratio=0.4)
    for step in (session.undo, session.redo):
        net.fit(x, y, verbose=0)
        step()
    net.fit(x, y, verbose=0)


def test_prunes_follow_one_another():
    net = filled(residual)
    x = batch(net)
    session = spa.analyze(net, x)
    before = predicted(net, x)
    for seed in range(3):
        assert session.prune(criterion="random", ratio=0.2, seed=seed).verification.ok
    session.undo(3)
    assert same(predicted(net, x), before)


def test_a_model_that_was_trained_goes_on_training():
    net = filled(residual)
    x = batch(net)
    net.compile("adam", "mse")
    net.fit(x, np.zeros((4, 4)), verbose=0)
    optimizer, session = net.optimizer, spa.analyze(net, x)
    session.prune(criterion="l1", ratio=0.4)
    net.fit(x, np.zeros((4, 4)), verbose=0)
    session.undo()
    assert net.optimizer is optimizer
    net.fit(x, np.zeros((4, 4)), verbose=0)


def test_a_wrong_cut_is_found_and_nothing_is_changed(monkeypatch):
    from spa_kernel.surgery.keras import Surgeon

    net = filled(residual)
    x, weights, config = batch(net), net.get_weights(), net.get_config()
    before, session = predicted(net, x), spa.analyze(net, x)
    right = Surgeon.contents

    def wrong(self, masked):
        found = right(self, masked)
        return found if masked else [content * 1.01 for content in found]

    monkeypatch.setattr(Surgeon, "contents", wrong)
    with pytest.raises(VerificationFailed, match="masked original"):
        session.prune(criterion="l1", ratio=0.4)
    monkeypatch.undo()
    monkeypatch.setattr(Surgeon, "_training", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        session.prune(criterion="l1", ratio=0.4)
    assert same(net.get_weights(), weights) and same(predicted(net, x), before)
    assert net.get_config() == config


def twin(net):
    """The network of `residual` in torch, with the same weights."""

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.norm1 = nn.BatchNorm2d(8, eps=1e-3)
            self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
            self.norm2 = nn.BatchNorm2d(8, eps=1e-3)
            self.dense1 = nn.Linear(6 * 6 * 8, 10)
            self.dense2 = nn.Linear(10, 4)

        def forward(self, x):
            x = self.norm1(self.conv1(x)).relu()
            x = nn.functional.max_pool2d((x + self.norm2(self.conv2(x))).relu(), 2)
            return self.dense2(self.dense1(x.permute(0, 2, 3, 1).flatten(1)).relu())

    made = Twin().eval()
    order = [made.conv1, made.norm1, made.conv2, made.norm2, made.dense1, made.dense2]
    with torch.no_grad():
        for layer, own in zip([la for la in net.layers if la.weights], order, strict=True):
            arrays = [torch.tensor(np.array(w)) for w in layer.get_weights()]
            names = ["weight", "bias", "running_mean", "running_var"]
            for name, array in zip(names, arrays, strict=False):
                order_of = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
                getattr(own, name).copy_(array.permute(order_of))
    return made


def test_groups_and_scores_are_those_of_the_same_network_in_torch():
    net = filled(residual)
    x = batch(net)
    other = twin(net)
    inputs = torch.tensor(x).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        np.testing.assert_allclose(other(inputs), predicted(net, x)[0], rtol=1e-3, atol=1e-4)
    a, b = spa.analyze(net, x), spa.analyze(other, inputs)
    assert a.cost == b.cost
    mine, theirs = ([g for g in s.groups if g.prunable] for s in (a, b))
    assert [g.size for g in mine] == [g.size for g in theirs]
    assert [len(g.members) for g in mine] == [len(g.members) for g in theirs]
    scores = [s.importance("l1") for s in (a, b)]
    for one, two in zip(mine, theirs, strict=True):
        first, second = scores[0][one.id], scores[1][two.id]
        np.testing.assert_allclose(first, second, rtol=1e-4)
    a.prune(criterion="l1", ratio=0.4)
    b.prune(criterion="l1", ratio=0.4)
    with torch.no_grad():
        np.testing.assert_allclose(other(inputs), predicted(net, x)[0], rtol=1e-3, atol=1e-4)


def test_refusals_say_what_to_do():
    with pytest.raises(CaptureError, match="not built"):
        spa.analyze(keras.Sequential([L.Dense(3)]))
    with pytest.raises(CaptureError, match="unknown axes"):
        spa.analyze(keras.Sequential([keras.Input((None, 3)), L.Conv1D(4, 3)]))
    with pytest.raises(CaptureError, match="shape"):
        spa.analyze(sequential(), (1, 5, 5, 3))
    session = spa.analyze(sequential())
    with pytest.raises(DataNeeded, match="targets"):
        session.prune(criterion="taylor", data=[np.zeros((1, 12, 12, 3))], loss=abs, ratio=0.4)


def test_a_change_from_outside_is_noticed():
    net = filled(sequential)
    session = spa.analyze(net)
    net.pop()
    with pytest.raises(spa.errors.StaleSession):
        session.prune(criterion="l1", ratio=0.4)


def test_a_session_is_saved_and_loaded(tmp_path):
    keras.utils.clear_session()
    net = filled(sequential)
    keras.utils.clear_session()
    other = filled(sequential, seed=1)
    session = spa.analyze(net)
    session.prune(criterion="l1", ratio=0.4)
    path = session.save(tmp_path / "session")
    x = batch(net)
    loaded = spa.load(path, other)
    assert same(predicted(loaded.model, x), predicted(net, x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "DenseNet121"])
def test_networks_of_keras(name):
    make = getattr(keras.applications, name)
    net = filled(lambda: make(weights=None, input_shape=(64, 64, 3), classes=10))
    for variable in net.weights:
        if variable.path.endswith("kernel"):
            variable.assign(variable * np.sqrt(20 / np.prod(variable.shape[:-1])))
    x = batch(net, 2)
    before, session = predicted(net, x), spa.analyze(net, x)
    assert session.prune(criterion="l1", ratio=0.4).verification.ok
    after = predicted(net, x)
    again = keras.Model.from_config(net.get_config())
    again.set_weights(net.get_weights())
    assert same(predicted(again, x), after)
    session.undo()
    assert same(predicted(net, x), before)
