"""A saved session comes back on a fresh model, history included."""

import onnx
import pytest
import torch
from torch import nn

import spa_kernel as spa


def network():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3),
        nn.Flatten(),
        nn.Linear(16 * 16, 5),
    )


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_step_comes_back(tmp_path):
    net = network()
    session = spa.analyze(net, (1, 3, 8, 8), name="small")
    states = [state(net)]
    session.prune(ratio=0.5)
    with torch.no_grad():
        net[0].weight.add_(1)  # trained on, in between
    states.append(state(net))
    session.prune(flops=1.2)
    states.append(state(net))
    path = session.save(tmp_path / "work.spa")
    assert same(state(net), states[2])

    other = network()
    loaded = spa.load(path, other)
    assert loaded.name == "small"
    assert [s.label for s in loaded.history] == [s.label for s in session.history]
    for expected in reversed(states):
        assert same(state(other), expected)
        if loaded.history.position:
            loaded.undo()
    loaded.redo(2)
    assert same(state(other), states[2])


def test_another_model_is_refused_and_left_alone(tmp_path):
    net = network()
    session = spa.analyze(net, (1, 3, 8, 8))
    session.prune(ratio=0.5)
    path = session.save(tmp_path / "work.spa")
    other = network()
    other[3] = nn.Conv2d(16, 8, 3)
    other[5] = nn.Linear(8 * 16, 5)
    before = state(other)
    with pytest.raises(spa.SpaError, match="do not fit"):
        spa.load(path, other)
    assert same(state(other), before)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "text.spa"
    path.write_text("hello")
    with pytest.raises(spa.SpaError, match="no saved session"):
        spa.load(path, network())


def test_onnx(tmp_path):
    net = network().eval()
    program = torch.onnx.export(net, (torch.randn(1, 3, 8, 8),), dynamo=True, optimize=False)
    proto, fresh = program.model_proto, onnx.ModelProto()
    fresh.CopyFrom(proto)
    session = spa.analyze(proto)
    session.prune(ratio=0.5)
    loaded = spa.load(session.save(tmp_path / "work.spa"), fresh)
    assert fresh.SerializeToString(deterministic=True) == proto.SerializeToString(
        deterministic=True
    )
    loaded.undo()
    assert len(loaded.history) == 2


def test_what_was_saved_stays_until_all_is_written(tmp_path, monkeypatch):
    net = network()
    session = spa.analyze(net, (1, 3, 8, 8))
    session.prune(ratio=0.5)
    path = session.save(tmp_path / "work.spa")
    session.prune(flops=1.2)
    written, before, snapshot = path.read_bytes(), state(net), session.backend.snapshot

    def interrupted():
        if session.history.position == 1:
            raise KeyboardInterrupt
        return snapshot()

    monkeypatch.setattr(session.backend, "snapshot", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.save(path)
    assert session.history.position == 2
    assert same(state(net), before)
    assert [file.name for file in tmp_path.iterdir()] == ["work.spa"]
    assert path.read_bytes() == written
