"""How long the forward of a torch module takes, as a whole and call by call."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from spa_kernel.errors import SpaError
from spa_kernel.frontends.backend import Timed
from spa_kernel.frontends.torch.arguments import flat, short
from spa_kernel.frontends.torch.capture import device_of, seeded, uncompiled
from spa_kernel.frontends.torch.passes import Inputs
from spa_kernel.graph.ir import Graph, Node

REPEATS = 7
PATIENCE = 3.0
"""Calls are timed so many times, or for so many seconds: the least of each counts."""


class Done(NamedTuple):
    """A call that was carried out."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    seconds: float


class TorchTimed(Timed):
    """A module to be timed.

    Parameters
    ----------
    model : torch.nn.Module
        Becomes the property of this object.
    inputs : tuple
        Positional and keyword inputs, which are copied.
    """

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        self.model = model.eval()
        self.inputs: Inputs = copy.deepcopy(inputs)
        self._device, _ = device_of(model)
        self._calls: list[Done] | None = None
        self._owner = np.zeros(0, dtype=np.int64)

    def seconds(self) -> float:
        args, kwargs = self.inputs
        try:
            with torch.no_grad(), uncompiled(), seeded():
                self._wait()
                start = self._clock()
                self.model(*args, **kwargs)
                self._wait()
                return self._clock() - start
        except Exception as error:
            raise SpaError(
                f"{type(self.model).__name__} cannot be timed: {type(error).__name__}: {error}"
            ) from error

    @property
    def _clock(self) -> Callable[[], float]:
        """Where one thread does everything, the time that it is really at work.

        Without the pauses in which the machine does something else; there is no such clock for
        several threads that wait for each other. Windows counts it in steps that are too long.
        """
        alone = self._device.type == "cpu" and torch.get_num_threads() == 1
        return time.thread_time if alone and sys.platform != "win32" else time.perf_counter

    def parts(self, graph: Graph) -> list[list[Node]]:
        nodes = graph.nodes[: graph.evaluated]
        parts, self._owner = aligned(nodes, self.calls())
        return parts

    def split(self, pruned: Timed) -> np.ndarray:
        assert isinstance(pruned, TorchTimed)
        calls = pruned.calls()
        number = int(self._owner.max()) + 1
        if [c.name for c in calls] != [c.name for c in self.calls()]:
            # Other calls for other sizes: what they take is known in all, and shared out.
            own = np.bincount(self._owner, [c.seconds for c in self.calls()], minlength=number)
            return own * (sum(c.seconds for c in calls) / own.sum())
        return np.bincount(self._owner, [c.seconds for c in calls], minlength=number)

    def calls(self) -> list[Done]:
        """Every ATen call of one forward, with the least seconds of several forwards."""
        if self._calls is not None:
            return self._calls
        fast = torch.backends.mha.get_fastpath_enabled()
        runs: list[list[Done]] = []
        try:
            # Call by call as the forward was recorded.
            torch.backends.mha.set_fastpath_enabled(False)
            while len(runs) < 2 or (
                len(runs) < REPEATS and sum(c.seconds for run in runs for c in run) < PATIENCE
            ):
                with Stopwatch(self._clock, self._wait) as watch:
                    self.seconds()
                if runs and [c.name for c in runs[0]] != [c.name for c in watch.calls]:
                    raise SpaError(
                        f"{type(self.model).__name__} makes other calls in every forward, so that "
                        "its operators cannot be timed"
                    )
                runs.append(watch.calls)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
        least = np.array([[c.seconds for c in run] for run in runs]).min(axis=0)
        self._calls = [
            call._replace(seconds=float(s)) for call, s in zip(runs[0], least, strict=True)
        ]
        return self._calls

    def _wait(self) -> None:
        """Until the device has done what it was told."""
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)


class Stopwatch(TorchDispatchMode):
    """Times every ATen call."""

    def __init__(self, clock: Callable[[], float], wait: Callable[[], None]) -> None:
        super().__init__()
        self.calls: list[Done] = []
        self._clock, self._wait = clock, wait

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        start = self._clock()
        result = func(*args, **(kwargs or {}))
        self._wait()
        seconds = self._clock() - start
        self.calls.append(Done(short(func), tuple(tuple(t.shape) for t in flat(result)), seconds))
        return result


def aligned(nodes: list[Node], calls: list[Done]) -> tuple[list[list[Node]], np.ndarray]:
    """Which calls carry out which operators.

    A recording and a real forward make the same calls in the same order, but for a few: what
    devices do in their own way, and what depends on constants alone. Between calls that agree in
    name and shapes, the calls that do not belong to the operators that do not.

    Returns
    -------
    parts : list of list of Node
    owner : numpy.ndarray
        int64, for each call the number of its part.
    """
    recorded = [(n.outputs[0].name.rpartition("_")[0], n.outputs[0].shape) for n in nodes]
    made = [(c.name, c.shapes[0] if c.shapes else ()) for c in calls]
    parts: list[list[Node]] = []
    owner = np.zeros(len(calls), dtype=np.int64)
    pending: list[Node] = []
    matcher = SequenceMatcher(None, recorded, made, autojunk=False)
    for same, i, i_end, j, j_end in matcher.get_opcodes():
        if same == "equal":
            for step in range(i_end - i):
                owner[j + step] = len(parts)
                parts.append([*pending, nodes[i + step]])
                pending = []
        elif j == j_end:
            # A call may stand for several operators; the last one has its name.
            pending += nodes[i:i_end]
        else:
            owner[j:j_end] = len(parts)
            parts.append([*pending, *nodes[i:i_end]])
            pending = []
    if pending and parts:
        parts[-1] += pending
    return parts, owner


def copied(model: nn.Module) -> nn.Module:
    """A copy of a module that shares nothing with it.

    Raises
    ------
    SpaError
        It cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise SpaError(
            f"{type(model).__name__} cannot be copied to be timed: {type(error).__name__}: {error}"
        ) from error
