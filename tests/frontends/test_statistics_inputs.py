"""Which parameters have statistics, in all kinds of modules, and what data may be."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scored_networks import batches, loss, made
from statistics_of import (
    OF_LABELS,
    everything,
    in_both_modes,
    same,
    statistic,
)
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import spa_kernel as spa
from spa_kernel.importance.needs import STATISTICS


def test_names_are_those_of_the_graph() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.idle = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(2, 2)
            self.b.weight = self.a.weight
            self.whole = nn.Parameter(torch.ones(4, dtype=torch.int64), requires_grad=False)
            self.frozen = nn.Linear(4, 2).requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.frozen((self.a(x) + self.b(x)) * self.whole)
            return result

    model = Net()
    data = [(torch.randn(5, 3), torch.randint(2, (5,)))]
    for need in (n for n in OF_LABELS if n != "gate_gradient"):
        got = statistic(need, model, data, nn.functional.cross_entropy, inputs=(1, 3))
        assert got.keys() == dict(model.named_parameters()).keys()
        assert got["whole"].shape == (4,)
        for name, value in got.items():
            assert value.any() == (name.partition(".")[0] in ("a", "b", "frozen")), (need, name)
    assert "flow" in STATISTICS
    assert statistic("flow", model, inputs=(1, 3)).keys() == got.keys()


def test_a_parameter_that_is_also_kept_elsewhere_has_its_gradient() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 2)
            self.aside = (self.a.weight,)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.aside[0].T

    data = [(torch.randn(5, 3), torch.randint(2, (5,)))]
    got = statistic("gradient", Net(), data, nn.functional.cross_entropy, inputs=(1, 3))
    assert got["a.weight"].all()


PARTS: dict[str, Callable[[], nn.Module]] = {
    "weight_norm": lambda: nn.Sequential(weight_norm(nn.Linear(6, 4)), nn.Tanh(), nn.Linear(4, 3)),
    "in_place": lambda: nn.Sequential(
        nn.ReLU(True), nn.Linear(6, 4), nn.ReLU(True), nn.Linear(4, 3)
    ),
    "shortcut": lambda: nn.Sequential(
        nn.Unflatten(1, (3, 2)),
        nn.TransformerEncoderLayer(2, 1, 4, batch_first=True),
        nn.Flatten(),
        nn.Linear(6, 3),
    ),
}


@pytest.mark.parametrize("part", PARTS)
@in_both_modes
def test_all_kinds_of_modules(part: str, training: bool) -> None:
    model = PARTS[part]().train(training)
    data = [(torch.randn(4, 6), torch.randint(3, (4,))) for _ in range(2)]
    before = everything(model)
    for need in [*OF_LABELS, "flow"]:
        got = statistic(need, model, data, nn.functional.cross_entropy, inputs=(2, 6))
        assert np.asarray(got).any() if need == "gate_gradient" else got
        assert everything(model) == before


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.cells(x)[0][:, -1])
        return result


def test_recurrent_layers() -> None:
    model = Recurrent()
    data = [(torch.randn(4, 7, 6), torch.randint(3, (4,)))]
    before = everything(model)
    for need in [*OF_LABELS, "flow"]:
        statistic(need, model, data, nn.functional.cross_entropy, inputs=(1, 7, 6))
        assert everything(model) == before


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision(kind: torch.dtype) -> None:
    whole = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    model = copy.deepcopy(whole).to(kind)
    data = [(torch.randn(8, 6), torch.randint(3, (8,))) for _ in range(3)]
    halved = [(x.to(kind), y) for x, y in data]
    for need in [*OF_LABELS, "flow"]:
        got, wanted = (
            statistic(need, m, d, nn.functional.cross_entropy, inputs=(1, 6))
            for m, d in ((model, halved), (whole, data))
        )
        if need == "gate_gradient":
            got, wanted = {"": got}, {"": wanted}
        for name in wanted:
            assert got[name].dtype in (np.float32, np.float64)
            assert np.abs(got[name] - wanted[name]).max() <= 0.1 * np.abs(wanted[name]).max()


# What is given.


class Data:
    """An iterable of unknown length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(batches())


@pytest.mark.parametrize("need", OF_LABELS)
def test_batches_come_in_many_forms(need: str) -> None:
    model = made("flattened")
    wanted = np.concatenate([np.ravel(v) for v in arrays(statistic(need, model, batches()))])
    loader = torch.utils.data.DataLoader(batches(), batch_size=None)
    for data in (tuple(batches()), iter(batches()), (b for b in batches()), loader, Data()):
        got = arrays(statistic(need, model, data))
        np.testing.assert_allclose(np.concatenate([np.ravel(v) for v in got]), wanted)
    one = arrays(statistic(need, model, batches()[0]))
    listed = arrays(statistic(need, model, batches()[:1]))
    assert all(np.array_equal(a, b) for a, b in zip(one, listed, strict=True))


def arrays(found: Any) -> list[np.ndarray]:
    return list(found.values()) if isinstance(found, dict) else [found]


class Keywords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 5), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, *, first: Any, second: Any, labels: Any = None) -> dict[str, torch.Tensor]:
        output = self.head(torch.tanh(self.a(first) + self.b(second)))
        if labels is None:
            return {"logits": output}
        return {"loss": nn.functional.cross_entropy(output, labels), "logits": output}


class Positions(nn.Module):
    def __init__(self, inner: Keywords) -> None:
        super().__init__()
        self.a, self.b, self.head = inner.a, inner.b, inner.head

    def forward(self, first: Any, second: Any) -> torch.Tensor:
        result: torch.Tensor = self.head(torch.tanh(self.a(first) + self.b(second)))
        return result


def test_inputs_by_keyword_and_several_inputs() -> None:
    model = Keywords()
    other = Positions(model)
    first, second, labels = torch.randn(8, 4), torch.randn(8, 6), torch.randint(3, (8,))
    inputs = {"first": first, "second": second}
    wanted = statistic(
        "gradient", model, [(inputs, labels)],
        lambda o, t: nn.functional.cross_entropy(o["logits"], t), inputs=inputs,
    )  # fmt: skip
    by_itself = statistic(
        "gradient", model, [{**inputs, "labels": labels}], lambda o, _: o["loss"], inputs=inputs
    )
    dataset = [((a, b), y) for a, b, y in zip(first, second, labels, strict=True)]
    loader = torch.utils.data.DataLoader(dataset, batch_size=8)
    by_position = [
        statistic("gradient", other, d, nn.functional.cross_entropy, inputs=(first, second))
        for d in (loader, [((first, second), labels)])
    ]
    for got in (by_itself, *by_position):
        same(got, {n: torch.from_numpy(v) for n, v in wanted.items()}, rtol=1e-6)


def nothing(output: torch.Tensor, targets: torch.Tensor) -> None:
    return None


@pytest.mark.parametrize(
    ("data", "function", "said"),
    [
        (None, loss, r"needs data: give data=.*\(inputs, targets\)"),
        (batches(), None, "needs a loss: give loss="),
        ([], loss, "data holds no batch"),
        ([(torch.zeros(0, 3, 4, 4), torch.zeros(0).long())], loss, "batch 1 of the data is empty"),
        (7, loss, "iterable of batches, not int"),
        ([batches()[0][0]], loss, "needs targets"),
        (batches()[0][0], loss, "needs targets"),
        (batches(), lambda o, t: o, r"one number.*of shape \[2, 3\]"),
        (batches(), nothing, "not NoneType"),
        (batches(), lambda o, t: o.detach().sum(), "depends on the output"),
        (batches(), lambda o, t: o[:, t + 9].sum(), r"loss\(output, targets\) fails: IndexError"),
        ([(torch.randn(2, 5), torch.ones(2))], loss, r"Sequential fails on a batch.*\(2, 5\)"),
    ],
)
@pytest.mark.parametrize("need", OF_LABELS)
def test_what_is_missing_is_said(need: str, data: Any, function: Any, said: str) -> None:
    model = made("residual", training=True)
    before = everything(model)
    with pytest.raises(spa.DataNeeded, match=said):
        statistic(need, model, data, function)
    assert everything(model) == before
