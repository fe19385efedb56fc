"""Models of TensorFlow: modules and SavedModels become ONNX models."""

import sys

import numpy as np
import pytest

import spa_kernel as spa
from spa_kernel.errors import CaptureError


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


def network(tf):
    """A small network whose weights stand in attributes and lists."""
    rng = np.random.default_rng(0)

    def weight(*shape):
        return tf.Variable(rng.standard_normal(shape).astype(np.float32) * 0.3)

    class Net(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = weight(3, 3, 3, 8)
            self.layers = [(weight(8, 12), weight(12)), (weight(12, 4), weight(4))]

        def __call__(self, image):
            x = tf.nn.relu(tf.nn.conv2d(image, self.kernel, 1, "SAME"))
            (w, b), (v, c) = self.layers
            return tf.nn.relu(tf.reduce_mean(x, [1, 2]) @ w + b) @ v + c

    return Net()


def images():
    return np.random.default_rng(1).standard_normal((2, 8, 8, 3)).astype(np.float32)


@pytest.mark.tensorflow
@pytest.mark.parametrize("saved", [False, True], ids=["module", "saved"])
def test_a_module_and_a_saved_model_become_onnx(tf, saved, tmp_path):
    net, x = network(tf), images()
    expected, model = net(x).numpy(), net
    if saved:
        spec = tf.TensorSpec((None, 8, 8, 3), name="image")
        call = tf.function(net.__call__).get_concrete_function(spec)
        tf.saved_model.save(net, str(tmp_path / "net"), signatures=call)
        model = tmp_path / "net"
    session = spa.analyze(model, x)
    assert session.framework == "onnx" and any("TensorFlow" in note for note in session.notes)
    assert [group.size for group in session.groups if group.prunable] == [8, 12]
    if not saved:
        assert {"kernel", "layers.0.0", "layers.1.1"} <= session.analysis.graph.stored.keys()
    assert session.prune(criterion="l1", ratio=0.4).verification.ok
    session.export(tmp_path / "pruned.onnx")
    path = session.save(tmp_path / "session")
    assert len(spa.load(path, model).history) == len(session.history)
    np.testing.assert_array_equal(net(x).numpy(), expected)


@pytest.mark.tensorflow
def test_refusals_say_what_to_do(tf, tmp_path):
    with pytest.raises(CaptureError, match="pass an example"):
        spa.analyze(network(tf))
    with pytest.raises(CaptureError, match="neither a signature nor __call__"):
        spa.analyze(tf.Module())
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(CaptureError, match="cannot be read"):
        spa.analyze(tmp_path)


def test_without_tensorflow_it_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(CaptureError, match=r"spa_kernel\[tensorflow\]"):
        spa.analyze(tmp_path)
