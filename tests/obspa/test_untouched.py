"""What new weights must leave as it is, on success, failure and interruption; kinds of data."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from all_structures import batches, built
from reconstructed import HALF, error, pruned
from reference import differences, ordinary, state
from structures import Forward, conv
from torch import nn

import spa_kernel as spa
from spa_kernel.progress import listening

WISHES: dict[str, Any] = {**HALF, "reconstruct": True}


def random_states() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())


def test_modes_gradients_flags_hooks_and_random_numbers() -> None:
    model, inputs = built("residual")
    model.train()
    model.a.eval()
    model.c.requires_grad_(False)
    model.register_forward_hook(lambda *_: None)
    handle = model.stem.register_forward_pre_hook(lambda *_: None)
    for p in model.stem.parameters():
        p.grad = torch.ones_like(p)
    modes = [m.training for m in model.modules()]
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    identities = {n: id(p) for n, p in model.named_parameters()}
    session, data = spa.analyze(model, inputs), batches(inputs)
    before, copies, start = random_states(), [t.clone() for t in data], state(model)
    session.prune(**WISHES, data=data)
    assert random_states() == before
    assert all(torch.equal(a, b) for a, b in zip(data, copies, strict=True))
    assert [m.training for m in model.modules()] == modes
    assert {n: p.requires_grad for n, p in model.named_parameters()} == flags
    assert {n: id(p) for n, p in model.named_parameters()} == identities
    assert len(model._forward_hooks) == len(model.stem._forward_pre_hooks) == 1
    for name, p in model.stem.named_parameters():
        assert p.grad is not None, name
        assert p.grad.shape == p.shape and (p.grad == 1).all()
    assert all(int(m.num_batches_tracked) == 0 for m in model.modules()
               if isinstance(m, nn.BatchNorm2d))  # fmt: skip
    assert torch.is_grad_enabled()
    session.undo()
    assert not differences(start, state(model))
    handle.remove()


def test_an_optimizer_goes_along() -> None:
    model, inputs = built("plain_chain")
    optimizer = torch.optim.Adam(model.parameters())
    model(inputs).sum().backward()
    optimizer.step()
    session = spa.analyze(model, inputs)
    session.prune(**WISHES, data=batches(inputs), optimizer=optimizer)
    optimizer.zero_grad()
    model.train()(inputs).sum().backward()
    optimizer.step()


def test_a_second_prune_and_both_taken_back() -> None:
    model, inputs = built("concat")
    session, data, states = spa.analyze(model, inputs), batches(inputs), [state(model)]
    for ratio in (0.25, 0.4):
        session.prune(**{**WISHES, "ratio": ratio}, data=data)
        states.append(state(model))
    for wanted in (1, 0):
        session.undo()
        assert not differences(states[wanted], state(model))
    for wanted in (1, 2):
        session.redo()
        assert not differences(states[wanted], state(model))


class Stop:
    """Presses stop at a report of progress."""

    def __init__(self, phase: str, kind: type[BaseException], number: int = 1) -> None:
        self.phase, self.kind, self.left = phase, kind, number

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        if phase == self.phase:
            self.left -= 1
            if self.left == 0:
                raise self.kind("injected")


def phases(model: nn.Module, inputs: Any, **wishes: Any) -> dict[str, int]:
    """How often each is reported."""
    heard: dict[str, int] = {}

    def note(phase: str, done: int, total: int | None) -> None:
        assert total is None or 0 <= done <= total
        heard[phase] = heard.get(phase, 0) + 1

    session = spa.analyze(copy.deepcopy(model), inputs)
    with listening(note):
        session.prune(**wishes)
    return heard


def rows() -> tuple[nn.Module, torch.Tensor]:
    """Quick to make inputs for."""
    layers = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU()
    return ordinary(nn.Sequential(*layers, nn.Linear(6, 3))).eval(), torch.randn(4, 6)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("case", ["l1", "obspa", "none"])
def test_stopped_at_any_phase(case: str, kind: type[BaseException]) -> None:
    model, inputs = rows() if case == "none" else built("residual_in_place")
    wishes: dict[str, Any] = {**WISHES, "criterion": "l1" if case == "l1" else "obspa"}
    wishes |= {"calibration": "none"} if case == "none" else {"data": batches(inputs)}
    every = phases(model, inputs, **wishes)
    assert {"reconstructing, layer", "applying", "verifying"} <= every.keys()
    session, before, chance = spa.analyze(model, inputs), state(model), random_states()
    for phase, count in every.items():
        for number in {1, count}:
            # What fails while a prune is checked is said of the check.
            stop, expected = Stop(phase, kind, number), (kind, spa.VerificationFailed)
            with listening(stop), pytest.raises(expected, match="injected"):
                session.prune(**wishes)
            assert not differences(before, state(model)), phase
            assert session.history.position == 0
            assert random_states() == chance
    assert session.prune(**wishes).verified


def test_undone_steps_are_still_there_after_a_failure() -> None:
    model, inputs = built("plain_chain")
    session, data = spa.analyze(model, inputs), batches(inputs)
    session.prune(**WISHES, data=data)
    after = state(model)
    session.undo()
    stop = Stop("reconstructing, layer", KeyboardInterrupt, 2)
    with listening(stop), pytest.raises(KeyboardInterrupt):
        session.prune(**WISHES, data=data)
    session.redo()
    assert not differences(after, state(model))


# Kinds of data.


def same(one: nn.Module, other: nn.Module) -> bool:
    pair = one.state_dict(), other.state_dict()
    return all(torch.equal(t, pair[1][n]) for n, t in pair[0].items())


def test_generators_pairs_and_batches_of_any_size_are_one() -> None:
    model, inputs = built("plain_chain")
    x = torch.randn(10, 3, 8, 8)

    def generator() -> Iterator[Any]:
        yield from x.split(3)

    def mended(data: Any) -> nn.Module:
        return pruned(model, inputs, **WISHES, data=data)

    wanted = mended(list(x.split(3)))
    assert same(mended(generator()), wanted)
    assert same(mended([(part, torch.arange(len(part))) for part in x.split(3)]), wanted)
    loader: Any = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x[:, 0]), 3)
    assert same(mended(loader), wanted)


def test_one_big_tensor_is_taken_in_parts() -> None:
    model, inputs = built("plain_chain")
    x = torch.randn(100, 3, 8, 8)
    whole = pruned(model, inputs, **WISHES, data=x)
    assert same(whole, pruned(model, inputs, **WISHES, data=[x]))
    assert same(whole, pruned(model, inputs, **WISHES, data=list(x.split(32))))


def test_a_single_batch_and_a_single_sample() -> None:
    model, inputs = built("plain_chain")
    for data in (torch.randn(12, 3, 8, 8), torch.randn(1, 3, 8, 8)):
        small = pruned(model, inputs, **WISHES, data=[data])
        assert all(t.isfinite().all() for t in small.state_dict().values())


@pytest.mark.parametrize("name", ["two_inputs_by_keyword", "multihead_cross"])
def test_several_inputs(name: str) -> None:
    """In a dict by keyword, or in a tuple; a tuple of two tensors stands beside targets."""
    model, inputs = built(name)
    data = batches(inputs)
    wanted = pruned(model, inputs, **WISHES, data=data)
    assert error(model, wanted, data) < error(model, pruned(model, inputs, **HALF), data)
    if isinstance(inputs, tuple):
        assert same(pruned(model, inputs, **WISHES, data=[(b, torch.arange(8)) for b in data]),
                    wanted)  # fmt: skip


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([torch.randn(2, 5, 8, 8)], "shape (2, 5, 8, 8)"),
        ([torch.randn(2, 3, 8, 8), torch.randn(3, 8)], "shape (3, 8)"),
        ([], "data holds no batch"),
        ([torch.zeros(0, 3, 8, 8)], "batch 1 of the data is empty"),
        (7, "must be an iterable of batches, not int"),
        ([{"y": torch.zeros(2, 3, 8, 8)}], "plain"),
    ],
)
@pytest.mark.parametrize("criterion", ["l1", "obspa"])
def test_data_that_does_not_fit(data: Any, message: str, criterion: str) -> None:
    model, inputs = built("plain_chain")
    session, before = spa.analyze(model, inputs), state(model)
    with pytest.raises(spa.DataNeeded) as caught:
        session.prune(**{**WISHES, "criterion": criterion}, data=data)
    assert message in str(caught.value) or message == "plain"
    assert not differences(before, state(model))
    assert session.history.position == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_data_that_is_not_finite(value: float) -> None:
    """Said, or left out of account; but never written into weights."""
    model, inputs = built("plain_chain")
    data = batches(inputs)
    data[1][0, 0, 0, 0] = value
    before = state(model)
    session = spa.analyze(model, inputs)
    for criterion in ("l1", "obspa"):
        try:
            session.prune(**{**WISHES, "criterion": criterion}, data=data)
        except spa.SpaError as problem:
            assert "finite" in str(problem)
        else:
            assert all(t.isfinite().all() for t in model.state_dict().values())
            session.undo()
        assert not differences(before, state(model))


@pytest.mark.parametrize(("size", "other_way"), [(1.0, False), (1e4, True)])
def test_a_forward_that_depends_on_values(size: float, other_way: bool) -> None:
    """A batch that goes another way than the example is refused."""

    def run(s: Any, x: Any) -> Any:
        y = s.b(s.a(x).relu()).relu()
        return s.c(y if float(x.detach().abs().mean()) > 100 else y * 0.5).mean((2, 3))

    model = Forward(run, a=conv(3, 8), b=conv(8, 8), c=conv(8, 4)).eval()
    data = [size * torch.randn(4, 3, 6, 6) for _ in range(4)]
    before = state(model)
    session = spa.analyze(model, torch.ones(2, 3, 6, 6))
    if other_way:
        with pytest.raises(spa.DataNeeded, match="on the example input"):
            session.prune(**WISHES, data=data)
    else:
        assert session.prune(**WISHES, data=data).rf > 1
        session.undo()
    assert not differences(before, state(model))


@pytest.mark.parametrize("limit", [0, 20_000])
def test_batches_that_wait_on_disk(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = built("residual_in_place")
    data = batches(inputs)
    wanted = pruned(model, inputs, **WISHES, data=data)
    monkeypatch.setattr("spa_kernel.obspa.shelf.LIMIT", limit)
    monkeypatch.setattr("spa_kernel.obspa.shelf.Shelf.__init__.__defaults__", (limit,))
    assert same(pruned(model, inputs, **WISHES, data=data), wanted)
