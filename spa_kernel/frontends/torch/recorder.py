"""Record a forward as ATen calls.

On meta tensors no weight is copied and nothing computed; for real where values are asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from spa_kernel.frontends.torch.arguments import flat, plain, short, signature, substitute
from spa_kernel.frontends.torch.aten import Call, convert, spelled
from spa_kernel.frontends.torch.attributes import sharing, stored_tensors
from spa_kernel.frontends.torch.decisions import WHOLE, Decisions, whole
from spa_kernel.frontends.torch.filled import Filled
from spa_kernel.frontends.torch.literals import unknown_sizes
from spa_kernel.frontends.torch.meta import like, plain_shape
from spa_kernel.frontends.torch.passes import Pass
from spa_kernel.frontends.torch.places import Places
from spa_kernel.frontends.torch.probe import Cache, Trying, try_out
from spa_kernel.frontends.torch.tables import mark_tables
from spa_kernel.frontends.torch.views import View, Views, written
from spa_kernel.graph.ir import Graph, Node, Value
from spa_kernel.graph.sizes import SizeUse

FACTORIES = {f"aten::new_{kind}" for kind in ("empty", "zeros", "ones", "full")}
UNSAFE_VIEWS = "_unsafe_view", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"
"""Views that their schema does not call so."""
VALUE_DEPENDENT = "aten::_local_scalar_dense", "aten::nonzero", "aten::equal"


class DependsOnData(Exception):
    """The forward asks for a number that only a real computation can give."""


class Mark(NamedTuple):
    """How much has been recorded."""

    nodes: int
    sizes: int
    inputs: int
    unwatched: int
    decisions: int


Identity = tuple[int, torch.Size, torch.dtype, torch.device]


def identity(tensor: torch.Tensor) -> Identity:
    """What stays the same about a tensor while its numbers change."""
    return id(tensor), tensor.shape, tensor.dtype, tensor.device


class Recorder(TorchDispatchMode):
    """Turns every ATen call into a node of the standard graph.

    Parameters
    ----------
    model : torch.nn.Module
    real : bool
        Compute with real tensors, for forwards whose Python code asks for numbers.
    decisions : Decisions, optional
        Of an earlier recording, to be taken over.
    """

    def __init__(
        self, model: nn.Module, real: bool = False, decisions: Decisions | None = None
    ) -> None:
        super().__init__()
        self.real = real
        self.decisions = Decisions(decisions)
        self.graph = Graph(folds=True)
        self._memory: dict[Value, Value | None] = {}
        self.graph.memory = self._memory
        self.module = self.failed = ""
        self.results: list[tuple[int, ...]] = []
        """Shapes of the outputs, those included that no weight has a part in."""
        self.passes: list[Pass] = []
        """Further forwards that this recording holds."""
        self.watched = False
        """Whether the Python code's own calls are seen, with the sizes that they pass."""
        self._unwatched: list[Node] = []
        self._arguments: list[tuple[Any, ...]] = []
        self.structure: dict[str, Identity] = {}
        """Identity and shape of each stored tensor, to tell whether the model was changed."""
        self._values: dict[int, Value] = {}
        self._stored: dict[int, Value] = {}
        self._twins: dict[int, torch.Tensor] = {}
        self._copies: dict[int, torch.Tensor] = {}
        self._alive: list[Any] = []
        self._views = Views()
        self.filled = Filled()
        self._optional: set[Node] = set()
        self.device = next(model.parameters(), torch.empty(0)).device
        self._trials: Cache = {}
        self._places = Places(model)
        self.source = self._places.source
        for kind, name, tensor in stored_tensors(model):
            value = Value(name, tuple(tensor.shape), kind, str(tensor.dtype)[6:])
            whole = not (tensor.dtype.is_floating_point or tensor.dtype.is_complex)
            if whole and tensor.numel() < 2**22:
                value.data = tensor.detach().cpu().numpy()
            self._stored[id(tensor)] = self.graph.stored[name] = value
            if kind != "attribute":
                self.structure[name] = identity(tensor)
        for one, other in sharing(model):
            both = self.graph.stored[one], self.graph.stored[other]
            self._append(Node("SharedMemory", both, (), {}, one), ())

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

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [t for a in (*args, *kwargs.values()) for t in flat(a)]
        for tensor in tensors:
            if id(tensor) in self._views.stale:
                self._renew(tensor)
        live = [t for t in tensors if id(t) in self._values or id(t) in self._stored]
        known = not live or (all(self._is_table(t) for t in live) and not func._schema.is_mutable)
        if known:
            return self._constant(func, args, kwargs, tensors)
        if func._schema.name in FACTORIES:
            device = tensors[0].device if self.real else torch.device("cpu")
            like = torch.empty(0, dtype=tensors[0].dtype, device=device)
            return self._constant(func, (like, *args[1:]), kwargs, [])
        if not self.real:
            if func._schema.name in VALUE_DEPENDENT:
                raise DependsOnData(self._place(func))
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
                and (func._schema.is_mutable or self._stored[id(t)].kind != "parameter")
            }
            run_args, run_kwargs = substitute(args, changed), substitute(kwargs, changed)
        name = self._name(func, args)
        if self.real:
            result = self._compute(func, run_args, run_kwargs)
        else:
            result = plain_shape(func, run_args)
            if result is None:
                result = func(*run_args, **run_kwargs)
        if func._schema.is_mutable and isinstance(result, torch.Tensor) and result is run_args[0]:
            result = args[0]
        self._record(func, name, args, kwargs, result, tensors)
        return result

    def _compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Carry a call out, with what it decides taken over from an earlier recording."""
        result, decided = self.decisions.run(func, args, kwargs)
        if decided and not self._settled(args, result):
            self.decisions.places[self._place(func)] = None
        return result

    def _settled(self, args: Any, result: Any) -> bool:
        """Whether masks that never change, and nothing else, say what is taken."""
        masks = [t for a in args for t in flat(a) if t.dtype in WHOLE]
        made = [t for t in masks if id(t) in self._values and not self._values[id(t)].stored]
        return bool(masks) and not made and not whole(result)

    def _place(self, func: Any) -> str:
        """Where in the model a call is made, in words."""
        return Node(spelled(short(func)), (), (), {}, self.module, self.source()).where

    def _is_table(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor's content is known: an integer buffer."""
        value = self._stored.get(id(tensor))
        return value is not None and value.data is not None and id(tensor) not in self._values

    def _constant(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:
        """A call on constants is carried out, so that index tables and masks are known."""
        if not self.real and kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        if func._schema.is_mutable:
            for tensor in tensors:
                self._values.pop(id(tensor), None)
        own = {id(t): self._own(t) for t in tensors if id(t) in self._stored}
        result = func(*substitute(args, own), **substitute(kwargs, own))
        if func._schema.is_mutable and tensors:
            self.filled.changed(self._views.root(tensors[0]))
        if tensors and signature(func)[1]:
            self._views.add(result, tensors[0], func, args, kwargs)
        return result

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
        if value is None:
            value = self._filled(tensor)
        if value is None and self.filled.get(self._views.root(tensor)) is not None:
            # A part of such a tensor is as long as the sizes say, too.
            self._renew(tensor)
            value = self._values[key]
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
        results = result if isinstance(result, tuple | list) else (result,)
        made = [t for t in results if isinstance(t, torch.Tensor)]
        nodes, outs = self._converted(func, called, args, kwargs, made)
        for node in nodes:
            self._append(node, (*args, *kwargs.items()))
        if tensors and shares(func):
            self._memory.update(dict.fromkeys(outs, self._operand(tensors[0])))
        for tensor, value in zip(made, outs, strict=True):
            self.know(tensor, value)
        if signature(func)[1]:
            self._views.add(result, tensors[0], func, args, kwargs)
        if func._schema.is_mutable and outs:
            self._write(tensors[0], outs[0], called)

    def _converted(
        self, func: Any, called: str, args: Any, kwargs: Any, results: list[torch.Tensor]
    ) -> tuple[list[Node], list[Value]]:
        """The nodes of a call, and its outputs' values."""
        bound: dict[str, Any] = dict(signature(func)[0])
        for name, value in zip(list(bound), args, strict=False):
            bound[name] = value
        bound.update(kwargs)
        operands = {name: self._to_values(value) for name, value in bound.items()}
        name = f"{short(func)}_{len(self.graph.nodes)}"
        outs = [Value(name, tuple(t.shape), "activation", str(t.dtype)[6:]) for t in results]
        call = Call(called, func._overloadname, operands, tuple(outs), self.module, self.source())
        nodes = convert(call, self._trial(func, args, kwargs, bound))
        self._memory.update(dict.fromkeys({v for n in nodes for v in n.outputs}.difference(outs)))
        return nodes, outs

    def _trial(self, func: Any, args: Any, kwargs: Any, bound: Any) -> Trying | None:
        """How to try out an operator that nobody described."""
        return try_out(func, args, kwargs, bound, self.device, self._trials)

    def _write(self, tensor: torch.Tensor, new: Value, called: str) -> None:
        """A tensor was written to: so were those that it is a view of, and other views of them."""
        self._values[id(tensor)] = new
        for view in self._views.chain(tensor):
            before = self._operand(view.parent)
            nodes, old = self._seen_again(view)
            back = written(nodes, before, old, new)
            if back is None:
                unknown = f"aten.{called} in place through a view"
                made = Value(f"{before.name}_written", before.shape, "activation", before.dtype)
                back = [Node(unknown, (before, new), (made,), {}, self.module, self.source())]
            for node in back:
                self._append(node, ())
            self._memory.update(dict.fromkeys([v for n in back for v in n.outputs], before))
            new = back[-1].outputs[0] if back else new
            self._values[id(view.parent)] = new
        self._views.spoil(tensor)

    def _seen_again(self, view: View) -> tuple[list[Node], Value]:
        """The nodes of a view of what its parent holds now, and the view's value."""
        func = view.func
        nodes, outs = self._converted(
            func, self._name(func, view.args), view.args, view.kwargs, view.outputs
        )
        self._memory.update(dict.fromkeys(outs, self._operand(view.parent)))
        return nodes, outs[view.index]

    def _renew(self, tensor: torch.Tensor) -> None:
        """Look anew through a view at what has been written elsewhere."""
        self._views.stale.discard(id(tensor))
        view = self._views.get(tensor)
        assert view is not None
        if id(view.parent) in self._views.stale:
            self._renew(view.parent)
        nodes, value = self._seen_again(view)
        for node in nodes:
            self._append(node, ())
        self.know(tensor, value)

    def _name(self, func: Any, args: Any) -> str:
        """The call's name; a change of strides that moves no entry is an alias."""
        name = short(func)
        if name in ("as_strided", "as_strided_"):
            x, size, stride = args[0], tuple(args[1]), tuple(args[2])
            if tuple(x.size()) == size and all(
                n == 1 or s == t for n, s, t in zip(size, stride, x.stride(), strict=True)
            ):
                return "alias"
        return name

    def called(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Is told of a call that was recorded whole, and not as ATen calls."""

    def operand(self, tensor: torch.Tensor) -> Value:
        """The graph's value for any tensor that the forward works with."""
        return self._operand(tensor)

    def know(self, tensor: torch.Tensor, value: Value) -> None:
        """Declare the value that a tensor holds."""
        self._values[id(tensor)] = value
        self._alive.append(tensor)

    def add(self, node: Node, optional: bool = False) -> None:
        """Add a node; an optional one is dropped again if nothing needs it."""
        self._append(node, ())
        if optional:
            self._optional.add(node)

    def unused(self) -> list[str]:
        """Parameters that no call has taken so far."""
        used = {v for node in self.graph.nodes for v in node.inputs}
        return [v.name for v in self.graph.parameters if v not in used]

    def mark(self) -> Mark:
        """Where the recording stands, for `forget`."""
        graph, taken = self.graph, self.decisions.taken
        return Mark(
            len(graph.nodes), len(graph.sizes), len(graph.inputs), len(self._unwatched), len(taken)
        )

    def forget(self, mark: Mark) -> None:
        """Drop what was recorded since a `mark`."""
        del self.graph.nodes[mark.nodes :], self._arguments[mark.nodes :]
        del self.graph.sizes[mark.sizes :], self.graph.inputs[mark.inputs :]
        del self._unwatched[mark.unwatched :], self.decisions.taken[mark.decisions :]

    def finish(self) -> None:
        """Drop optional nodes whose outputs are not used; see how index tables are used."""
        self.graph.sizes += [u for node in self._unwatched for u in unknown_sizes(node)]
        nodes, used = self.graph.nodes, set(self.graph.outputs)
        elsewhere = {id(v) for key, v in self._stored.items() if key in self._copies}
        mark_tables(self.graph, elsewhere)
        for i in reversed(range(len(nodes)) if self._optional else ()):
            if nodes[i] in self._optional and not used.intersection(nodes[i].outputs):
                del nodes[i], self._arguments[i]
                if self.graph.evaluated is not None and i < self.graph.evaluated:
                    self.graph.evaluated -= 1
            else:
                used.update(v for v in nodes[i].inputs if v is not None)

    def _filled(self, tensor: torch.Tensor) -> Value | None:
        """A tensor that is filled with one number, and whose size follows from other sizes."""
        known = self.filled.get(tensor)
        if known is None:
            return None
        number, sizes = known
        shape = tuple(tensor.shape)
        value = Value(f"filled_{len(self.graph.nodes)}", shape, "activation", str(tensor.dtype)[6:])
        node = Node("ConstantOfShape", (), (value,), {"value": number}, self.module, self.source())
        self._append(node, ())
        self.graph.sizes += [SizeUse((value, i), e, node.where) for i, e in enumerate(sizes)]
        self.know(tensor, value)
        return value

    def _append(self, node: Node, arguments: tuple[Any, ...]) -> None:
        self.graph.nodes.append(node)
        self._arguments.append(arguments)
        if not self.watched:
            self._unwatched.append(node)

    @property
    def scalars(self) -> list[tuple[Any, ...]]:
        """Per node its arguments without tensors, to be compared after a prune."""

        def live(tensor: torch.Tensor) -> bool:
            return self.value_of(tensor) is not None

        return [plain(arguments, live) for arguments in self._arguments]

    def _to_values(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return self._operand(value)
        if isinstance(value, list | tuple) and value and type(value[0]) is not int:
            return [self._to_values(v) for v in value]
        return value


@cache
def shares(func: Any) -> bool:
    """Whether what a call returns lies in the memory of its first operand."""
    alias = any(r.alias_info is not None for r in func._schema.returns)
    return alias or short(func) in UNSAFE_VIEWS
