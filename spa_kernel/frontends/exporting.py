"""The current model of any framework, as a file of any framework."""

from __future__ import annotations

from pathlib import Path

from spa_kernel.errors import SpaError
from spa_kernel.frontends.backend import Backend


def export(backend: Backend, path: Path) -> None:
    """Write the current model, in the format that the file's name asks for.

    ``.onnx``; ``.keras``, a Keras model; ``.pt2``, a torch program that `torch.export.load` reads
    without the model's code; ``-symbol.json``, of a Gluon block.

    Raises
    ------
    SpaError
        The format is not known, or the model cannot be written in it.
    """
    writer = WRITERS.get(path.suffix)
    if writer is not None:
        writer(backend, path)
    elif path.suffix == ".onnx" or path.name.endswith("-symbol.json"):
        backend.export(path)
    else:
        raise SpaError(
            f"{path.name}: what to write is told by the end of the name: .onnx, "
            f"{', '.join(WRITERS)}, or -symbol.json for a Gluon block"
        )


def to_keras(backend: Backend, path: Path) -> None:
    """A Keras model itself, or a functional one that computes the same."""
    if backend.framework == "keras":
        backend.model.save(path)
        return
    try:
        from spa_kernel.frontends.onnx.to_keras import keras_from_onnx
    except ImportError as error:
        raise SpaError(
            f"{error.name} is not installed, which writes {path.name}: "
            'pip install "spa_kernel[keras]"'
        ) from error
    keras_from_onnx(backend.as_onnx()).save(path)


def to_torch(backend: Backend, path: Path) -> None:
    """As an exported program of torch, for the shapes of the example."""
    import torch

    from spa_kernel.frontends.torch.backend import TorchBackend
    from spa_kernel.frontends.torch.capture import quiet_eval

    module = backend.as_torch()
    args, kwargs = backend.inputs if isinstance(backend, TorchBackend) else (module.example, {})
    try:
        with quiet_eval(module):
            program = torch.export.export(module, args, kwargs)
    except Exception as error:
        raise SpaError(f"torch.export could not export {type(module).__name__}: {error}") from error
    torch.export.save(program, path)


WRITERS = {".keras": to_keras, ".pt2": to_torch}
