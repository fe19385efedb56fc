"""Run the model on batches, and show every operator of the standard graph with its real tensors."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import _disable_current_modes

from spa_kernel.errors import DataNeeded, SpaError
from spa_kernel.frontends.torch.batches import arguments
from spa_kernel.frontends.torch.capture import declared, device_of, shapes, watched
from spa_kernel.frontends.torch.meta import like
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.frontends.torch.statistics.run import Run
from spa_kernel.frontends.torch.tracker import Tracker
from spa_kernel.frontends.torch.views import Views
from spa_kernel.graph.ir import Node, Value

See = Callable[["Observer", Node, tuple[Any, ...]], None]
"""Is shown an operator as soon as it has been carried out, and the call's arguments."""


class Loose(Views):
    """Views of which only those are known that the program still holds."""

    def add(self, results: Any, parent: torch.Tensor, func: Any, args: Any, kwargs: Any) -> None:
        super().add(results, parent, func, args, kwargs)
        for tensor in results if isinstance(results, list | tuple) else [results]:
            view = self.get(tensor)
            if view is not None:
                # Their shapes are needed, not the tensors: a view would keep itself alive.
                view.outputs = [like(t) for t in view.outputs]

    def drop(self, key: int) -> None:
        """Forget a tensor that is no more."""
        view = self._of.get(key)
        if view is not None:
            self._family[id(self.root(view.parent))].discard(key)
            del self._of[key]
        self._family.pop(key, None)
        self.stale.discard(key)


class Observer(Recorder):
    """Records a forward on real tensors and lets go of each as soon as the program does.

    Parameters
    ----------
    model : torch.nn.Module
    see : callable
    """

    def __init__(self, model: nn.Module, see: See) -> None:
        self._see = see
        self._tensors: weakref.WeakValueDictionary[Value, torch.Tensor]
        self._tensors = weakref.WeakValueDictionary()
        self._references: dict[int, weakref.ref[torch.Tensor]] = {}
        self._new: list[tuple[Node, tuple[Any, ...]]] = []
        self._calling = True
        self.weights: dict[Value, Node] = {}
        """What is worked out from stored tensors and constants alone, and by which operator."""
        super().__init__(model, real=True)
        self._views: Loose = Loose()
        self._calling = False
        self._new.clear()

    def tensor(self, value: Value) -> torch.Tensor | None:
        """The tensor that holds a value; ``None`` where no tensor ever did, or it is gone."""
        return self._tensors.get(value)

    def add_input(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        twin = super().add_input(name, tensor)
        self._tensors[self._values[id(twin)]] = twin
        return twin

    def know(self, tensor: torch.Tensor, value: Value) -> None:
        key = id(tensor)
        self._values[key] = value
        self._tensors[value] = tensor
        if key not in self._references:
            self._references[key] = weakref.ref(tensor, partial(self._gone, key))

    def _gone(self, key: int, _: Any) -> None:
        # The next tensor may get the same identity.
        del self._references[key]
        self._values.pop(key, None)
        self._views.drop(key)

    def _operand(self, tensor: torch.Tensor) -> Value:
        value = super()._operand(tensor)
        self._tensors[value] = tensor
        return value

    def _record(self, *call: Any) -> None:
        self._calling = True
        try:
            super()._record(*call)
        finally:
            self._calling = False
        self._show()

    def _append(self, node: Node, arguments: tuple[Any, ...]) -> None:
        super()._append(node, ())
        if all(v is None or v.stored or v.kind == "constant" or v in self.weights
               for v in node.inputs):  # fmt: skip
            self.weights.update(dict.fromkeys(node.outputs, node))
        self._new.append((node, arguments))
        if not self._calling:
            with _disable_current_modes():
                self._show()

    def _show(self) -> None:
        new, self._new = self._new, []
        for node, given in new:
            self._see(self, node, given)

    def _trial(self, func: Any, args: Any, kwargs: Any, bound: Any) -> None:
        return None


def observe(run: Run, see: See, end: Callable[[], None] | None = None, alike: bool = False) -> None:
    """Run the model in evaluation mode on each batch, and show what it does.

    Parameters
    ----------
    run : Run
    see : callable
        ``see(observer, node, arguments)``; it must not keep the tensors.
    end : callable, optional
        Called after each batch.
    alike : bool
        Take attention apart as the recording on meta tensors does, though that is slower.

    Raises
    ------
    DataNeeded
        The model does not accept a batch.
    """
    device, _ = device_of(run.model)
    for inputs, _ in run.batches():
        args, kwargs = arguments(inputs)
        observer = Observer(run.model, see)
        tracker = Tracker(observer, device)
        plain: AbstractContextManager[Any] = nullcontext()
        if alike:
            plain = sdpa_kernel(SDPBackend.MATH)
        args, kwargs = declared(observer, args), declared(observer, kwargs)
        with watched(run.model, observer), plain:
            try:
                with observer, tracker:
                    run.model(*args, **kwargs)
            except SpaError:
                raise
            except Exception as error:
                where = repr(observer.failed) if observer.failed else "its own code"
                raise DataNeeded(
                    f"the forward of {type(run.model).__name__} fails in {where} on a batch of "
                    f"shape {shapes((args, kwargs))}: {type(error).__name__}: {error}. Give "
                    "batches whose inputs the model accepts"
                ) from error
        if end is not None:
            end()
