"""The penalty: its value, its gradient, what it follows, and what it is good for."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import spa_kernel as spa

SHAPE = (4, 3, 6, 6)


def explicit(session: spa.Session, ids: set[str]) -> torch.Tensor:
    """The penalty, channel by channel, with masks over whole parameters."""
    coupling = session.analysis.coupling
    values = {value.name: value for value in coupling.graph.parameters}
    own = dict(session.model.named_parameters())
    total = torch.zeros((), dtype=torch.float64)
    for group in session.groups:
        for label in group.labels if group.id in ids else ():
            squares, elements = torch.zeros((), dtype=torch.float64), 0
            for name, value in values.items():
                for axis in range(value.ndim):
                    labels = coupling.axes.get((value, axis))
                    if labels is None:
                        continue
                    index = torch.from_numpy((labels == label).any(axis=1)).nonzero().flatten()
                    part = own[name].double().index_select(axis, index)
                    squares, elements = squares + part.square().sum(), elements + part.numel()
            total = total + (elements * squares).sqrt()
    return total


def prunable(session: spa.Session) -> set[str]:
    return {group.id for group in session.groups if group.prunable}


def test_value_and_gradient(session: spa.Session) -> None:
    session = spa.analyze(session.model.double(), SHAPE)
    penalty = spa.sparsity(session, strength=0.1)
    found, wanted = penalty(), 0.1 * explicit(session, prunable(session))
    torch.testing.assert_close(found, wanted)
    own = [p for n, p in session.model.named_parameters() if not n.startswith("unused")]
    torch.testing.assert_close(
        torch.autograd.grad(found, own, allow_unused=True, materialize_grads=True),
        torch.autograd.grad(wanted, own, allow_unused=True, materialize_grads=True),
    )


def test_it_follows_prunes_and_undos(session: spa.Session) -> None:
    penalty = spa.sparsity(session, strength=1.0)
    before = penalty().detach()
    session.prune(ratio=0.5, scope="local")
    small = penalty().detach()
    torch.testing.assert_close(small.double(), explicit(session, prunable(session)).detach())
    session.undo()
    assert torch.equal(penalty(), before)
    session.redo()
    assert torch.equal(penalty(), small)


def test_some_groups_only(session: spa.Session) -> None:
    found = spa.sparsity(session, 1.0, groups="inner")()
    chosen = {group.id for group in session.groups if group.name == "inner"}
    torch.testing.assert_close(found.double(), explicit(session, chosen))
    found.backward()
    assert session.model.stem.bias.grad is None
    assert session.model.inner.weight.grad is not None


def test_what_cannot_go_is_left_alone(session: spa.Session) -> None:
    spa.sparsity(session, 1.0)().backward()
    assert session.model.head.bias.grad is None
    with pytest.raises(spa.InfeasibleTarget, match=r"g\d+ cannot go, .*output"):
        spa.sparsity(session, groups="head")


def test_a_channel_of_zeros_has_no_slope(session: spa.Session) -> None:
    penalty = spa.sparsity(session, 1.0)
    with torch.no_grad():
        for parameter in session.model.parameters():
            parameter.zero_()
    penalty().backward()
    for name, parameter in session.model.named_parameters():
        assert parameter.grad is None or not parameter.grad.any(), name


def test_heads_and_merged_axes() -> None:
    layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True)
    session = spa.analyze(layer, (2, 5, 12))
    torch.testing.assert_close(
        spa.sparsity(session, 1.0)().double(), explicit(session, prunable(session))
    )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_in_half_precision_nothing_overflows(kind: torch.dtype, session: spa.Session) -> None:
    wanted = spa.sparsity(session, 1.0)().detach()
    half = spa.analyze(session.model.to(kind), SHAPE)
    torch.testing.assert_close(spa.sparsity(half, 1.0)(), wanted, rtol=0.01, atol=0)


def test_a_model_that_changed_is_found_out(session: spa.Session) -> None:
    penalty = spa.sparsity(session)
    session.model.stem = nn.Conv2d(3, 8, 3, padding=1)
    with pytest.raises(spa.StaleSession):
        penalty()


@pytest.mark.parametrize("strength", [-1, float("nan"), True])
def test_a_strength_that_is_none(strength: Any, session: spa.Session) -> None:
    with pytest.raises(spa.InfeasibleTarget, match="strength="):
        spa.sparsity(session, strength)


def test_an_onnx_model_is_refused(session: spa.Session, tmp_path: Any) -> None:
    session.export(tmp_path / "net.onnx")
    other = spa.analyze(onnx.load(tmp_path / "net.onnx"))
    with pytest.raises(spa.InfeasibleTarget, match="analyse the torch module instead"):
        spa.sparsity(other)


def test_training_with_it_makes_channels_that_can_go() -> None:
    """On handwritten digits: pruned to a third, the network says nearly the same."""
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)

    def accuracy_lost(strength: float) -> float:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(256, 10),
        )  # fmt: skip
        session = spa.analyze(model, x[:2])
        penalty = spa.sparsity(session, strength)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(10):
            for at in torch.randperm(len(x)).split(150):
                loss = nn.functional.cross_entropy(model(x[at]), y[at])
                optimizer.zero_grad()
                (loss + penalty()).backward()
                optimizer.step()
        before = (model(x).argmax(1) == y).double().mean()
        assert before > 0.9
        session.prune(criterion="l2", agg="sum", norm="none", flops=3, verify=False)
        return float(before - (model(x).argmax(1) == y).double().mean())

    assert accuracy_lost(1e-3) < 0.03
    assert accuracy_lost(0.0) > 0.2
