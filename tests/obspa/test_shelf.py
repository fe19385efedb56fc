"""States that wait, in memory or on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from spa_kernel.obspa.program import State, copied
from spa_kernel.obspa.shelf import Shelf, nbytes

SIZE = 4 * 100
"""Bytes of one tensor."""


def made(number: int) -> State:
    """With a view of half of its tensor."""
    base = torch.full((100,), float(number))
    return State(f"tape {number}", {0: base, 1: base[50:], "text": torch.arange(3)}, number)


def check(state: State, number: int) -> None:
    assert (state.tape, state.next) == (f"tape {number}", number)
    assert state.live.keys() == {0, 1, "text"}
    assert torch.equal(state.live[0], torch.full((100,), float(number)))
    assert torch.equal(state.live["text"], torch.arange(3))
    # A write into the view is one into the whole.
    state.live[1].fill_(-1)
    assert (state.live[0][50:] == -1).all()
    state.live[1].fill_(number)


@pytest.mark.parametrize("limit", [0, 2 * SIZE + 100, 10**9])
def test_states_come_back_with_views_still_views(limit: int) -> None:
    shelf, states = Shelf(limit), [made(n) for n in range(5)]
    for state in states:
        shelf.add(state)
        assert nbytes(states[: len(shelf)]) <= limit
    assert len(shelf) == 5
    for _ in range(2):
        for number in (3, 0, 4, 1, 2):
            with shelf.taken(number) as (state,):
                check(state, number)
            assert nbytes(states) <= limit
    shelf.close()


def test_two_states_share_what_they_shared() -> None:
    shelf, one = Shelf(0), made(1)
    other = State(one.tape, {0: one.live[0]}, 1)
    shelf.add(one, other)
    assert not one.live and not other.live
    with shelf.taken(0) as (a, b):
        a.live[0].fill_(7)
        assert (b.live[0] == 7).all()
    # More can be put beside them.
    with shelf.taken(0) as states:
        states.append(made(3))
    with shelf.taken(0) as states:
        assert (states[0].live[0] == 7).all()
        check(states[2], 3)


def test_what_is_done_to_a_state_is_kept() -> None:
    shelf = Shelf(0)
    shelf.add(made(1))
    with shelf.taken(0) as (state,):
        state.live = {"new": torch.ones(2)}
        state.next = 9
    with shelf.taken(0) as (state,):
        assert state.live.keys() == {"new"}
        assert state.next == 9


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.bool, torch.int64, torch.complex64])
def test_tensors_of_every_type(dtype: torch.dtype) -> None:
    shelf, tensor = Shelf(0), torch.tensor([[0, 1, 1]]).to(dtype).t()
    shelf.add(State(None, {0: tensor}))
    with shelf.taken(0) as (state,):
        assert torch.equal(state.live[0], tensor)
        assert (state.live[0].dtype, state.live[0].stride()) == (dtype, tensor.stride())


def test_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shelf = Shelf(0)
    shelf.add(made(0))
    assert len(list(tmp_path.rglob("*.pt"))) == 1
    with shelf.taken(0):
        assert not list(tmp_path.rglob("*.pt"))
    shelf.close()
    assert not list(tmp_path.iterdir())
    Shelf().close()


def test_storage_counts_once() -> None:
    state = made(0)
    assert nbytes([state, state]) == SIZE + 3 * 8
    assert nbytes([copied(state), state]) == 2 * (SIZE + 3 * 8)


def test_a_copy_goes_on_by_itself() -> None:
    state = made(2)
    twin = copied(state)
    twin.live[1].fill_(5)
    assert (twin.live[0][50:] == 5).all()
    check(state, 2)
