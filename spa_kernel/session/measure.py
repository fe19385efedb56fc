"""What pruning has gained, measured on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from spa_kernel import progress
from spa_kernel.errors import SpaError
from spa_kernel.session.timed import Latency, compare
from spa_kernel.views.rich import Rich

if TYPE_CHECKING:
    from spa_kernel.frontends.backend import Backend, Timed
    from spa_kernel.session.session import Session


@dataclass(frozen=True, slots=True, repr=False)
class Measurement(Rich):
    """The result of `measure`: the model at the start of its history, and now.

    Attributes
    ----------
    name : str
        What the model is called.
    latency : dict of str to Latency
        By what runs the model: ``"torch"``, ``"onnxruntime"``. One forward on the example input,
        on the model's device (onnxruntime: the CPU), in seconds.
    size : tuple of int
        Bytes on disk of the state: all parameters and buffers, or the ONNX model.
    memory : tuple of int
        Peak activation memory of one forward in bytes, see `spa_kernel.plan.memory`.
    notes : list of str
        What could not be measured, and why.
    """

    name: str
    latency: dict[str, Latency]
    size: tuple[int, int]
    memory: tuple[int, int]
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        times = ", ".join(f"{by} ÷ {found.factor:.2f}" for by, found in self.latency.items())
        return f"Measurement({self.name!r}, latency: {times})"


@progress.watched
def measure(session: Session) -> Measurement:
    """Measure the model as it was at the start of its history, and as it is now.

    Both are timed in turns, in evaluation mode without gradients, on copies of the model; the
    model itself is bit for bit what it was, also when this is interrupted. A torch model is
    exported to be timed in onnxruntime as well, which may take some ten seconds.

    Parameters
    ----------
    session : Session

    Returns
    -------
    Measurement

    Raises
    ------
    StaleSession
        The model was changed from outside.
    SpaError
        It cannot be copied or run.
    """
    backend, start, now = session.backend, session.history[0].analysis, session.analysis
    backend.check()
    with TemporaryDirectory() as folder:
        with session.history.rewound():
            before = State.of(backend, Path(folder) / "before.onnx")
        after = State.of(backend, Path(folder) / "after.onnx")
    latency = {}
    for done, (by, timed) in enumerate(before.timed.items()):
        if by in after.timed:
            progress.report("timing", done, len(before.timed))
            latency[by] = compare(timed, after.timed[by])
    return Measurement(
        name=session.name,
        latency=latency,
        size=(before.size, after.size),
        memory=(int(start.cost.measure("memory").base), int(now.cost.measure("memory").base)),
        notes=list(dict.fromkeys(before.notes + after.notes)),
    )


@dataclass(frozen=True, slots=True)
class State:
    """Copies of the model in one state, to be timed, and its size."""

    timed: dict[str, Timed]
    size: int
    notes: list[str]

    @classmethod
    def of(cls, backend: Backend, path: Path) -> State:
        """Copy the current state; ``path`` is where it may be exported to."""
        size = len(backend.snapshot())
        if backend.framework == "onnx":
            return cls({"onnxruntime": backend.timed()}, size, [])
        from spa_kernel.frontends.onnx.backend import OnnxBackend

        timed, notes = {backend.framework: backend.timed()}, []
        progress.report("exporting")
        try:
            backend.export(path)
            timed["onnxruntime"] = OnnxBackend(path).timed()
        except SpaError as error:
            notes.append(f"Not timed in onnxruntime: {str(error).splitlines()[0]}")
        return cls(timed, size, notes)
