"""What is special to Keras on TensorFlow: functions that were compiled, and SavedModels."""

import numpy as np
import pytest
from keras_networks import batch, filled, keras, predicted, residual, same, sequential

import spa_kernel as spa

pytestmark = pytest.mark.tensorflow


@pytest.fixture(autouse=True)
def _backend():
    assert keras.backend.backend() == "tensorflow", "run with KERAS_BACKEND=tensorflow"


def test_what_was_compiled_for_other_sizes_is_forgotten():
    net = filled(residual)
    x, y = batch(net), np.zeros((4, 4))
    net.compile("adam", "mse")
    session, before = spa.analyze(net, x), predicted(net, x)
    session.prune(criterion="l1", ratio=0.4)
    net.fit(x, y, verbose=0)
    after = predicted(net, x)
    session.undo()
    assert same(predicted(net, x), before)
    net.fit(x, y, verbose=0)
    assert not same(predicted(net, x), before)
    session.redo()
    assert same(predicted(net, x), after)


def test_a_write_is_noticed():
    net = filled(sequential)
    session = spa.analyze(net)
    writes = session.backend.writes()
    assert session.backend.writes() == writes
    net.weights[0].assign(net.weights[0] + 1.0)
    assert session.backend.writes() != writes


def test_a_pruned_model_is_exported_as_a_saved_model_and_read_again(tmp_path):
    net = filled(sequential)
    x = batch(net)
    session = spa.analyze(net, x)
    session.prune(criterion="l1", ratio=0.4)
    expected = predicted(net, x)
    net.export(tmp_path / "net", verbose=False)
    other = spa.analyze(tmp_path / "net", x)
    assert other.framework == "onnx"
    assert any("kernel" in name for name in other.analysis.graph.stored)
    assert other.prune(criterion="l1", ratio=0.2).verification.ok
    assert same(predicted(net, x), expected)
