"""The registry of ATen calls and how each becomes nodes of the standard graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from spa_kernel.graph.ir import Node, Value
from spa_kernel.graph.ops_probed import Trial


@dataclass(slots=True)
class Call:
    """One ATen call: arguments by schema name, tensors as graph values."""

    name: str
    overload: str
    args: dict[str, Any]
    outs: tuple[Value, ...]
    module: str = ""
    source: str = ""
    nodes: list[Node] = field(default_factory=list)

    def emit(
        self,
        op: str,
        inputs: Iterable[Value | None],
        outputs: Iterable[Value] | None = None,
        /,
        **attrs: Any,
    ) -> None:
        """Add a node; by default it makes the call's outputs."""
        outs = self.outs if outputs is None else tuple(outputs)
        self.nodes.append(Node(op, tuple(inputs), outs, attrs, self.module, self.source))

    def tensors(self) -> list[Value]:
        """All tensor operands."""
        found = []
        for value in self.args.values():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, Value):
                    found.append(item)
        return found


Handler = Callable[[Call], None]
HANDLERS: dict[str, Handler] = {}


def aten(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler for ATen calls (names without namespace, overload or in-place mark)."""

    def register(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return register


def spelled(name: str) -> str:
    """A call's name for people, with its library."""
    return name if "::" in name else f"aten.{name}"


def convert(call: Call, trial: Callable[[Call], Trial] | None = None) -> list[Node]:
    """The nodes for a call; one that nobody has described becomes an unknown operator.

    ``trial`` tries such a call out.
    """
    handler = HANDLERS.get(call.name) or HANDLERS.get(call.name.rstrip("_"))
    if handler is not None:
        handler(call)
    if not call.nodes:
        attrs = {} if trial is None else {"trial": trial(call)}
        call.emit(spelled(call.name), call.tensors(), **attrs)
    return call.nodes
