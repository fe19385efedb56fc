"""One thing at a time is done to a session, and watchers are told of it."""

import copy
import threading

import pytest
import torch
from torch import nn

import spa_kernel as spa
from spa_kernel.session import turns

X = torch.zeros(2, 4)


@pytest.fixture
def session():
    return spa.analyze(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval(), X)


@pytest.fixture
def told(session, monkeypatch):
    heard = []

    def watch(what, which):
        heard.append((what, which.turn.busy))

    monkeypatch.setattr(turns, "watchers", [watch])
    return heard


def elsewhere(work):
    """The result of something that another thread does."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(30)
    return found[0]


def is_free(session):
    with session.turn.free() as free:
        return free


@pytest.mark.parametrize(
    "work",
    [lambda s: s.plan(ratio=0.5), lambda s: s.importance(), lambda s: s.explain("0"),
     lambda s: s.prune(ratio=0.5), lambda s: (s.prune(ratio=0.5), s.undo(), s.redo(), s.reset())],
)  # fmt: skip
def test_each_thing_starts_and_ends_once(session, told, work):
    done = work(session)
    count = 4 if isinstance(done, tuple) else 1
    assert told == [("started", True), ("ended", False)] * count


def test_steps_are_told_in_between(session, told):
    session.prune(ratio=0.5, steps=2)
    assert told == [("started", True), ("changed", True), ("changed", True), ("ended", False)]


def test_what_fails_ends_as_well(session, told):
    with pytest.raises(spa.InfeasibleTarget):
        session.prune(flops=1e6)
    assert told[-1] == ("ended", False)
    assert elsewhere(lambda: is_free(session))


def test_others_only_look_when_nothing_is_done(session):
    seen = []
    session.prune(ratio=0.5, steps=2, between=lambda s: seen.append(elsewhere(lambda: is_free(s))))
    assert seen == [False]
    assert elsewhere(lambda: is_free(session))


def test_looking_is_not_told(session, told):
    with session.turn.free() as free:
        assert free and turns.looking()
        session.plan(ratio=0.5)
        assert not session.turn.busy
    assert not turns.looking()
    assert told == []


def test_analysing_is_told(told):
    spa.analyze(nn.Linear(4, 2), X)
    assert told == [("started", True), ("ended", False)]


def test_a_copy_has_a_turn_of_its_own(session):
    with session.turn.taken(session):
        assert session.turn.busy
        assert not copy.deepcopy(session.turn).busy


def test_a_watcher_that_fails_harms_nothing(session, monkeypatch, caplog):
    def fail(what, session):
        raise ValueError("a bug")

    monkeypatch.setattr(turns, "watchers", [fail])
    session.prune(ratio=0.5)
    assert session.history.position == 1
    assert "a watcher failed" in caplog.text
