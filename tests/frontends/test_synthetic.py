from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from captured_model import Model
from statistics_of import everything
from torch import nn

import spa_kernel as spa
from spa_kernel import progress
from spa_kernel.frontends.torch.batches import batches_of
from spa_kernel.frontends.torch.distilled import differences
from spa_kernel.frontends.torch.synthetic import synthetic
from spa_kernel.training.recalibrate import recalibrate


def made(model: nn.Module, inputs: Any, **options: Any) -> list[Any]:
    session = spa.analyze(model, inputs)
    graph = session.analysis.coupling.graph
    return synthetic(model, session.backend.inputs, graph, **options)


def trained(model: nn.Module) -> nn.Module:
    """With statistics of inputs that are not quite standard in its BatchNorm layers."""
    torch.manual_seed(0)
    recalibrate(model, [0.5 + 1.3 * torch.randn(64, 3, 6, 6)])
    return model


def same(a: list[Any], b: list[Any]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_pictures_are_like_the_example_in_size_and_range() -> None:
    example = 5 + 3 * torch.rand(2, 3, 16, 16)
    batches = made(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)), example)
    x = torch.cat(batches)
    assert [b.shape for b in batches] == [(32, 3, 16, 16)] * 8
    assert x.dtype == example.dtype
    assert x.min() >= example.min()
    assert x.max() <= example.max()
    assert abs(x.mean() - example.mean()) < 0.5 * example.std()
    assert 0.5 * example.std() < x.std() < 2 * example.std()
    # Of independent pixels it is twice the variance.
    assert (x[..., 1:] - x[..., :-1]).square().mean() < x.var()


def test_rows_are_gaussian() -> None:
    example = 3 + 2 * torch.randn(50, 12)
    x = torch.cat(made(nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)), example))
    assert x.shape == (300, 12)
    assert abs(x.mean() - example.mean()) < 0.2
    assert abs(x.std() - example.std()) < 0.2
    assert (x > 7).any()


def test_the_seed_decides() -> None:
    model = trained(Model().eval())
    one = made(model, (2, 3, 6, 6), count=40)
    assert same(one, made(model, (2, 3, 6, 6), count=40))
    other = made(model, (2, 3, 6, 6), count=40, seed=1)
    assert not torch.equal(one[0], other[0])


def test_batch_norm_meets_what_it_has_stored() -> None:
    model = trained(Model().eval())
    bare = copy.deepcopy(model)
    bare.norm = nn.Identity()

    def far(batches: list[Any]) -> float:
        with differences(model) as found, torch.no_grad():
            for x in batches:
                model(x)
        return float(torch.stack(found).mean())

    plain = made(bare, (2, 3, 6, 6))
    assert far(made(model, (2, 3, 6, 6))) < 0.5 * far(plain)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_what_it_was(training: bool) -> None:
    model = Model().train(training)
    model.first.weight.requires_grad_(False)
    model.second.weight.grad = torch.ones_like(model.second.weight)
    session = spa.analyze(model, (2, 3, 6, 6))
    before = everything(model)
    with torch.inference_mode():
        batches = synthetic(model, session.backend.inputs, session.analysis.coupling.graph)
    assert everything(model) == before
    assert not any(x.is_inference() or x.requires_grad for x in batches)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_the_model_is_what_it_was_after_an_error(error: type[BaseException]) -> None:
    model = Model()
    session = spa.analyze(model, (2, 3, 6, 6))
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise error

    model.second.register_forward_hook(fail)
    before = everything(model)
    with pytest.raises(error):
        synthetic(model, session.backend.inputs, session.analysis.coupling.graph)
    assert everything(model) == before


class Tokens(nn.Module):
    """Looks up tokens, places and one of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.kind = nn.Embedding(50, 8), nn.Embedding(2, 8)
        self.place = nn.Embedding(7, 8)
        self.layer, self.head = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, ids: Any, kind: Any, mask: Any, extra: Any = None) -> torch.Tensor:
        x = self.token(ids.long()) + self.kind(kind) + self.place(torch.arange(ids.shape[1]))
        x = torch.relu(self.layer(x)) * mask[..., None]
        result: torch.Tensor = self.head(x.mean(1))
        return result


def example_tokens() -> dict[str, torch.Tensor]:
    zeros = torch.zeros(1, 7, dtype=torch.int32)
    return {"ids": zeros, "kind": zeros.clone(), "mask": torch.arange(7)[None] < 5}


def test_whole_numbers_are_entries_of_the_table_that_they_look_up() -> None:
    batches = made(Tokens(), example_tokens(), count=64)
    ids = torch.cat([b["ids"] for b in batches])
    assert ids.shape == (64, 7)
    assert ids.dtype == torch.int32
    assert (int(ids.min()), int(ids.max())) == (0, 49)
    for batch in batches:
        assert not batch["kind"].any()
        assert torch.equal(batch["mask"], example_tokens()["mask"].expand(32, 7))


def test_several_inputs_are_read_as_inputs() -> None:
    model = Tokens()
    batches = made(model, tuple(example_tokens().values()), count=33)
    assert len(batches) == 2
    for inputs, targets in batches_of(batches, model, "", several=True):
        assert targets is None
        assert model(*inputs).shape == (32, 3)


class Rigid(nn.Module):
    """Takes two samples, no more and no less."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.second(self.first(x).reshape(2, 4, -1).mean(2))
        return result


class Folded(Rigid):
    """Gives one row, however many samples there are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.second(self.first(x).mean((0, 2, 3))[None])
        return result


@pytest.mark.parametrize("model", [Rigid(), Folded()])
def test_a_batch_has_the_size_that_the_model_needs(model: nn.Module) -> None:
    batches = made(model, (2, 3, 8, 8), count=7)
    assert [b.shape for b in batches] == [(2, 3, 8, 8)] * 4


def test_a_model_that_cannot_be_differentiated_gets_its_inputs_too() -> None:
    model = trained(Model(lambda _, x: torch.relu(x)).eval())
    model.forward = torch.no_grad()(model.forward)
    assert same(made(model, (2, 3, 6, 6)), made(model, (2, 3, 6, 6)))


def test_progress_is_told() -> None:
    told = []
    with progress.listening(lambda *state: told.append(state)):
        made(trained(Model().eval()), (2, 3, 6, 6), count=64)
    assert [t[1:] for t in told if t[0].startswith("making inputs")] == [(1, 2), (2, 2)]
