"""Models of TensorFlow: modules and SavedModels become ONNX models, Keras models stay.

TensorFlow is not among the test requirements; with it: pytest tests/frontends/test_tensorflow.py
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import spa_kernel as spa
from spa_kernel.errors import CaptureError

HERE = Path(__file__).parent
NEEDED = 'needs TensorFlow: pip install "spa_kernel[tensorflow]"'

missing = [name for name in ("tensorflow", "tf2onnx") if importlib.util.find_spec(name) is None]
needed = pytest.mark.skipif(bool(missing), reason=NEEDED)


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow", reason=NEEDED)


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


@needed
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


@needed
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


@needed
@pytest.mark.slow
def test_keras_on_tensorflow():
    """Keras takes one framework per process."""
    files = ["test_keras.py", "test_keras_subclassed.py", "keras_on_tensorflow.py"]
    which = "not (jax or groups_and_scores)"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(str(HERE / file) for file in files), "-k", which],
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
