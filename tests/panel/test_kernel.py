"""A real kernel, spoken to as JupyterLab does it."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any

import pytest
from jupyter_client import BlockingKernelClient, KernelManager

from spa_kernel.panel.comm import TARGET
from spa_kernel.panel.protocol import VERSION, validators

LONG = 60
"""Seconds after which a kernel hangs."""
MODEL = """
%load_ext spa_kernel
import time, pathlib, torch, spa_kernel as spa
net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)).eval()
"""


def ended(cell: str) -> Callable[[Any], bool]:
    """Whether a message says that a cell is at its end."""
    return lambda m: (
        m["parent_header"].get("msg_id") == cell and m["content"].get("execution_state") == "idle"
    )


def snapshot_at(position: int) -> Callable[[Any], bool]:
    """Whether a message shows the only model at a step, and nothing going on."""
    return lambda m: (
        m["type"] == "snapshot"
        and not m["busy"]
        and [model["history"]["position"] for model in m["models"]] == [position]
    )


class Lab:
    """One panel on one kernel."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client, self.comm, self.heard = client, uuid.uuid4().hex, []
        self.ids, self.subshell = itertools.count(1), None

    def tell(self, channel: Any, kind: str, content: dict[str, Any]) -> str:
        """Send any message; its id."""
        message = self.client.session.msg(kind, content)
        if self.subshell is not None:
            message["header"]["subshell_id"] = self.subshell
        channel.send(message)
        return message["header"]["msg_id"]

    def open(self) -> None:
        hello = {"type": "hello", "id": 0, "version": VERSION}
        content = {"comm_id": self.comm, "target_name": TARGET, "data": hello}
        self.tell(self.client.shell_channel, "comm_open", content)

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer, whatever the kernel is doing."""
        number = next(self.ids)
        content = {"comm_id": self.comm, "data": {"id": number, **question}}
        self.tell(self.client.shell_channel, "comm_msg", content)
        return self.until(lambda message: message["id"] == number)

    def start(self, cell: str) -> str:
        """Run a cell, and do not wait for it."""
        return self.client.execute(cell)

    def run(self, cell: str) -> None:
        """Run a cell to its end."""
        self.wait(ended(self.start(cell)))

    def until(self, wanted: Callable[[Any], bool]) -> dict[str, Any]:
        """The first message of the panel's that is wanted and was not returned before."""
        for message in self.heard:
            if wanted(message):
                self.heard.remove(message)
                return message
        ours = self.wait(lambda m: self.ours(m) and wanted(m["content"]["data"]))
        self.heard.remove(ours["content"]["data"])
        return ours["content"]["data"]

    def ours(self, message: Any) -> bool:
        return message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == self.comm

    def wait(self, wanted: Callable[[Any], bool]) -> Any:
        """Read what the kernel says, until something wanted comes."""
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            assert message["msg_type"] != "error", message["content"]
            if self.ours(message):
                data = message["content"]["data"]
                validators("Answer")[data["type"]].validate(data)
                self.heard.append(data)
            if wanted(message):
                return message
        raise AssertionError("the kernel says nothing")


@pytest.fixture(scope="module")
def client() -> Iterator[BlockingKernelClient]:
    manager = KernelManager()
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LONG)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_panel_beside_a_real_kernel(client, tmp_path):
    lab = Lab(client)
    lab.run(MODEL)
    # JupyterLab asks on a thread of its own where the kernel has such.
    lab.tell(client.control_channel, "create_subshell_request", {})
    answer = client.get_control_msg(timeout=LONG)["content"]
    assert answer["status"] == "ok"
    lab.subshell = answer["subshell_id"]
    lab.open()
    assert lab.until(lambda m: m["type"] == "hello")["version"] == VERSION
    assert lab.until(lambda m: m["type"] == "snapshot")["models"] == []
    assert lab.ask(type="candidates")["name"] == ["net"]

    lab.run("%spa_analyze net --shape 1,6")
    (model,) = lab.until(lambda m: m["type"] == "snapshot" and m["models"])["models"]
    assert (model["name"], model["kind"]) == ("net", "Sequential")
    found = lab.ask(type="predict", model="net", target={"kind": "params", "value": 2})
    lab.run(found["line"])
    pruned = lab.until(snapshot_at(1))
    assert pruned["models"][0]["params"][1] == found["params"][1]

    # Asked while a cell runs, after something was told from a cell.
    gate = tmp_path / "gate"
    cell = lab.start(f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)")
    shown = lab.ask(type="snapshot", criterion="l1")
    assert not shown["busy"]
    assert shown["models"][0]["groups"]["spark"][0]
    assert lab.ask(type="predict", model="net", target={"kind": "flops", "value": 2})["line"]
    gate.touch()
    lab.wait(ended(cell))

    # And while a prune waits in the middle.
    gate.unlink()
    lab.run(f"""
@spa.criterion("held")
def held(context, name, array):
    while not pathlib.Path({str(gate)!r}).exists():
        time.sleep(0.01)
        spa.progress.report("scoring", 1, 2)
    return abs(array)
""")
    lab.start("%spa_prune net --criterion held --params 1.2")
    lab.until(lambda m: m["type"] == "progress" and m["phase"] == "scoring" and m["model"] == "net")
    assert lab.ask(type="snapshot")["busy"]
    asked = lab.ask(type="predict", model="net", target={"kind": "flops", "value": 2})
    assert asked["code"] == "busy"
    gate.touch()
    lab.until(lambda m: m["type"] == "progress" and m["phase"] is None)
    done = lab.until(snapshot_at(2))
    assert done["revision"] > shown["revision"]
