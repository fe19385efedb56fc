"""The panels' end of the wire: a comm target that pages open."""

from __future__ import annotations

from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from comm import get_comm_manager
from comm.base_comm import BaseComm

from spa_kernel.panel.answers import answer
from spa_kernel.panel.hub import Hub
from spa_kernel.panel.protocol import Message

if TYPE_CHECKING:
    from spa_kernel.magics.commands import SPAMagics

TARGET = "spa_kernel.panel"


class Panels:
    """All open panels of a kernel.

    Messages come on the main thread between cells, or on a thread of their own while a cell runs;
    which one depends on the kernel, and on a setting of JupyterLab.
    """

    def __init__(self, magics: SPAMagics) -> None:
        self.hub = Hub(magics)
        self._comms: dict[str, BaseComm] = {}

    def open(self) -> None:
        """Let pages come."""
        self.hub.open()
        get_comm_manager().register_target(TARGET, self._opened)

    def close(self) -> None:
        """Tell all pages goodbye."""
        self.hub.close()
        manager = get_comm_manager()
        if manager.targets.get(TARGET) == self._opened:
            manager.unregister_target(TARGET, self._opened)
        self.hub.panels.clear()
        for comm in list(self._comms.values()):
            comm.close()
        self._comms.clear()

    def _opened(self, comm: BaseComm, message: dict[str, Any]) -> None:
        self._comms[comm.comm_id] = comm
        # Not on_msg: around that, IPython does what it does around cells. In the middle of a cell
        # that would show and close the figures that the cell is drawing.
        vars(comm)["handle_msg"] = partial(self._asked, comm)
        comm.on_close(lambda _: self._closed(comm))
        self._asked(comm, message)

    def _closed(self, comm: BaseComm) -> None:
        self._comms.pop(comm.comm_id, None)
        self.hub.panels.pop(comm.comm_id, None)

    def _asked(self, comm: BaseComm, message: dict[str, Any]) -> None:
        reply = answer(self.hub, message["content"].get("data"), comm.comm_id in self.hub.panels)
        comm.send(reply)
        if reply["type"] == "hello":
            # Whoever speaks our version hears from now on what happens.
            self.hub.join(comm.comm_id, partial(_send_from, copy_context(), comm))


def _send_from(here: Context, comm: BaseComm, message: Message) -> None:
    """Send a message as if it came from where the panel was welcomed.

    ipykernel hands further questions to the thread that sent something last, and what a cell
    sends would have them wait until it ends.
    """
    # A context can be entered by one thread at a time.
    here.copy().run(comm.send, message)
