"""Operators that nobody described are tried out: a relation is found, or the axis is frozen."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from reference import differences, judge, ordinary, state
from torch import library, nn
from torch.utils._python_dispatch import TorchDispatchMode
from trial_operators import declared

import spa_kernel as spa
from spa_kernel.frontends.torch import probe
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.graph.ops_probed import Trial

HALF: dict[str, Any] = {"ratio": 0.5, "scope": "local"}
Tensor = torch.Tensor


@pytest.fixture(scope="module", autouse=True)
def operators() -> Iterator[None]:
    with declared():
        yield


class Weights(nn.Module):
    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.randn(shape)))


def tried(call: Callable[..., Any], *shapes: tuple[int, ...]) -> Trial:
    """What is found out about the last unknown call of a function of inputs."""
    recorder = Recorder(Weights(w=(1,)))
    inputs = [recorder.add_input(f"x{i}", torch.randn(s)) for i, s in enumerate(shapes)]
    with torch.no_grad(), recorder:
        call(*inputs)
    trial: Trial = recorder.graph.nodes[-1].attrs["trial"]
    return trial


def axes(trial: Trial) -> set[tuple[int, int, int, int]]:
    return {(*out, *place) for out, place in trial.same}


MAP = (2, 8, 5, 6)
BATCH, CHANNELS, ROWS, COLUMNS = ((0, i, 0, i) for i in range(4))
ALL = {BATCH, CHANNELS, ROWS, COLUMNS}
FOUND: dict[str, tuple[set[tuple[int, ...]], str]] = {
    "entries": (ALL, "never"),
    "odd": (ALL, "any"),
    "normalised": ({BATCH, ROWS, COLUMNS}, "never"),
    "reversed": ({BATCH, ROWS, COLUMNS}, "any"),
    "rolled": ({BATCH, ROWS, COLUMNS}, "any"),
    "running": ({BATCH, ROWS, COLUMNS}, "any"),
    "mixing": ({BATCH, ROWS, COLUMNS}, "any"),
    "sorted": ({BATCH, ROWS, COLUMNS}, "any"),
    "by_place": ({BATCH, ROWS, COLUMNS}, "any"),
    "chosen": ({BATCH, ROWS, COLUMNS}, "any"),
    "by_count": ({BATCH, ROWS, COLUMNS}, "any"),
    "by_parity": ({BATCH, ROWS, COLUMNS}, "any"),
    "by_one": ({BATCH, ROWS, COLUMNS}, "any"),
    "nonzero_share": ({BATCH, ROWS, COLUMNS}, "any"),
    "leaking": ({BATCH, ROWS, COLUMNS}, "any"),
    "wide_only": ({BATCH, ROWS, COLUMNS}, "any"),
    "constant": (set(), "any"),
    "root": (ALL, "any"),
    "positions": ({BATCH, CHANNELS}, "any"),
    "transposed": ({(0, 1, 0, 0), (0, 0, 0, 1), ROWS, COLUMNS}, "any"),
}


@pytest.mark.parametrize("name", FOUND)
def test_which_axes_keep_their_indices_apart(name: str) -> None:
    trial = tried(getattr(torch.ops.trial, name), MAP)
    assert not trial.failure
    assert axes(trial) == FOUND[name][0]
    assert trial.zero == FOUND[name][1]


def test_equal_sizes_are_told_apart() -> None:
    trial = tried(torch.ops.trial.scaled, (4, 4, 4, 4), (4,))
    assert axes(trial) == {*ALL, (0, 1, 1, 0)}
    assert trial.zero == "any"


REFUSED = {
    "rarely": "", "now_and_then": "two equal runs", "noisy": "two equal runs",
    "failing": "no such kernel", "single": "own precision",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_relied_on(name: str) -> None:
    trial = tried(getattr(torch.ops.trial, name), MAP)
    assert CHANNELS not in axes(trial)
    assert REFUSED[name] in trial.failure
    assert "\n" not in trial.failure


CONTRACTIONS: dict[str, tuple[list[tuple[int, ...]], set[Any], str, list[Any]]] = {
    "product": ([(5, 8), (6, 8)], {(0, 0, 0, 0), (0, 1, 1, 0)}, "any", [((0, 1), (1, 1))]),
    "affine": (
        [(5, 8), (6, 8), (6,)],
        {(0, 0, 0, 0), (0, 1, 1, 0), (0, 1, 2, 0)},
        "biased",
        [((0, 1), (1, 1))],
    ),
    "direction": ([(5, 8), (6, 8)], {(0, 0, 0, 0), (0, 1, 1, 0)}, "never", []),
    "share": ([(5, 8), (6, 8)], {(0, 0, 0, 0), (0, 1, 1, 0)}, "any", []),
    "three": (
        [(5, 8), (6, 8), (8,)],
        {(0, 0, 0, 0), (0, 1, 1, 0)},
        "any",
        [((0, 1), (1, 1), (2, 0))],
    ),
    "total": ([(5, 8, 4)], {(0, 0, 0, 0), (0, 1, 0, 2)}, "any", [((0, 1),)]),
    "squares": ([(5, 8, 4)], {(0, 0, 0, 0), (0, 1, 0, 2)}, "any", [((0, 1),)]),
    "average": ([(5, 8, 4)], {(0, 0, 0, 0), (0, 1, 0, 2)}, "any", []),
}


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_axes_that_are_summed_over(name: str) -> None:
    shapes, same, zero, contracted = CONTRACTIONS[name]
    trial = tried(getattr(torch.ops.trial, name), *shapes)
    assert (axes(trial), list(trial.contracted)) == (same, contracted)
    assert trial.zero == zero or name == "direction"


def test_square_products() -> None:
    """Rows, columns and the axis between them are all equally long."""
    trial = tried(torch.ops.trial.product, (8, 8), (8, 8))
    assert axes(trial) == {(0, 0, 0, 0), (0, 1, 1, 0)}
    assert trial.contracted == (((0, 1), (1, 1)),)


EQUATIONS = [
    "ab,bc->ac", "ab,bc->ca", "abqd,abkd->abqk", "abqk,abkd->aqbd", "ab,cb,b->ac", "ab,b->ab",
    "abc->ca", "aab->b", "ab->a", "ab,ab->b", "ab,cd->abcd", "abc,cd,d->ab",
]  # fmt: skip


@pytest.mark.parametrize("sizes", ["equal", "different"])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_letters_of_a_product_are_found(equation: str, sizes: str) -> None:
    """Of which the trial sees nothing but numbers."""
    terms, out = equation.split("->")
    letters = sorted(set(terms) - {","})
    size = {a: 4 if sizes == "equal" else 3 + i for i, a in enumerate(letters)}
    trial = tried(
        lambda *x: torch.ops.trial.einsum(equation, x),
        *(tuple(size[a] for a in term) for term in terms.split(",")),
    )
    places = {
        letter: [
            (i, axis)
            for i, term in enumerate(terms.split(","))
            for axis, a in enumerate(term)
            if a == letter
        ]
        for letter in letters
    }
    wanted = {(0, at, *place) for at, letter in enumerate(out) for place in places[letter]}
    summed = {tuple(places[letter]) for letter in letters if letter not in out}
    found = {tuple(sorted(c)) for c in trial.contracted}
    assert axes(trial) == wanted
    assert found <= summed
    # Two sums over axes of one size are not told from one over both.
    assert found == summed or sizes == "equal"
    assert trial.zero == "any"


def test_large_maps_are_tried_on_parts_of_them() -> None:
    with Clock() as clock:
        trial = tried(torch.ops.trial.entries, (1, 256, 16, 16))
    assert axes(trial) == {CHANNELS, ROWS, COLUMNS}
    assert clock.entries < 30 * 256 * 16 * 16
    trial = tried(torch.ops.trial.mixing, (1, 256, 16, 16))
    assert axes(trial) == {ROWS, COLUMNS}
    assert "too large" in tried(torch.ops.trial.entries, (8, 256, 56, 56)).failure


class Clock(TorchDispatchMode):
    """Counts the entries that the operators of these tests are given."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "trial" and not args[0].is_meta:
            self.entries += args[0].numel()
        return func(*args, **(kwargs or {}))


def test_no_longer_than_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SECONDS", -1.0)
    assert tried(torch.ops.trial.entries, MAP).failure == "it takes too long"


def test_writing_operators() -> None:
    recorder = Recorder(Weights(w=(1,)))
    x = recorder.add_input("x", torch.randn(MAP))
    with torch.no_grad(), recorder:
        torch.ops.trial.double_(x)
        torch.ops.trial.write(x)
    first, second = (node.attrs["trial"] for node in recorder.graph.nodes)
    assert axes(first) == ALL
    assert "writes" in second.failure


def test_lists_of_tensors_and_numbers() -> None:
    trial = tried(lambda x, y: torch.ops.trial.padded(x, 3, [y]), (4, 6), (4, 6))
    assert axes(trial) == {
        (o, axis, i, axis) for o, i in ((0, 0), (1, 0), (1, 1)) for axis in (0, 1)
    }
    # What has both operands in it is a product.
    assert trial.zero == "every"
    twice = tried(lambda x: torch.ops.trial.padded(x, 3, [x]), (4, 6))
    assert twice.zero == "never"


def test_tables_of_whole_numbers() -> None:
    """Rows are looked up: the table's axis goes with the output's, the channels stay."""
    recorder = Recorder(Weights(w=(1,)))
    x = recorder.add_input("x", torch.randn(4, 8))
    i = recorder.add_input("i", torch.tensor([5, 1, 7]))
    with torch.no_grad(), recorder:
        torch.ops.trial.chosen_rows(x, i)
    trial = recorder.graph.nodes[-1].attrs["trial"]
    assert (0, 0, 0, 0) in axes(trial)
    assert all(place != (0, 1) for _, place in trial.same)
    assert not trial.contracted


def test_the_library_of_an_operator_is_part_of_its_name() -> None:
    recorder = Recorder(Weights(w=(1,)))
    x = recorder.add_input("x", torch.randn(4, 8))
    with torch.no_grad(), recorder:
        torch.ops.four.relu(x)
    node = recorder.graph.nodes[-1]
    assert node.op == "four::relu"
    assert axes(node.attrs["trial"]) == {BATCH}


def test_each_signature_is_tried_once() -> None:
    recorder = Recorder(Weights(w=(1,)))
    x = recorder.add_input("x", torch.randn(MAP))
    with torch.no_grad(), Clock() as clock, recorder:
        once = clock.entries
        x = torch.ops.trial.entries(x)
        first = clock.entries
        for _ in range(5):
            x = torch.ops.trial.entries(x)
    assert first > once
    assert clock.entries == first


class Net(nn.Module):
    """An unknown operator between two convolutions."""

    def __init__(self, middle: Callable[..., Any], **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)
        self.middle = middle
        self.own = Weights(**shapes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self, self.norm(self.first(x)))
        result: Tensor = self.head(self.second(x).relu().mean((2, 3)))
        return result


KEPT = {"scaled", "entries", "odd", "double_", "padded", "positions"}
MIDDLES: dict[str, Callable[[Net, Tensor], Tensor]] = {
    **{
        name: (lambda m, x, f=name: getattr(torch.ops.trial, f)(x))
        for name in [*FOUND, *REFUSED, "double_"]
        if name not in ("transposed", "constant", "root", "failing", "noisy", "now_and_then")
    },
    "scaled": lambda m, x: torch.ops.trial.scaled(x, m.own.w),
    "padded": lambda m, x: torch.stack(torch.ops.trial.padded(x, 1, [x])).sum(0),
    "number": lambda m, x: torch.ops.trial.padded(x, x.shape[1], [x])[0],
    "write": lambda m, x: (torch.ops.trial.write(x), x)[1],
}


CHECKED = ["scaled", "by_one", "number"]
CASES = [(name, False) for name in MIDDLES] + [(name, True) for name in CHECKED]


@pytest.mark.parametrize(("name", "verify"), CASES)
def test_exact_or_refused(name: str, verify: bool) -> None:
    model = ordinary(Net(MIDDLES[name], w=(8,)))
    sessions: list[spa.Session] = []
    notes: list[str] = []

    def look(session: spa.Session, report: spa.Report) -> None:
        sessions.append(session)
        notes.extend(report.notes)

    outcome = judge(model, torch.randn(2, 3, 6, 6), verify=verify, also=look, **HALF)
    assert outcome.refused or outcome.error < 1e-6
    if name in KEPT:
        assert not outcome.refused
        assert outcome.lost > 0.4
        assert any("found by trying it out" in note for note in notes)
    elif sessions:
        reasons = " ".join(f.reason for f in sessions[0].frozen)
        assert re.search(r"tried|a prune was tried", reasons)


def test_a_contraction_in_a_network() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(5, 12)
            self.own = Weights(w=(10, 12), b=(10,))
            self.last = nn.Linear(10, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.ops.trial.affine(self.first(x).relu(), self.own.w, self.own.b)
            result: Tensor = self.last(x)
            return result

    model = ordinary(Net())
    session = spa.analyze(model, (4, 5))
    assert sorted(g.size for g in session.groups if g.prunable) == [10, 12]
    joined = [j for *_, joints in session.explain("own").parts for j in joints]
    assert any("trial::affine" in j and "trying it out" in j for j in joined)
    outcome = judge(model, torch.randn(4, 5), session=session, **HALF)
    assert outcome.error < 1e-9
    assert outcome.lost > 0.4


def test_nothing_is_left_behind() -> None:
    model = Net(lambda m, x: torch.ops.trial.noisy(torch.ops.trial.scaled(x, m.own.w)), w=(8,))
    before, third = state(model), np.random.get_state(legacy=False)
    x = torch.randn(2, 3, 6, 6)
    chance = torch.get_rng_state(), random.getstate()
    session = spa.analyze(model, x)
    assert not differences(before, state(model))
    assert torch.equal(torch.get_rng_state(), chance[0])
    assert random.getstate() == chance[1]
    assert str(np.random.get_state(legacy=False)) == str(third)
    assert any("two equal runs of it differ" in f.reason for f in session.frozen)


class Gate(torch.autograd.Function):
    """torch sees through these: what is recorded is what they call."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


def test_functions_with_a_gradient_of_their_own() -> None:
    model = ordinary(Net(lambda m, x: Gate.apply(x)))
    session = spa.analyze(model, (2, 3, 6, 6))
    assert not any("trial" in node.attrs for node in session.analysis.graph.nodes)
    outcome = judge(model, torch.randn(2, 3, 6, 6), session=session, **HALF)
    assert outcome.error < 1e-6
    assert outcome.lost > 0.4


def test_operators_without_shapes_for_meta_tensors() -> None:
    """They are recorded for real."""

    @library.custom_op("trial_real::soft", mutates_args=())
    def soft(x: Tensor) -> Tensor:
        return x.sign() * x.abs().log1p()

    model = ordinary(Net(lambda m, x: soft(x)))
    outcome = judge(model, torch.randn(2, 3, 6, 6), **HALF)
    assert not outcome.refused
    assert outcome.error < 1e-6
    assert outcome.lost > 0.4
