"""What was done to a Gluon block, and a copy of it to be timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from spa_kernel.frontends.backend import Change, Timed
from spa_kernel.frontends.mxnet.exported import leaves
from spa_kernel.frontends.mxnet.sizes import Swaps, forget


class GluonChange(Change):
    """A prune of a block and of the ONNX model that stands for it.

    Parameters
    ----------
    block : mxnet.gluon.Block
    swaps : Swaps
        Carried out already.
    twin : Change
        Of the ONNX model.
    guard : callable
        Raises `StaleSession` if the block was changed from outside.
    settled : callable
        Called when the block was changed on purpose.
    """

    def __init__(
        self, block: Any, swaps: Swaps, twin: Change,
        guard: Callable[[], None], settled: Callable[[], None],
    ) -> None:  # fmt: skip
        self.swaps = swaps
        self._block, self._twin = block, twin
        self._guard, self._settled = guard, settled
        self._done = True

    def redo(self) -> None:
        if not self._done:
            self._guard()
            self._twin.redo()
            self._turn()

    def undo(self) -> None:
        if self._done:
            self._guard()
            self._twin.undo()
            self._turn()

    def _turn(self) -> None:
        self.swaps.swap()
        forget(self._block)
        self._done = not self._done
        self._settled()

    @property
    def nbytes(self) -> int:
        return self.swaps.nbytes + self._twin.nbytes


class GluonTimed(Timed):
    """A block, compiled, on the CPU or wherever its parameters are.

    Parameters
    ----------
    block : mxnet.gluon.HybridBlock
    inputs : list of mxnet.ndarray.NDArray
    """

    def __init__(self, block: Any, inputs: list[Any]) -> None:
        self._block, self._inputs = block, inputs
        block.hybridize(static_alloc=True, static_shape=True)
        self.seconds()

    def seconds(self) -> float:
        start = time.perf_counter()
        for output in leaves(self._block(*self._inputs)):
            output.wait_to_read()
        return time.perf_counter() - start
