"""What forwards do to tensors in place, to numbers, and to the module itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from captured_model import HALF, SHAPE, Model
from reference import differences, judge, ordinary, state

import spa_kernel as spa

# What forwards do to tensors in place, and with numbers. Exact, or refused.


def slice_write(model: Any, x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros_like(x)
    y[:, :3] = x[:, 5:]
    y[:, 3:] = x[:, :5]
    return y


def shift_in_place(model: Any, x: torch.Tensor) -> torch.Tensor:
    x[:, 1:4] += 1
    return x


def through_a_view(model: Any, x: torch.Tensor) -> torch.Tensor:
    view = x.transpose(1, 2)
    view.mul_(2)
    return x


def view_made_before(model: Any, x: torch.Tensor) -> torch.Tensor:
    part = x[:, 4:]
    x.neg_()
    return torch.cat([part, part], 1)


def view_of_a_view(model: Any, x: torch.Tensor) -> torch.Tensor:
    x[:, 2:][:, 1:3].zero_()
    return x


def swap_halves(model: Any, x: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, 1)
    b.add_(a)
    return x


def out_argument(model: Any, x: torch.Tensor) -> torch.Tensor:
    y = torch.empty_like(x)
    torch.add(x, 1, out=y)
    return y


def masked_in_place(model: Any, x: torch.Tensor) -> torch.Tensor:
    x[x < 0] = 0
    return x


def relu_in_place(model: Any, x: torch.Tensor) -> torch.Tensor:
    return x.relu_().add_(x).mul_(0.5).clamp_(max=3)


def item_in_python(model: Any, x: torch.Tensor) -> torch.Tensor:
    return x * 2 if x.abs().max().item() > 0 else x


def shape_of_nonzero(model: Any, x: torch.Tensor) -> torch.Tensor:
    keep = torch.nonzero(model.mask)[:, 0]
    return x[..., keep]


def item_of_a_buffer(model: Any, x: torch.Tensor) -> torch.Tensor:
    return x[..., : int(model.count)]


def float_of_a_parameter(model: Any, x: torch.Tensor) -> torch.Tensor:
    return x * float(model.first.bias.abs().sum())


def any_in_python(model: Any, x: torch.Tensor) -> torch.Tensor:
    if torch.isnan(x).any():
        raise ValueError("not a number")
    return x


IN_PLACE = [
    slice_write, shift_in_place, through_a_view, view_made_before, view_of_a_view, swap_halves,
    out_argument, masked_in_place, relu_in_place,
]  # fmt: skip
NUMBERS = [item_in_python, shape_of_nonzero, item_of_a_buffer, any_in_python]


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("middle", IN_PLACE + NUMBERS)
def test_exact_or_refused(middle: Callable[..., Any], verify: bool) -> None:
    model = Model(middle, count=torch.tensor(4), mask=torch.tensor([1, 0, 1, 1, 0, 1]))
    outcome = judge(ordinary(model), torch.randn(SHAPE), verify=verify, **HALF)
    assert outcome.refused or outcome.error < 1e-6
    if middle is relu_in_place or middle in NUMBERS:
        assert not outcome.refused
        assert outcome.lost > 0.3


@pytest.mark.parametrize("verify", [True, False])
def test_a_number_from_a_pruned_weight(verify: bool) -> None:
    model = ordinary(Model(float_of_a_parameter))
    outcome = judge(model, torch.randn(SHAPE), verify=verify, **HALF)
    assert outcome.refused or outcome.error < 1e-6


# What forwards leave behind on the module itself.


def count_calls(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.calls += 1
    return x


def count_in_a_buffer(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.counter += 1
    return x


def count_in_a_part_of_a_buffer(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.counter[0] += 1
    return x


def average_in_a_buffer(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.average.mul_(0.9).add_(0.1 * x.mean((0, 2, 3)))
    return x


def average_in_a_part_of_a_buffer(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.average[:4] *= 0.9
    return x


def replace_a_buffer(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.average = model.average * 0.9 + 0.1 * x.mean((0, 2, 3))
    return x


def keep_the_last(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.last = x
    return x


def keep_a_size(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.seen = x.shape[1]
    model.shape = x.shape
    return x


def make_a_buffer(model: Any, x: torch.Tensor) -> torch.Tensor:
    if not hasattr(model, "table"):
        model.register_buffer("table", torch.ones(x.shape[-1]))
    return x * model.table


def keep_in_a_list(model: Any, x: torch.Tensor) -> torch.Tensor:
    model.memory.append(x)
    return x


LEAVING = [
    count_calls, count_in_a_buffer, count_in_a_part_of_a_buffer, average_in_a_buffer,
    average_in_a_part_of_a_buffer, replace_a_buffer, keep_the_last, keep_a_size, make_a_buffer,
    keep_in_a_list,
]  # fmt: skip


def leaving(middle: Callable[..., Any]) -> Model:
    return Model(
        middle, calls=5, counter=torch.tensor([3, 3]), average=torch.ones(8), memory=[], last=None
    )


KINDS = [pytest.param(m, r, id=f"{m.__name__}-{r}") for m in LEAVING for r in (False, True)]


@pytest.mark.parametrize(("middle", "real"), KINDS)
def test_what_a_forward_writes_is_taken_back(middle: Callable[..., Any], real: bool) -> None:
    """Counters, averages and caches are those of before, in meta and in real recordings."""

    def forward(model: Any, x: torch.Tensor) -> torch.Tensor:
        return middle(model, item_in_python(model, x) if real else x)

    model = leaving(forward)
    before = state(model)
    spa.analyze(model, SHAPE)
    assert not differences(before, state(model))


class HookedOnce(torch.nn.Module):
    """Hangs a hook on a layer in its first forward, and notes that it did."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 6)
        self.head = torch.nn.Linear(6, 3)
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "hooked"):
            self.hooked = True
            self.layer.register_forward_hook(lambda *_: self.seen.append(1))
        self.seen.clear()
        x = self.layer(x).relu()
        return self.head(x * len(self.seen))


def test_hooks_that_a_forward_installs_are_taken_back_with_what_notes_them() -> None:
    model, x = HookedOnce(), torch.randn(2, 4)
    session = spa.analyze(model, x)
    assert not model.layer._forward_hooks
    model(x)
    assert model.seen == [1]
    session.prune(ratio=0.5)
    model(x)
    assert model.seen == [1]
