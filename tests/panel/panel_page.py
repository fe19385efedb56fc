"""A page that shows the panel, as far as the kernel can tell."""

from __future__ import annotations

import itertools
import json
from typing import Any

from comm import get_comm_manager
from comm.base_comm import BaseComm
from IPython.core.interactiveshell import InteractiveShell

from spa_kernel.panel.comm import TARGET
from spa_kernel.panel.protocol import VERSION, validators


class Wire(BaseComm):
    """A comm that keeps what it is to send."""

    def __init__(self, **options: Any) -> None:
        self.sent: list[tuple[str, Any]] = []
        super().__init__(primary=False, target_name=TARGET, **options)

    def publish_msg(self, msg_type: str, data: Any = None, *_: Any, **__: Any) -> None:
        self.sent.append((msg_type, data))


class Page:
    """What JupyterLab does; every message to it must be one of the protocol."""

    def __init__(self, hello: Any = None) -> None:
        self.ids = itertools.count(1)
        self.wire = Wire()
        self.read = 0
        get_comm_manager().register_comm(self.wire)
        greeting = {"type": "hello", "id": 0, "version": VERSION, "extension": "0.1.0"}
        content = {"data": greeting if hello is None else hello}
        get_comm_manager().targets[TARGET](self.wire, {"content": content})

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer to a question."""
        number = next(self.ids)
        self.send({"id": number, **question})
        return next(m for m in reversed(self.messages) if m["id"] == question.get("id", number))

    def send(self, content: Any) -> None:
        """Send anything at all."""
        self.wire.handle_msg({"content": {"comm_id": self.wire.comm_id, "data": content}})

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that came."""
        found = [data for kind, data in self.wire.sent if kind == "comm_msg"]
        for message in found[self.read :]:
            validators("Answer")[message["type"]].validate(message)
            json.dumps(message, allow_nan=False)
        self.read = len(found)
        return found

    def news(self) -> list[dict[str, Any]]:
        """The snapshots that nobody asked for."""
        return [m for m in self.messages if m["type"] == "snapshot" and m["id"] is None]

    def model(self, name: str = "net") -> dict[str, Any]:
        """A model of the last snapshot."""
        last = self.news()[-1]
        return next(model for model in last["models"] if model["name"] == name)


class Notebook:
    """Types into IPython; errors are raised instead of printed."""

    def __init__(self, ip: InteractiveShell) -> None:
        self.ip = ip
        self.ns = ip.user_ns

    def __call__(self, cell: str) -> Any:
        result = self.ip.run_cell(cell)
        result.raise_error()
        return result.result
