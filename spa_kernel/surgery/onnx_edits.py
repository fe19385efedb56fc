"""Edits of an ONNX model that can be taken back and done again, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import onnx

from spa_kernel.frontends.backend import Change
from spa_kernel.interrupts import uninterrupted


def field_of(model: onnx.ModelProto, path: str) -> Any:
    """One of the model's lists."""
    return reduce(getattr, path.split("."), model)


@dataclass(slots=True)
class Splice:
    """A stretch of one of the model's lists, and what is to stand in its place.

    ``swap`` exchanges the two, so that doing it twice changes nothing.

    Attributes
    ----------
    field : str
        Path of the list, such as ``"graph.node"``.
    start, count : int
        The stretch that is in the model now.
    other : list of protobuf messages
        The stretch that is not in the model now.
    """

    field: str
    start: int
    count: int
    other: list[Any]

    def swap(self, model: onnx.ModelProto) -> None:
        """Exchange the model's stretch and the other one."""
        items = field_of(model, self.field)
        present = []
        for item in items[self.start : self.start + self.count]:
            copy = type(item)()
            copy.CopyFrom(item)
            present.append(copy)
        if len(self.other) == self.count:
            for i, item in enumerate(self.other):
                items[self.start + i].CopyFrom(item)
        else:
            tail = list(items[self.start + self.count :])
            rest = [*self.other, *tail]
            del items[self.start :]
            items.extend(rest)
        self.count, self.other = len(self.other), present

    @property
    def nbytes(self) -> int:
        return sum(item.ByteSize() for item in self.other)


class OnnxChange(Change):
    """A prune of an ONNX model; holds copies of what is not in the model at the moment.

    Parameters
    ----------
    model : onnx.ModelProto
    splices : list of Splice
        In the order in which they are to be made.
    guard : callable
        Raises `StaleSession` if the model was changed from outside.
    settled : callable
        Called when the model was changed on purpose.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        splices: list[Splice],
        guard: Callable[[], None],
        settled: Callable[[], None],
    ) -> None:
        self._model = model
        self._splices = splices
        self._guard = guard
        self._settled = settled
        self._done = False

    def redo(self) -> None:
        if not self._done:
            self._guard()
            self.commit()

    def undo(self) -> None:
        if self._done:
            self._guard()
            self.revert()

    def commit(self) -> None:
        """Carry out all edits, or none of them."""
        self._run(self._splices)
        self._done = True
        self._settled()

    def extend(self, splices: list[Splice]) -> None:
        """Carry out more edits of the model as it is now, as a part of this change."""
        with uninterrupted():
            self._run(splices)
            self._splices = [*self._splices, *splices]
            self._settled()

    def revert(self) -> None:
        """Take all edits back."""
        self._run(self._splices[::-1])
        self._done = False
        self._settled()

    def _run(self, splices: list[Splice]) -> None:
        for i, splice in enumerate(splices):
            try:
                splice.swap(self._model)
            except BaseException:
                for done in splices[:i][::-1]:
                    done.swap(self._model)
                raise

    @property
    def nbytes(self) -> int:
        return sum(splice.nbytes for splice in self._splices)
