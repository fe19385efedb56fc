"""How long an ONNX model takes in onnxruntime."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from spa_kernel.errors import SpaError
from spa_kernel.frontends.backend import Timed
from spa_kernel.frontends.onnx.beside import is_large, save_beside
from spa_kernel.frontends.onnx.inputs import Given, input_shapes
from spa_kernel.frontends.onnx.run import random_inputs


class OnnxTimed(Timed):
    """A model in onnxruntime: all optimisations, its own choice of threads, the CPU.

    Parameters
    ----------
    model : onnx.ModelProto
    given : dict
        Arrays or shapes of inputs, by name; what is not given is drawn at random.
    """

    def __init__(self, model: onnx.ModelProto, given: Given) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # The threads of a model that waits for its turn would go on turning for a while.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.feeds = random_inputs(model, input_shapes(model, given), given)
        try:
            with as_source(model) as source:
                self.session = onnxruntime.InferenceSession(
                    source, options, providers=["CPUExecutionProvider"]
                )
            self.session.run(None, self.feeds)
        except Exception as error:
            raise SpaError(f"onnxruntime cannot run the model: {error}") from error

    def seconds(self) -> float:
        start = time.perf_counter()
        self.session.run(None, self.feeds)
        return time.perf_counter() - start

    def split(self, pruned: Timed) -> np.ndarray:
        return np.array([min(pruned.seconds() for _ in range(5))])


@contextmanager
def as_source(model: onnx.ModelProto) -> Iterator[bytes | str]:
    """A model as onnxruntime takes it: by its content, or where that is too much, from a file."""
    if not is_large(model):
        yield model.SerializeToString()
        return
    # The runtime may hold on to the file of the weights where a system allows that.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "model.onnx"
        save_beside(model, path)
        yield str(path)
