"""Where the states of many batches wait: in memory up to a limit, on disk beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from spa_kernel.obspa.program import State

LIMIT = 2**31
"""Bytes of waiting tensors in memory."""


class Shelf:
    """Holds states, several for each batch.

    Parameters
    ----------
    limit : int
        Bytes.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._states: list[list[State]] = []
        self._sizes: list[int] = []
        self._folder: TemporaryDirectory[str] | None = None

    def __len__(self) -> int:
        return len(self._states)

    def add(self, *states: State) -> None:
        """One more batch."""
        self._states.append(list(states))
        self._sizes.append(0)
        self._put(len(self) - 1)

    @contextmanager
    def taken(self, number: int) -> Iterator[list[State]]:
        """The states of a batch, to be worked on; more may be added."""
        states, path = self._states[number], self._path(number)
        if path is not None and path.exists():
            for state, live in zip(states, torch.load(path), strict=True):
                state.live = live
            path.unlink()
        yield states
        self._put(number)

    def close(self) -> None:
        """Drop all."""
        self._states.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def _put(self, number: int) -> None:
        states = self._states[number]
        self._sizes[number] = 0
        size = nbytes(states)
        if sum(self._sizes) + size <= self.limit:
            self._sizes[number] = size
            return
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="spa_kernel-")
        # Saved together, so that views stay views.
        torch.save([state.live for state in states], self._path(number) or "")
        for state in states:
            state.live = {}

    def _path(self, number: int) -> Path | None:
        return Path(self._folder.name) / f"{number}.pt" if self._folder is not None else None


def nbytes(states: list[State]) -> int:
    """Memory that states hold on to, each piece once."""
    storages = {
        storage.data_ptr(): storage.nbytes()
        for state in states
        for tensor in state.live.values()
        for storage in [tensor.untyped_storage()]
    }
    return sum(storages.values())
