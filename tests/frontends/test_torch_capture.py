"""Reading a torch module leaves it alone, computes nothing, and takes any kind of input."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captured_model import HALF, SHAPE, Model
from reference import differences, error, judge, ordinary, state
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import spa_kernel as spa
from spa_kernel.frontends.torch.capture import is_shape, normalise_inputs
from spa_kernel.frontends.torch.tracked import TrackedInt


class Watch(TorchDispatchMode):
    """Sums up the entries of all floating point tensors that are computed for real."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (
            isinstance(out, torch.Tensor)
            and out.device.type != "meta"
            and out.is_floating_point()
            and not func.is_view
        ):
            self.entries += out.numel()
        return out


class Numbers(nn.Module):
    """Attributes of every plain kind, used and unused."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, (3, 3), padding=1)
        self.heads = 4
        self.sizes = [3, 5]
        self.pair = (8, 8)
        self.flag = True
        self.nothing = None
        self.share = 0.5
        self.word = "mean"
        self.deep = {"a": 3, "b": [1, 2]}
        self.split = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.conv(x).mean((2, 3))
        a, b = x.split(self.sizes, 1)
        x = torch.cat([b, a], 1).view(-1, self.heads, 2).flatten(1)
        return self.split(x)


def test_nothing_is_left_behind() -> None:
    model = Numbers()
    before = state(model)
    session = spa.analyze(model, SHAPE)
    assert not differences(before, state(model))
    session.plan(**HALF)
    session.explain("conv")
    assert not differences(before, state(model))
    assert type(model.heads) is int
    assert [type(n) for n in (*model.sizes, *model.pair)] == [int] * 4
    assert type(model.conv.kernel_size) is tuple


def test_attributes_are_plain_after_a_prune_and_its_undo() -> None:
    model = Numbers()
    before = state(model)
    session = spa.analyze(model, SHAPE)
    session.prune(**HALF)
    for module in model.modules():
        for value in vars(module).values():
            for number in value if isinstance(value, list | tuple) else [value]:
                assert type(number) is not TrackedInt
    session.undo()
    assert not differences(before, state(model))


@pytest.mark.parametrize("training", [True, False])
def test_modes_and_statistics_stay(training: bool) -> None:
    model = Model().train(training)
    model.second.train(not training)
    before = state(model)
    spa.analyze(model, SHAPE)
    assert not differences(before, state(model))
    assert model.norm.num_batches_tracked == 0


def test_nothing_is_computed() -> None:
    """A network of 6 million weights; the seconds and bytes of a forward are never spent."""
    model = nn.Sequential(nn.Linear(32, 2400), nn.ReLU(), nn.Linear(2400, 2400), nn.Linear(2400, 2))
    with Watch() as watch:
        session = spa.analyze(model, (4, 32))
        session.plan(criterion="random", **HALF)
    # The example input itself may be drawn.
    assert watch.entries <= 4 * 32


def test_meta_models_can_be_read() -> None:
    """Networks too large for this machine: no weight is needed to analyse them."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(64, 10**6), nn.ReLU(), nn.Linear(10**6, 8))
    session = spa.analyze(model, torch.empty(1, 64, device="meta"))
    assert session.plan(criterion="random", **HALF).rf > 1.9


def test_gradients_are_not_recorded_and_global_switches_stay() -> None:
    model = Model()
    fast, grad = torch.backends.mha.get_fastpath_enabled(), torch.is_grad_enabled()
    deterministic = torch.get_default_dtype()
    spa.analyze(model, SHAPE)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.is_grad_enabled() == grad
    assert torch.get_default_dtype() == deterministic
    assert all(p.grad is None for p in model.parameters())


def test_no_hook_stays_behind() -> None:
    hooks = nn.modules.module
    before = len(hooks._global_forward_hooks), len(hooks._global_forward_pre_hooks)
    spa.analyze(Model(), SHAPE)
    with pytest.raises(spa.CaptureError):
        spa.analyze(Model(), (2, 5, 6, 6))
    assert (len(hooks._global_forward_hooks), len(hooks._global_forward_pre_hooks)) == before


FORMS: dict[str, tuple[Any, Any]] = {
    "tensor": (lambda m, x: m.only(x), torch.randn(2, 8)),
    "shape": (lambda m, x: m.only(x), (2, 8)),
    "list shape": (lambda m, x: m.only(x), [2, 8]),
    "numpy": (lambda m, x: m.only(x), np.zeros((2, 8), np.float32)),
    "tuple": (lambda m, x, y: m.only(x * y), (torch.randn(2, 8), torch.randn(2, 8))),
    "tuple of shapes": (lambda m, x, y: m.only(x * y), ((2, 8), (2, 1))),
    "keywords": (lambda m, *, b, a: m.only(a + b), {"a": torch.randn(2, 8), "b": (2, 8)}),
    "nested": (lambda m, xs: m.only(xs[0] + xs[1]), ([torch.randn(2, 8), torch.randn(2, 8)],)),
    "flag": (
        lambda m, x, double=False: m.only(x * (2 if double else 1)),
        {"x": torch.randn(2, 8), "double": True},
    ),
    "number": (lambda m, x, k: m.only(x[:, :k]), (torch.randn(2, 9), 8)),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_input(form: str) -> None:
    forward, inputs = FORMS[form]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return forward(self, *args, **kwargs)

    session = spa.analyze(Net(), inputs)
    assert [g.size for g in session.groups if g.prunable] == [6]
    assert session.prune(**HALF).verified


def test_shapes_are_told_from_values() -> None:
    assert is_shape((1, 3))
    assert is_shape([4])
    for value in ((), (0, 3), (1.0, 2), (True, 2), "12", ((1, 2), (3, 4)), torch.zeros(2)):
        assert not is_shape(value)
    args, kwargs = normalise_inputs(((2, 3), (4,)), torch.device("cpu"), torch.float64)
    assert [tuple(a.shape) for a in args] == [(2, 3), (4,)]
    assert {a.dtype for a in args} == {torch.float64}
    assert kwargs == {}


class Forget(nn.Module):
    """Returns nothing that a network could be judged by."""

    def forward(self, x: torch.Tensor) -> list[int]:
        return [len(x)]


WRONG: dict[str, tuple[Any, Any, str]] = {
    "no inputs": (Model(), None, r"example input is needed.*shape such as"),
    "channels": (Model(), (2, 5, 6, 6), r"(?s)Model fails .*\(2, 5, 6, 6\).*Pass inputs"),
    "rank": (nn.Sequential(nn.Linear(4, 2)), (3, 5), r"(?s)Sequential fails .*\(3, 5\)"),
    "missing argument": (
        nn.Bilinear(3, 4, 2), torch.randn(2, 3), r"(?s)Bilinear fails.*input2"
    ),
    "unknown keyword": (Model(), {"image": (2, 3, 6, 6)}, r"(?s)Model fails.*image"),
    "no parameters": (nn.Sequential(nn.ReLU()), (2, 3), r"has no parameters"),
    "no output": (nn.Sequential(nn.Linear(4, 2), Forget()), (3, 4), "returns no tensor"),
    "not a model": ([1, 2], (2, 3), r"list is not a model: pass a torch.nn.Module"),
    "a class": (Model, SHAPE, r"is not a model"),
    "a function": (F.relu, SHAPE, r"is not a model"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_inputs_say_what_is_wrong(case: str) -> None:
    model, inputs, message = WRONG[case]
    before = state(model) if isinstance(model, nn.Module) else None
    with pytest.raises(spa.CaptureError, match=message):
        spa.analyze(model, inputs)
    if before is not None:
        assert not differences(before, state(model))


def test_the_layer_that_fails_is_named() -> None:
    with pytest.raises(spa.CaptureError, match="'first'"):
        spa.analyze(Model(), (2, 5, 6, 6))


def test_a_forward_that_fails_leaves_the_model() -> None:
    def fail(model: Any, x: Any) -> Any:
        raise ZeroDivisionError("no such luck")

    model = Model(fail, count=7).train()
    before = state(model)
    with pytest.raises(spa.CaptureError, match="ZeroDivisionError: no such luck"):
        spa.analyze(model, SHAPE)
    assert not differences(before, state(model))


def test_an_interrupted_forward_leaves_the_model() -> None:
    def stop(model: Any, x: Any) -> Any:
        raise KeyboardInterrupt

    model = Model(stop, count=7).train()
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        spa.analyze(model, SHAPE)
    assert not differences(before, state(model))


def test_tied_weights_are_one() -> None:
    model = Model()
    model.again = model.second
    model.alias = nn.Parameter(torch.zeros(1))
    model.alias = model.first.weight
    session = spa.analyze(model, SHAPE)
    names = {n for g in session.groups for n, _ in g.members}
    assert "again.weight" not in names
    assert session.cost[1] == sum(p.numel() for p in model.parameters())
    outcome = judge(ordinary(model), torch.randn(SHAPE), **HALF)
    assert outcome.error < 1e-6
    assert outcome.lost > 0.3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_are_read_alike(dtype: torch.dtype) -> None:
    wanted = [(g.members, g.size) for g in spa.analyze(Model(), SHAPE).groups]
    model = Model().to(dtype)
    before = state(model)
    session = spa.analyze(model, SHAPE)
    assert [(g.members, g.size) for g in session.groups] == wanted
    assert not differences(before, state(model))


def test_mixed_types() -> None:
    """Normalisation in float32 between layers in bfloat16."""
    model = Model(lambda m, x: x.to(torch.bfloat16))
    model.second.to(torch.bfloat16)
    model.head.to(torch.bfloat16)
    original = copy.deepcopy(model)
    session = spa.analyze(model, SHAPE)
    report = session.prune(**HALF)
    assert model.second.weight.dtype == torch.bfloat16
    model.middle = original.middle = None
    assert error(original, report.plan.kept, model, torch.randn(SHAPE)) < 1e-6


def test_source_lines_point_into_the_model() -> None:
    """A reason names the line of the person's own code."""
    model = Model(lambda m, x: torch.special.bessel_j0(x) + x.cumsum(1))
    session = spa.analyze(model, SHAPE)
    reasons = " ".join(f.reason for f in session.frozen)
    assert "test_torch_capture.py:" in reasons
