"""Record one forward as ATen calls, on meta tensors: no weight is copied, nothing computed."""

from __future__ import annotations

import linecache
import os
import sys
from functools import cache
from types import CodeType, FrameType
from typing import Any
from zlib import crc32

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from spa_kernel.frontends.torch.aten import Call, convert
from spa_kernel.frontends.torch.aten.pointwise import ONNX_NAME
from spa_kernel.graph.ir import Graph, Node, Value

TORCH = os.path.dirname(torch.__file__) + os.sep
HERE = os.path.dirname(__file__) + os.sep
FACTORIES = {f"aten::new_{kind}" for kind in ("empty", "zeros", "ones", "full")}
UNARY = {"relu", "gelu", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "exp", "sqrt"}
"""Calls whose output is like their input; torch takes its time to find that out."""
VALUE_DEPENDENT = "aten::_local_scalar_dense", "aten::nonzero", "aten::equal"


class DependsOnData(Exception):
    """The forward asks for a number that only a real computation can give."""


class Recorder(TorchDispatchMode):
    """Turns every ATen call into a node of the standard graph.

    Parameters
    ----------
    model : torch.nn.Module
    real : bool
        Compute with real tensors, for forwards whose Python code asks for numbers.
    """

    def __init__(self, model: nn.Module, real: bool = False) -> None:
        super().__init__()
        self.real = real
        self.graph = Graph()
        self.module = self.failed = ""
        self._arguments: list[tuple[Any, ...]] = []
        self.structure: dict[str, tuple[int, tuple[int, ...]]] = {}
        """Identity and shape of each stored tensor, to tell whether the model was changed."""
        self._values: dict[int, Value] = {}
        self._stored: dict[int, Value] = {}
        self._nothing = torch.empty(0, device="meta")
        self._twins: dict[int, torch.Tensor] = {}
        self._copies: dict[int, torch.Tensor] = {}
        self._alive: list[Any] = []
        self._aliases: dict[int, set[int]] = {}
        self._stale: dict[int, str] = {}
        self._signatures: dict[Any, tuple[list[tuple[str, Any]], bool, bool]] = {}
        self._ours: dict[CodeType, bool] = {}
        for kind, tensors in (
            ("parameter", model.named_parameters()),
            ("buffer", model.named_buffers()),
        ):
            for name, tensor in tensors:
                value = Value(name, tuple(tensor.shape), kind, str(tensor.dtype)[6:])  # type: ignore[arg-type]
                if not tensor.dtype.is_floating_point and tensor.numel() < 2**22:
                    value.data = tensor.detach().cpu().numpy()
                self._stored[id(tensor)] = self.graph.stored[name] = value
                self.structure[name] = id(tensor), value.shape

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No forward is compiled while it is recorded; keeping dynamo out costs time per call."""
        return False

    def value_of(self, tensor: torch.Tensor) -> Value | None:
        """The graph's value for a tensor that depends on inputs or weights."""
        key = id(tensor)
        return self._values.get(key) or self._stored.get(key)

    def add_input(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """Declare an input; returns the tensor to hand to the forward."""
        value = Value(name, tuple(tensor.shape), "input", str(tensor.dtype)[6:])
        self.graph.inputs.append(value)
        twin = tensor.clone() if self.real else torch.empty_like(tensor, device="meta")
        self._values[id(twin)] = value
        self._alive.append(twin)
        return twin

    def source(self) -> str:
        """File and line of the innermost frame that belongs to the model, not to torch."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            code = frame.f_code
            ours = self._ours.get(code)
            if ours is None:
                path = code.co_filename
                ours = self._ours[code] = not path.startswith((TORCH, HERE, "<frozen"))
            if ours:
                return place(code.co_filename, frame.f_lineno)
            frame = frame.f_back
        return ""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [t for a in (*args, *kwargs.values()) for t in flat(a)]
        live = [t for t in tensors if id(t) in self._values or id(t) in self._stored]
        known = not live or (all(self._is_table(t) for t in live) and not func._schema.is_mutable)
        if known:
            return self._constant(func, args, kwargs, tensors)
        if func._schema.name in FACTORIES and not self.real:
            like = torch.empty(0, dtype=tensors[0].dtype)
            return self._constant(func, (like, *args[1:]), kwargs, [])
        if not self.real:
            if func._schema.name in VALUE_DEPENDENT:
                raise DependsOnData(func._schema.name)
            swapped = {id(t): self._twin(t) for t in tensors if t.device.type != "meta"}
            run_args, run_kwargs = substitute(args, swapped), substitute(kwargs, swapped)
            if "device" in kwargs:
                run_kwargs["device"] = "meta"
        else:
            # Buffers may be written to, also through a view of them.
            changed = {
                id(t): self._twin(t)
                for t in tensors
                if id(t) in self._stored
                and (func._schema.is_mutable or self._stored[id(t)].kind == "buffer")
            }
            run_args, run_kwargs = substitute(args, changed), substitute(kwargs, changed)
        name = self._name(func, args)
        result = self._shapes_only(func, run_args)
        if result is None:
            result = func(*run_args, **run_kwargs)
        self._record(func, name, args, kwargs, result, tensors)
        return result

    def _shapes_only(self, func: Any, args: Any) -> Any:
        """The outputs of calls whose own meta computation is slow and whose shape is plain."""
        if self.real:
            return None
        if func is torch.ops.aten.native_batch_norm.default and not args[5]:
            return like(args[0]), self._nothing, self._nothing
        if func is torch.ops.aten.convolution.default:
            return convolved(*args)
        name = func._schema.name[6:]
        if name[-1] == "_" and name[:-1] in ONNX_NAME:
            return args[0]
        if name in UNARY and args[0].is_floating_point():
            return like(args[0])
        return None

    def _is_table(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor's content is known: an integer buffer."""
        value = self._stored.get(id(tensor))
        return value is not None and value.data is not None

    def _constant(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:
        """A call on constants is carried out, so that index tables and masks are known."""
        if not self.real and kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        if func._schema.is_mutable:
            for tensor in tensors:
                self._values.pop(id(tensor), None)
        own = {id(t): self._own(t) for t in tensors if id(t) in self._stored}
        return func(*substitute(args, own), **substitute(kwargs, own))

    def _own(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy of a stored tensor, so that nothing is written into the model."""
        copy = self._copies.get(id(tensor))
        if copy is None:
            copy = self._copies[id(tensor)] = tensor.detach().clone()
            self._alive.append(tensor)
        return copy

    def _twin(self, tensor: torch.Tensor) -> torch.Tensor:
        twin = self._twins.get(id(tensor))
        if twin is None:
            twin = tensor.detach().clone() if self.real else like(tensor)
            self._twins[id(tensor)] = twin
            self._alive.append((tensor, twin))
            value = self._stored.get(id(tensor))
            if value is not None:
                self._values[id(twin)] = value
        return twin

    def _operand(self, tensor: torch.Tensor) -> Value:
        key = id(tensor)
        value = self._values.get(key) or self._stored.get(key)
        if key in self._stale:
            reason = self._stale.pop(key)
            assert value is not None
            fresh = Value(value.name, value.shape, "activation", value.dtype)
            self._append(Node(reason, (value,), (fresh,), {}, self.module, self.source()), ())
            self._values[key] = value = fresh
        if value is None:
            value = Value("constant", tuple(tensor.shape), "constant", str(tensor.dtype)[6:])
            if tensor.device.type != "meta" and not tensor.dtype.is_floating_point:
                value.data = tensor.detach().cpu().numpy()
            self._alive.append(tensor)
        return value

    def _record(
        self,
        func: Any,
        called: str,
        args: Any,
        kwargs: Any,
        result: Any,
        tensors: list[torch.Tensor],
    ) -> None:
        names, mutable, views = self._signature(func)
        bound: dict[str, Any] = dict(names)
        for (name, _), value in zip(names, args, strict=False):
            bound[name] = value
        bound.update(kwargs)
        operands = {name: self._to_values(value) for name, value in bound.items()}
        outs = []
        results = result if isinstance(result, tuple | list) else (result,)
        for tensor in results:
            if isinstance(tensor, torch.Tensor):
                name = f"{func._schema.name[6:]}_{len(self.graph.nodes)}"
                outs.append(Value(name, tuple(tensor.shape), "activation", str(tensor.dtype)[6:]))
        call = Call(
            called,
            func._overloadname,
            operands,
            tuple(outs),
            self.module,
            self.source(),
        )
        for node in convert(call):
            self._append(node, (*args, *kwargs.items()))
        index = 0
        for tensor in results:
            if isinstance(tensor, torch.Tensor):
                self._values[id(tensor)] = outs[index]
                self._alive.append(tensor)
                index += 1
        if views:
            base = (
                tensors[0]
                if id(tensors[0]) in self._values
                else self._twins.get(id(tensors[0]), tensors[0])
            )
            for tensor in results:
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()._cdata
                    self._aliases.setdefault(storage, {id(base)}).add(id(tensor))
        if mutable:
            changed = tensors[0]
            self._values[id(changed)] = outs[0] if outs else self._values[id(changed)]
            storage = changed.untyped_storage()._cdata
            for key in self._aliases.get(storage, ()):
                if key != id(changed) and key in self._values:
                    self._stale[key] = f"aten.{call.name} in place through a view"

    def _name(self, func: Any, args: Any) -> str:
        """The call's name; a change of strides that moves no entry is an alias."""
        name: str = func._schema.name[6:]
        if name in ("as_strided", "as_strided_"):
            x, size, stride = args[0], tuple(args[1]), tuple(args[2])
            if tuple(x.size()) == size and all(
                n == 1 or s == t for n, s, t in zip(size, stride, x.stride(), strict=True)
            ):
                return "alias"
        return name

    def _plain(self, value: Any) -> Any:
        """An argument for comparison: numbers, and constants by their content."""
        if isinstance(value, torch.Tensor):
            known = self.value_of(value)
            if known is not None or value.device.type == "meta":
                return "tensor"
            if value.numel() == 1:
                return float(value)
            content = value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
            return f"constant {crc32(content)}"
        if isinstance(value, list | tuple):
            if value and type(value[0]) is int:
                return tuple(value)
            return tuple(self._plain(v) for v in value)
        return value

    def _append(self, node: Node, arguments: tuple[Any, ...]) -> None:
        self.graph.nodes.append(node)
        self._arguments.append(arguments)

    @property
    def scalars(self) -> list[tuple[Any, ...]]:
        """Per node its arguments without tensors, to be compared after a prune."""
        return [self._plain(arguments) for arguments in self._arguments]

    def _signature(self, func: Any) -> tuple[list[tuple[str, Any]], bool, bool]:
        known = self._signatures.get(func)
        if known is None:
            schema = func._schema
            names = [
                (a.name, a.default_value if a.has_default_value() else None)
                for a in schema.arguments
            ]
            views = any(
                r.alias_info is not None and not r.alias_info.is_write for r in schema.returns
            )
            known = self._signatures[func] = (names, schema.is_mutable, views)
        return known

    def _to_values(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._operand(value)
        if isinstance(value, list | tuple) and value and type(value[0]) is not int:
            return [self._to_values(v) for v in value]
        return value


@cache
def place(path: str, line: int) -> str:
    """A line of code in words; one of a notebook's cells by its text, as its file has no name."""
    text = "" if os.path.exists(path) else linecache.getline(path, line).strip()
    return f"{text!r} in a cell" if text else f"{os.path.basename(path)}:{line}"


def like(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same kind; ``empty_like`` takes much longer to make one."""
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")


def convolved(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> torch.Tensor | None:
    """The output of a plain convolution; ``None`` where torch had better find out itself."""
    spatial = x.ndim - 2
    if (
        transposed
        or not x.is_contiguous()
        or x.shape[1] != weight.shape[1] * groups
        or not len(stride) == len(padding) == len(dilation) == spatial == weight.ndim - 2
    ):
        return None
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(
            x.shape[2:], padding, dilation, weight.shape[2:], stride, strict=True
        )
    ]
    if min(sizes, default=1) < 1:
        return None
    return torch.empty((x.shape[0], weight.shape[0], *sizes), dtype=x.dtype, device="meta")


def flat(value: Any) -> list[torch.Tensor]:
    """The tensors in an argument (a tensor, or a list of tensors or None)."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, list | tuple) and value and type(value[0]) is not int:
        return [t for v in value for t in flat(v)]
    return []


def substitute(value: Any, swap: dict[int, torch.Tensor]) -> Any:
    """The same arguments with some tensors replaced."""
    if isinstance(value, torch.Tensor):
        return swap.get(id(value), value)
    if isinstance(value, dict):
        return {k: substitute(v, swap) for k, v in value.items()}
    if isinstance(value, list | tuple) and value and type(value[0]) is not int:
        return type(value)(substitute(v, swap) for v in value)
    return value
