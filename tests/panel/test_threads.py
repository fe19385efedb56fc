"""Questions come on another thread while a cell runs."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
from block_network import Net
from panel_page import Page

import spa_kernel as spa
from spa_kernel.importance.registry import _CRITERIA

LONG = 60
"""Seconds after which something hangs."""
TARGET = {"kind": "flops", "value": 1.5}


class Elsewhere(threading.Thread):
    """Does something on a thread of its own; what fails there fails here."""

    def __init__(self, work: Any) -> None:
        super().__init__(daemon=True)
        self.work, self.result, self.error = work, None, None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:
            self.error = error

    def wait(self) -> Any:
        self.join(LONG)
        assert not self.is_alive(), "it hangs"
        if self.error is not None:
            raise self.error
        return self.result


@pytest.fixture
def gate(notebook):
    """A criterion ``held`` that stops in the middle until it is let go."""
    inside, go = threading.Event(), threading.Event()

    @spa.criterion("held")
    def held(context, name, array):
        inside.set()
        assert go.wait(LONG)
        return abs(array)

    yield inside, go
    _CRITERIA.pop("held")


def questions(page: Page) -> dict[str, Any]:
    """One of each."""
    return {
        "snapshot": page.ask(type="snapshot"),
        "sparks": page.ask(type="snapshot", criterion="l2"),
        "predict": page.ask(type="predict", model="net", target=TARGET),
        "explain": page.ask(type="explain", model="net", layer="conv1"),
        "candidates": page.ask(type="candidates"),
    }


def test_while_a_prune_runs_the_last_snapshot_is_given(notebook, page, gate):
    inside, go = gate
    last = page.news()[-1]

    def ask():
        assert inside.wait(LONG)
        try:
            # The prune is waiting for us: every answer comes before it goes on.
            return questions(page)
        finally:
            go.set()

    asking = Elsewhere(ask)
    notebook("%spa_prune net --criterion held --flops 1.5;")
    found = asking.wait()
    for name in ("snapshot", "sparks"):
        assert found[name]["busy"]
        assert found[name]["models"] == last["models"]
    for name in ("predict", "explain"):
        assert found[name]["code"] == "busy"
        assert "net is being worked on" in found[name]["reason"]
    assert found["candidates"]["name"] == ["net"]
    assert not page.news()[-1]["busy"]
    assert page.model()["history"]["position"] == 1


def test_other_models_can_be_asked_for_meanwhile(notebook, page, gate):
    inside, go = gate
    notebook.ns["other"] = Net().eval()
    notebook("%spa_analyze other x;")

    def ask():
        assert inside.wait(LONG)
        try:
            return page.ask(type="predict", model="other", target=TARGET)
        finally:
            go.set()

    asking = Elsewhere(ask)
    notebook("%spa_prune net --criterion held --flops 1.5;")
    assert asking.wait()["type"] == "prediction"


def test_a_prune_waits_for_a_prediction(notebook, page, gate):
    """It looks at no model that is being changed, and is not taken for work itself."""
    inside, go = gate
    session = notebook("%spa_analyze net x")
    options = {"criterion": "held"}
    looking = Elsewhere(
        lambda: page.ask(type="predict", model="net", target=TARGET, options=options)
    )
    assert inside.wait(LONG)
    pruning = Elsewhere(lambda: session.prune(flops=1.5))
    assert not Page().news()[-1]["busy"]
    assert session.history.position == 0
    go.set()
    found = looking.wait()
    assert pruning.wait().params[1] == page.model()["params"][1]
    assert found["params"][0] == page.model()["params"][0]
    assert not any(message["type"] == "progress" for message in page.messages)


def test_questions_in_a_storm_of_changes(notebook, page):
    """Nothing tears, nothing hangs, and the model ends as it would have without."""
    alone = copy.deepcopy(notebook.ns["net"])
    wild = spa.analyze(alone, notebook.ns["x"])
    stop = threading.Event()
    sizes = set()

    def ask():
        asker, count = Page(), 0
        while not stop.is_set():
            answers = questions(asker)
            count += 1
            for model in answers["snapshot"]["models"]:
                sizes.add(model["params"][1])
                assert sum(model["groups"]["size"]) > 0
            assert answers["predict"].get("code") in (None, "busy"), answers["predict"]
            assert answers["explain"].get("code") in (None, "busy"), answers["explain"]
        return count

    askers = [Elsewhere(ask) for _ in range(2)]
    valid = set()
    for _ in range(6):
        for cell in (
            "%spa_prune net --flops 1.3;",
            "%spa_prune net --flops 1.2;",
            "%spa_undo net;",
        ):
            notebook(cell)
            valid.add(page.model()["params"][1])
        notebook("%spa_reset net;")
    notebook("%spa_prune net --flops 1.4;")
    stop.set()
    assert all(asker.wait() for asker in askers)
    wild.prune(flops=1.4)
    torch.testing.assert_close(notebook.ns["net"].state_dict(), alone.state_dict(), rtol=0, atol=0)
    assert sizes <= valid | set(page.model()["params"])
    revisions = [news["revision"] for news in page.news()]
    assert revisions == sorted(revisions)
