"""The panel follows what cells do."""

import gc
import weakref
from itertools import pairwise

import pytest
import torch
from block_network import Net
from comm import get_comm_manager
from IPython.core.error import UsageError
from onnx_networks import convs
from panel_page import Page

import spa_kernel as spa
from spa_kernel.magics import unload_ipython_extension
from spa_kernel.panel.comm import TARGET
from spa_kernel.panel.progress import INTERVAL, MOST, PATIENCE, Progress


def test_every_change_is_told_once(notebook, page):
    start = page.model()
    for cell, steps, position in (
        ("%spa_prune net --flops 1.5;", 2, 1),
        ("%spa_prune net --flops 1.2;", 3, 2),
        ("%spa_undo net 2;", 3, 0),
        ("%spa_redo net;", 3, 1),
        ("%spa_reset net;", 3, 0),
    ):
        before = page.news()
        notebook(cell)
        (news,) = page.news()[len(before) :]
        assert not news["busy"]
        assert news["revision"] > before[-1]["revision"]
        history = page.model()["history"]
        assert (len(history["label"]), history["position"]) == (steps, position)
    assert page.model()["groups"] == start["groups"]
    assert page.model()["revision"] > start["revision"]
    notebook("%spa_history net;")
    assert page.news()[-1] is news


def test_the_api_is_followed_too(notebook):
    page = Page()
    assert page.news()[-1]["models"] == []
    notebook("import spa_kernel as spa; session = spa.analyze(net, x)")
    assert page.model("net")["history"]["position"] == 0
    notebook("session.prune(ratio=0.5, scope='local')")
    assert page.model("net")["history"]["position"] == 1
    notebook("del net")
    assert [model["name"] for model in page.news()[-1]["models"]] == ["session"]


def test_steps_are_told_one_by_one_in_one_cell(notebook, page):
    before = len(page.news())
    notebook("%spa_prune net --flops 2 --steps 3;")
    news = page.news()[before:]
    assert [n["models"][0]["history"]["position"] for n in news] == [1, 2, 3, 3]
    assert [n["busy"] for n in news] == [True, True, True, False]


def test_a_prune_that_fails_leaves_no_trace(notebook, page):
    last = page.news()[-1]
    with pytest.raises(UsageError, match="reach"):
        notebook("%spa_prune net --flops 100000;")
    assert page.news()[-1] == last
    assert page.ask(type="snapshot") == {**last, "id": 1}


def test_save_load_and_what_was_measured(notebook, page, tmp_path):
    notebook("%spa_prune net --flops 1.5;")
    notebook(f"%spa_save net {tmp_path / 'work.spa'};")
    notebook.ns["other"] = Net().eval()
    notebook(f"%spa_load {tmp_path / 'work.spa'} other;")
    assert page.model("other")["groups"] == page.model("net")["groups"]
    notebook("session = %spa_analyze other x\nsession.history.record(top1=0.5)")
    assert page.model("other")["history"]["values"] == [{"top1": 0.5}]


def test_weights_that_were_trained_are_news(notebook, page):
    page.ask(type="snapshot", criterion="l1")
    notebook("1")
    assert page.ask(type="snapshot")["models"][0]["groups"]["criterion"] == "l1"
    before = page.model()
    notebook("with torch.no_grad(): net.conv1.weight.mul_(2)")
    assert page.model()["revision"] > before["revision"]
    assert "spark" not in page.model()["groups"]


def test_a_model_that_is_deleted_goes_and_is_freed(notebook, page):
    page.ask(type="snapshot", criterion="l1")
    page.ask(type="predict", model="net", target={"kind": "flops", "value": 1.5})
    freed = weakref.ref(notebook.ns["net"])
    notebook("del net")
    assert page.news()[-1]["models"] == []
    gc.collect()
    assert freed() is None
    assert page.ask(type="explain", model="net", layer="conv1")["code"] == "unknown"


def test_a_model_that_is_replaced_is_another_one(notebook, page):
    notebook("%spa_prune net --flops 1.5;")
    old = page.model()
    notebook.ns["net"] = Net().eval()
    notebook("%spa_analyze net x;")
    assert page.model()["revision"] > old["revision"]
    assert page.model()["history"]["position"] == 0


def test_two_panels_hear_the_same(notebook, page):
    other = Page()
    notebook("%spa_prune net --flops 1.5;")
    assert page.news()[-1] == other.news()[-1]
    other.wire.handle_close({"content": {}})
    heard = len(other.messages)
    notebook("%spa_undo net;")
    assert len(other.messages) == heard
    assert page.model()["history"]["position"] == 0


def test_a_panel_that_cannot_be_reached_is_forgotten(notebook, page, monkeypatch):
    def fail(*_, **__):
        raise OSError("no wire")

    monkeypatch.setattr(page.wire, "publish_msg", fail)
    notebook("%spa_prune net --flops 1.5;")
    assert notebook("%spa_history net").position == 1
    assert not notebook.ip._spa_magics[2].hub.panels


def test_unloading_closes_the_panels(notebook, page):
    unload_ipython_extension(notebook.ip)
    assert page.wire.sent[-1][0] == "comm_close"
    assert TARGET not in get_comm_manager().targets
    said = len(page.wire.sent)
    spa.analyze(notebook.ns["net"], notebook.ns["x"]).prune(flops=1.5)
    assert len(page.wire.sent) == said


def test_candidates(notebook, page):
    notebook.ns.update(lazy=torch.nn.LazyLinear(3), small=torch.nn.Linear(2, 2), number=3)
    notebook.ns["proto"] = convs()
    found = page.ask(type="candidates")
    columns = (found[key] for key in ("name", "kind", "params", "analysed", "input"))
    rows = {name: rest for name, *rest in zip(*columns, strict=True)}
    size = sum(p.numel() for p in notebook.ns["net"].parameters())
    assert rows["net"] == ["Net", size, True, False]
    assert rows["small"] == ["Linear", 6, False, True]
    assert rows["lazy"] == ["LazyLinear", None, False, True]
    kind, size, *rest = rows["proto"]
    assert (kind, rest) == ("ModelProto", [False, False])
    assert size > 0
    assert "number" not in rows


def test_a_question_is_no_cell(notebook, page):
    """What IPython does after a cell would show figures that a running cell is still drawing."""
    happened = []
    for event in ("pre_execute", "post_execute", "pre_run_cell", "post_run_cell"):
        notebook.ip.events.register(event, lambda *_: happened.append(1))
    page.ask(type="candidates")
    assert not happened


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def __call__(self):
        return self.now


def test_progress_is_told_not_at_once_and_not_too_often():
    clock, said = Clock(), []
    progress = Progress(lambda message: said.append((clock.now, message)), clock)
    progress.begin("net")
    for i in range(1000):
        clock.now = i * 0.01
        progress("scoring" if i % 7 else "planning", i, 1000)
        if i % 50 == 49:
            progress.end()
            progress.begin("net")
    assert said[0][0] >= PATIENCE
    for time, _ in said:
        assert sum(time <= other < time + 1 for other, _ in said) <= MOST
    phases = [message["phase"] for _, message in said]
    assert None in phases and "scoring" in phases
    assert not any(a is None and b is None for a, b in pairwise(phases))
    assert INTERVAL * MOST == 1


def test_progress_of_a_long_prune_names_the_model(notebook, page, monkeypatch):
    monkeypatch.setattr("spa_kernel.panel.progress.PATIENCE", 0)
    notebook("%spa_prune net --flops 1.5;")
    said = [message for message in page.messages if message["type"] == "progress"]
    assert {message["model"] for message in said} == {"net"}
    assert said[-1]["phase"] is None and said[0]["phase"] == "scoring"
