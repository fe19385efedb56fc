"""What stands around a product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from reference import ordinary
from structures import Forward, conv
from torch import nn
from torch.nn import functional as F

import spa_kernel as spa
from spa_kernel.frontends.torch.capture import device_of, normalise_inputs, record
from spa_kernel.frontends.torch.program import TorchProgram
from spa_kernel.obspa.neighbours import Neighbours, Surroundings, scale, turned_back
from spa_kernel.obspa.products import products

Run = Callable[..., Any]


def network(forward: Run, **layers: Any) -> nn.Module:
    """Something is done with a layer ``own`` and a stream x."""
    made = Forward(lambda s, x: s.head(forward(s, s.stem(x)).mean((2, 3))), stem=conv(3, 6, 1),
                   head=nn.Linear(6, 2), **{"own": conv(6, 6), **layers})  # fmt: skip
    return ordinary(made).eval()


def found(model: nn.Module, shape: Any = (2, 3, 4, 4)) -> Neighbours:
    graph = spa.analyze(model, shape).analysis.graph
    (own,) = [p for p in products(graph) if p.way.parameter == "own.weight"]
    near = Surroundings(graph).of(own.node, 6)
    if near.total is not None:
        assert graph.nodes[near.total.index].op == "Add"
    return near


def summary(near: Neighbours) -> tuple[str, str, list[str], bool]:
    """Bias, mean of the norm, scales, and whether there is a sum."""
    norm = near.norm.mean if near.norm else ""
    return near.bias, norm, near.scales, near.total is not None


def bare() -> nn.Module:
    return conv(6, 6, bias=False)


def batch_norm(**options: Any) -> nn.Module:
    return nn.BatchNorm2d(6, **options)


def gamma(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(*shape))


MEAN = "norm.running_mean"
FORMS: dict[str, tuple[Run, dict[str, Any], tuple[str, str, list[str], bool]]] = {
    "alone": (lambda s, x: s.own(x).relu(), {}, ("own.bias", "", [], False)),
    "no bias": (lambda s, x: s.own(x).relu(), {"own": bare()}, ("", "", [], False)),
    "norm": (lambda s, x: s.norm(s.own(x)).relu(), {"own": bare(), "norm": batch_norm()},
             ("", MEAN, [], False)),
    "bias and norm": (lambda s, x: s.norm(s.own(x)), {"norm": batch_norm()},
                      ("own.bias", MEAN, [], False)),
    "norm without weights": (lambda s, x: s.norm(s.own(x)), {"norm": batch_norm(affine=False)},
                             ("own.bias", MEAN, [], False)),
    "norm without statistics": (lambda s, x: s.norm(s.own(x)) + x,
                                {"norm": batch_norm(track_running_stats=False)},
                                ("own.bias", "", [], False)),
    "norm of two": (lambda s, x: s.norm(s.own(x)) + s.norm(x), {"norm": batch_norm()},
                    ("own.bias", "", [], False)),
    "residual": (lambda s, x: x + s.own(x), {}, ("own.bias", "", [], True)),
    "residual in place": (lambda s, x: s.own(x).add_(x), {}, ("own.bias", "", [], True)),
    "norm and residual": (lambda s, x: s.norm(s.own(x)) + x, {"norm": batch_norm()},
                          ("own.bias", MEAN, [], True)),
    "scaled residual": (lambda s, x: x + s.gamma * s.own(x), {"gamma": gamma(6, 1, 1)},
                        ("own.bias", "", ["gamma"], True)),
    "scaled after a norm": (lambda s, x: x + s.norm(s.own(x)) * s.gamma.view(1, -1, 1, 1),
                            {"gamma": gamma(6), "norm": batch_norm()},
                            ("own.bias", MEAN, ["gamma"], True)),
    "dropout": (lambda s, x: x + s.drop(s.own(x)), {"drop": nn.Dropout(0.5)},
                ("own.bias", "", [], True)),
    "read twice": (lambda s, x: (y := s.own(x)) + y.relu(), {}, ("own.bias", "", [], False)),
    "an activation between": (lambda s, x: s.own(x).relu() + x, {}, ("own.bias", "", [], False)),
    "a factor for all": (lambda s, x: s.own(x) * s.gamma + x, {"gamma": gamma(1)},
                         ("own.bias", "", [], False)),
    "alpha": (lambda s, x: torch.add(x, s.own(x), alpha=2), {}, ("own.bias", "", [], False)),
    "bias of its own": (lambda s, x: s.own(x) + s.gamma, {"own": bare(), "gamma": gamma(6, 1, 1)},
                        ("gamma", "", [], False)),
    "bias that is used again": (lambda s, x: (s.own(x) + s.gamma).relu() * s.gamma,
                                {"own": bare(), "gamma": gamma(6, 1, 1)}, ("", "", [], False)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    forward, layers, wanted = FORMS[form]
    assert summary(found(network(forward, **layers))) == wanted


def test_an_output_of_the_network_ends_the_way() -> None:
    forward = lambda s, x: (y := s.own(s.stem(x)), s.head((y + s.stem(x)).mean((2, 3))))  # noqa: E731
    model = Forward(forward, stem=conv(3, 6, 1), own=conv(6, 6), head=nn.Linear(6, 2))
    assert summary(found(model)) == ("own.bias", "", [], False)


@pytest.mark.parametrize("form", ["norm and residual", "scaled after a norm", "scaled residual"])
def test_scale_is_what_an_error_in_a_row_becomes_in_the_sum(form: str) -> None:
    forward, layers, _ = FORMS[form]
    model = network(forward, **layers)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name == "gamma":
                p.copy_(torch.randn_like(p))
    stored = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    rows = torch.tensor([0, 2, 3])
    got = scale(found(model), {n: t.detach() for n, t in stored.items()}, rows)
    x, more = torch.randn(2, 6, 4, 4), torch.zeros(1, 6, 1, 1)
    more[:, rows] = 1.0
    with torch.no_grad():
        before = forward(model, x)
        model.own.bias += more.flatten()
        change = (forward(model, x) - before).mean((0, 2, 3))
    torch.testing.assert_close(change[rows], got.float(), rtol=1e-4, atol=1e-5)


def tokens(forward: Run, **layers: Any) -> nn.Module:
    made = Forward(lambda s, x: s.head(F.relu(forward(s, s.stem(x)))), stem=nn.Linear(3, 6),
                   head=nn.Linear(6, 2), own=nn.Linear(6, 6), **layers)  # fmt: skip
    return ordinary(made).eval()


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (network(lambda s, x: x + s.own(x)), (2, 3, 4, 4)),
        (tokens(lambda s, x: x + s.own(x)), (2, 5, 3)),
        (tokens(lambda s, x: x.transpose(1, 2) + s.own(x).transpose(1, 2)), (2, 6, 3)),
        (tokens(lambda s, x: x.flatten(0, 1) + s.own(x).flatten(0, 1)), (2, 6, 3)),
    ],
)
def test_streams_are_turned_back(model: nn.Module, shape: Any) -> None:
    """What a product makes, less what is added to it, laid out as the product's output."""
    program = TorchProgram(model, record(model, normalise_inputs(shape, *device_of(model))))
    (own,) = [p for p in products(program.graph) if p.way.parameter == "own.weight"]
    near = Surroundings(program.graph).of(own.node, 6)
    assert near.total is not None
    state = program.begin(torch.randn(3, *shape[1:]))
    program.run(state, own.index, through=True)
    made = program.result(state, own.index)
    assert made is not None
    made = made.clone()
    program.run(state, near.total.index, through=False)
    stream = program.operand(state, near.total.index, near.total.position)
    assert stream is not None
    turned = turned_back(program, state, near.total, own.index, stream)
    assert turned is not None
    assert turned.shape == made.shape
    program.run(state, near.total.index, through=True)
    whole = program.result(state, near.total.index)
    assert whole is not None
    # The sum laid out in the same way is the sum of both.
    back = turned_back(program, state, near.total, own.index, whole)
    torch.testing.assert_close(back, turned + made)
