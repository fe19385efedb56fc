"""Watch the calls that the model's Python code makes, before they become ATen calls."""

from __future__ import annotations

import types
from math import prod
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from spa_kernel.frontends.torch import closed
from spa_kernel.frontends.torch.filled import MAKERS
from spa_kernel.frontends.torch.literals import READERS, SIMPLE, positions
from spa_kernel.frontends.torch.norms import NORMS
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.frontends.torch.tracked import TrackedInt
from spa_kernel.graph.sizes import Dim, SizeUse

CHECKS = "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic"
NUMEL = {torch.Tensor.numel, torch.Tensor.nelement, torch.numel}
TENSOR: Any = torch.Tensor
SHAPE = TENSOR.shape.__get__
DEVICE = torch.Tensor.device.__get__


class Tracker(TorchFunctionMode):
    """Hands out tracked sizes, and notes which sizes the code passes to torch.

    Parameters
    ----------
    recorder : Recorder
        Where the sizes are written to.
    device : torch.device
        What tensors say of their device: that of the model, though they are on meta.
    """

    def __init__(self, recorder: Recorder, device: torch.device) -> None:
        super().__init__()
        self.recorder = recorder
        self.device = device
        self._bodies: dict[types.FunctionType, types.FunctionType] = {}
        self._inside: set[Any] = set()
        self._globals: dict[int, dict[str, Any]] = {}

    def __torch_function__(
        self,
        func: Any,
        types_: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        outer, self.recorder.watched = self.recorder.watched, True
        try:
            return self._watch(func, args, kwargs or {})
        finally:
            self.recorder.watched = outer

    def _watch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func == SHAPE or func is torch.Tensor.size:
            return self._size(func, args, kwargs)
        if func in NUMEL:
            return prod(self._size(SHAPE, args[:1], {})) if args else func(**kwargs)
        if func == DEVICE and args[0].device.type == "meta":
            return self.device
        if func in SIMPLE:
            return func(*args, **kwargs)
        if closed.is_closed(func, args, kwargs):
            out = closed.record(self.recorder, func, args)
            self.recorder.called(func, args, kwargs, out)
            return out
        if func in MAKERS:
            made = func(*args, **kwargs)
            self.recorder.filled.note(func, made, args, kwargs)
            return made
        reader = READERS.get(func)
        if (
            reader is None
            and type(func) is types.FunctionType
            and set(CHECKS) & set(func.__code__.co_names)
        ):
            if func in self._inside:
                # It asks in a way of its own; leave it alone, nothing in it is seen then.
                return func(*args, **kwargs)
            body = self._body(func)
            self._inside.add(func)
            try:
                with self:
                    return body(*args, **kwargs)
            finally:
                self._inside.discard(func)
        if func is torch.Tensor.__getitem__:
            args = args[0], tables(args[1])
        nodes, start = self.recorder.graph.nodes, len(self.recorder.graph.nodes)
        norm = NORMS.get(func)
        if norm:
            out = norm(self.recorder, args, kwargs)
            self.recorder.called(func, args, kwargs, out)
        else:
            out = func(*args, **kwargs)
        new = nodes[start:]
        if new:
            sizes = self.recorder.graph.sizes
            if reader is not None:
                for axis, expr in reader(self.recorder, args, kwargs, out, new):
                    sizes.append(SizeUse(axis, expr, new[-1].where))
            for axis, expr in positions(args, kwargs, new):
                sizes.append(SizeUse(axis, expr, new[-1].where))
        return out

    def _size(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Sizes of a tensor that remember whose they are."""
        tensor = args[0]
        result = func(*args, **kwargs)
        value = self.recorder.value_of(tensor)
        if value is None:
            return result
        if isinstance(result, int):
            dim = args[1] if len(args) > 1 else kwargs["dim"]
            return TrackedInt(result, Dim((value, dim % value.ndim), result))
        return torch.Size(TrackedInt(n, Dim((value, i), n)) for i, n in enumerate(result))

    def _body(self, func: types.FunctionType) -> types.FunctionType:
        """A function of torch without its own check for overrides, so that its body is seen.

        Functions written in Python ask this mode again as soon as they are entered; the copy
        is told that nobody listens, while everything that it calls still is.
        """
        if func not in self._bodies:
            scope = self._globals.get(id(func.__globals__))
            if scope is None:
                scope = dict(func.__globals__)
                scope.update({name: lambda *_: False for name in CHECKS if name in scope})
                self._globals[id(func.__globals__)] = scope
            copy = types.FunctionType(
                func.__code__, scope, func.__name__, func.__defaults__, func.__closure__
            )
            copy.__kwdefaults__ = func.__kwdefaults__
            self._bodies[func] = copy
        return self._bodies[func]


def tables(index: Any) -> Any:
    """An index with its lists of numbers as tensors: torch would make them where x is, on meta."""
    if isinstance(index, tuple):
        return tuple(map(tables, index))
    plain = isinstance(index, list) and index and all(type(i) in (int, TrackedInt) for i in index)
    return torch.tensor(index) if plain else index
