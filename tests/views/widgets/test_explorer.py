"""The explorer without a browser: its widgets are set and clicked from here."""

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import spa_kernel as spa
from spa_kernel.views.widgets import busy
from spa_kernel.views.widgets.explorer import Explorer


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip


@pytest.fixture
def session():
    return spa.analyze(network(), (1, 3, 12, 12), name="net")


@pytest.fixture
def explorer(session, monkeypatch):
    monkeypatch.setattr(busy, "REST", 0.0)
    return Explorer(session)


def buttons(explorer):
    return {b.description: b for b in (explorer._prune, explorer._undo, explorer._redo)}


def click(explorer, name):
    buttons(explorer)[name].click()


def line(explorer):
    return explorer._line.value


def test_what_is_foretold_is_what_a_plan_says(explorer, session):
    controls = explorer._controls
    controls.factor.value = 1.5
    assert explorer.plan.to_json() == session.plan(flops=1.5).to_json()
    controls.criterion.value = "l2"
    controls.target.value = "ratio"
    controls.share.value = 0.25
    controls.scope.value = "local"
    controls.round_to.value = 4
    controls.exclude.value = "0"
    wanted = session.plan("l2", ratio=0.25, scope="local", round_to=4, exclude="0")
    assert explorer.plan.removed.keys() == wanted.removed.keys()
    assert explorer.plan.widths == wanted.widths
    expected = "%spa_prune net --criterion l2 --ratio 0.25 --scope local --round-to 4 --exclude 0"
    assert expected in line(explorer)


def test_prune_undo_redo_change_the_model(explorer, session):
    model, start = session.model, {n: t.clone() for n, t in session.model.state_dict().items()}
    foretold = explorer.plan.widths
    click(explorer, "Prune")
    expected = {g: after for g, (_, after) in foretold.items()}
    assert {g.id: g.size for g in session.groups} == expected
    assert "verified" in explorer._busy._text.value
    assert not buttons(explorer)["Undo"].disabled
    click(explorer, "Undo")
    assert all(torch.equal(t, start[n]) for n, t in model.state_dict().items())
    click(explorer, "Redo")
    assert session.history.position == 1


def test_a_button_that_cannot_be_pressed_says_why(explorer):
    states = buttons(explorer)
    assert states["Undo"].disabled
    assert states["Undo"].tooltip == "nothing has been pruned yet"
    assert states["Redo"].disabled
    explorer._controls.factor.value = 8.0
    explorer._controls.exclude.value = "*"
    assert states["Prune"].disabled
    assert states["Prune"].tooltip == explorer._problem != ""


def test_limits_of_single_groups(explorer, session):
    controls = explorer._controls
    controls.choose("g1")
    controls.limit.value = 0.0
    assert "g1" not in explorer.plan.removed
    assert "--exclude g1" in line(explorer)
    controls.limit.value = 0.25
    assert len(explorer.plan.removed["g1"]) <= 4
    assert "--max-ratio g1=0.25" in line(explorer)
    controls._clear.click()
    assert explorer.plan.to_json() == session.plan(flops=2.0).to_json()


def test_clicks_that_were_made_while_a_job_ran_do_nothing(session):
    explorer = Explorer(session)

    async def twice():
        click(explorer, "Prune")
        # Who can be clicked is heard: nobody can before the rest is over.
        assert all(each.disabled for each in buttons(explorer).values())
        click(explorer, "Prune")
        await asyncio.sleep(2 * busy.REST)
        assert session.history.position == 1
        assert not buttons(explorer)["Undo"].disabled
        click(explorer, "Undo")
        await asyncio.sleep(2 * busy.REST)

    # Not on this thread: a browser of other tests may have a loop running here.
    with ThreadPoolExecutor(1) as other:
        other.submit(asyncio.run, twice()).result()
    assert session.history.position == 0


def test_an_error_is_a_sentence_and_the_model_stays(explorer, session):
    session.model[0] = nn.Conv2d(3, 17, 3)
    click(explorer, "Prune")
    assert "changed from outside" in explorer._busy._text.value
    assert len(session.history) == 1


def test_an_interrupt_leaves_the_model_as_it_was(explorer, session, monkeypatch):
    before = {n: t.clone() for n, t in session.model.state_dict().items()}

    def interrupted(self, *_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(session.backend), "apply", interrupted)
    click(explorer, "Prune")
    assert "interrupted" in explorer._busy._text.value
    assert all(torch.equal(t, before[n]) for n, t in session.model.state_dict().items())


def test_what_others_do_shows(explorer, session):
    session.prune(ratio=0.5)
    assert not buttons(explorer)["Undo"].disabled
    assert explorer.plan.flops[0] == session.cost[0]


@pytest.mark.parametrize("tab", range(5))
def test_every_tab_follows(explorer, session, tab):
    explorer._tabs.widget.selected_index = tab
    (view,) = explorer._tabs.widget.children[tab].children
    explorer._controls.factor.value = 3.0
    click(explorer, "Prune")
    click(explorer, "Undo")
    assert explorer._tabs.widget.children[tab].children == (view,)


def test_jumping_in_the_history(explorer, session):
    session.prune(ratio=0.3)
    session.prune(ratio=0.3)
    explorer._tabs.widget.selected_index = 3
    view = explorer._tabs._views[3]
    view._step.value = 0
    view._go.click()
    assert session.history.position == 0
    view._step.value = 2
    view._go.click()
    assert session.history.position == 2
    session.undo()
    assert "lose the 1 undone step" in view._note.value


def test_the_model_is_not_kept_alive():
    session = spa.analyze(network(), (1, 3, 12, 12))
    explorer, gone = Explorer(session), weakref.ref(session.model)
    for tab in range(5):
        explorer._tabs.widget.selected_index = tab
    del session
    gc.collect()
    assert gone() is None
    explorer.propose()
    assert "gone" in explorer._problem
