"""Models of TensorFlow, by way of ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.onnx.backend import OnnxBackend
from spa_kernel.graph.ir import Graph

NOTE = (
    "Variables of TensorFlow cannot be made smaller: this is an ONNX model of the same network, "
    "and TensorFlow's own stays as it is."
)


class TensorFlowBackend(OnnxBackend):
    """An ONNX model of what a tf.Module or a SavedModel computes.

    Parameters
    ----------
    model : tf.Module, str or Path
        Or what tf.saved_model.load returns. A path is that of a SavedModel's folder.
    inputs : shape, array, sequence of these, or dict of these by input name, optional
        Needed where the model does not state its inputs; an unknown batch is 1.
    """

    def __init__(self, model: Any, inputs: Any = None) -> None:
        try:
            import tensorflow  # noqa: F401
            import tf2onnx  # noqa: F401
        except ImportError as error:
            raise CaptureError(
                f"models of TensorFlow are read with TensorFlow and tf2onnx, and {error.name} is "
                'not installed: pip install "spa_kernel[tensorflow]"'
            ) from error
        from spa_kernel.frontends.tensorflow.convert import check, converted
        from spa_kernel.frontends.tensorflow.functions import function_of, loaded

        module = loaded(model) if isinstance(model, str | Path) else model
        function = function_of(module, inputs)
        super().__init__(converted(function, module), inputs)
        check(function, self.model, self._given)

    def capture(self) -> Graph:
        graph = super().capture()
        graph.notes.append(NOTE)
        return graph
