"""New weights after a prune: they make up for what has gone, and nothing else is touched."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from all_structures import STRUCTURES, batches, built, output
from reconstructed import HALF, error, pruned
from reference import differences, ordinary, state
from structures import Forward, conv
from torch import nn
from torch.nn import functional as F

import spa_kernel as spa

# Their outputs are a mean over the channels that go, which no weights can make up for.
UNREAD: set[str] = set()


@pytest.mark.parametrize("criterion", ["l1", "obspa"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure(name: str, criterion: str) -> None:
    """Verified, better than without on data of the same kind, and taken back bit for bit."""
    model, inputs = built(name)
    dense, before = copy.deepcopy(model), state(model)
    data, other = batches(inputs, 4), batches(inputs, 4, seed=1)
    plain = pruned(model, inputs, **HALF)
    session = spa.analyze(model, inputs)
    report = session.prune(**{**HALF, "criterion": criterion}, reconstruct=True, data=data)
    assert report.verified
    assert all(t.isfinite().all() for t in model.state_dict().values())
    if name not in UNREAD:
        assert error(dense, model, data) < 0.9 * error(dense, plain, data)
        assert error(dense, model, other) < error(dense, plain, other)
    after = state(model)
    session.undo()
    assert not differences(before, state(model))
    session.redo()
    assert not differences(after, state(model))


@pytest.mark.parametrize("name", ["concat", "attention_separate", "transposed_groups", "lstm"])
def test_nothing_changes_where_nothing_goes(name: str) -> None:
    model, inputs = built(name)
    session = spa.analyze(model, inputs)
    plan = session.plan(**HALF, reconstruct=True, data=batches(inputs))
    mend = session.backend.reconstruction(session.analysis.coupling, batches(inputs), False)
    before = state(model)
    mend(np.zeros_like(plan.mask(session.analysis.coupling)))
    assert not differences(before, state(model))


def test_layers_before_the_first_cut_stay_bit_for_bit() -> None:
    model, inputs = built("residual")
    before = {n: t.clone() for n, t in model.state_dict().items()}
    session = spa.analyze(model, inputs)
    session.prune(**HALF, groups="c.0", reconstruct=True, data=batches(inputs))
    after = model.state_dict()
    changed = {n for n, t in after.items() if t.shape != before[n].shape or not t.equal(before[n])}
    layers = {"c.0.weight", "d.weight", "d.bias", "head.2.weight", "head.2.bias"}
    assert {"c.0.weight", "d.weight", "d.bias"} <= changed
    assert changed <= layers | {n for n in before if n.startswith("c.1.")}


def redundant(reader: nn.Module, width: int, norm: bool) -> nn.Module:
    """Half of the channels are linear combinations of the other half, all the way to the reader."""
    first = conv(3, 8)
    with torch.no_grad():
        mix = 0.2 * torch.randn(4, 4)
        first.weight[4:] = torch.einsum("ij,jabc->iabc", mix, first.weight[:4])
        first.bias[4:] = mix @ first.bias[:4] + 0.1 * torch.randn(4)
        scale = 0.1  # The later half is smaller, so that it goes first.
        first.weight[4:] *= scale
        first.bias[4:] *= scale
    layers: list[nn.Module] = [first]
    if norm:
        layers += [nn.BatchNorm2d(8)]
    return nn.Sequential(*layers, nn.AvgPool2d(2), reader, nn.Tanh(), nn.Flatten(),
                         nn.Linear(width, 3)).eval()  # fmt: skip


READERS: dict[str, Any] = {
    "convolution": (lambda: conv(8, 5, bias=True), 80),
    "strided": (lambda: nn.Conv2d(8, 5, 2, stride=2, dilation=1), 20),
    "transposed": (lambda: nn.ConvTranspose2d(8, 5, 3, stride=2, output_padding=1), 500),
    "linear": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(8 * 16, 5)), 5),
    "normalised": (lambda: nn.Sequential(conv(8, 5, bias=False), nn.BatchNorm2d(5)), 80),
}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("reader", READERS)
def test_redundant_channels_cost_nothing_on_any_input(reader: str, norm: bool) -> None:
    make, width = READERS[reader]
    model = redundant(make(), width, norm)
    small = pruned(model, (2, 3, 8, 8), **HALF, groups="0", reconstruct=True,
                   data=batches(torch.randn(2, 3, 8, 8), 8, 16))  # fmt: skip
    assert small[0].out_channels == 4
    plain = pruned(model, (2, 3, 8, 8), **HALF, groups="0")
    for x in (torch.randn(4, 3, 8, 8), torch.rand(4, 3, 8, 8) - 0.5):
        assert error(model, small, [x]) < 1e-3
        assert error(model, small, [x]) < 0.01 * error(model, plain, [x])


def test_a_plain_network_against_numpy() -> None:
    """Two layers: the second one's weights are the least squares on what is left of the first."""
    model = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4)).double().eval()
    data = [torch.randn(400, 6, dtype=torch.float64) for _ in range(4)]
    small = pruned(model, data[0], **HALF, reconstruct=True, data=data)
    x = torch.cat(data)
    with torch.no_grad():
        kept, wanted = small[1](small[0](x)), model(x)
    a = np.hstack([kept.numpy(), np.ones((len(x), 1))])
    best, *_ = np.linalg.lstsq(a, wanted.numpy(), rcond=None)
    np.testing.assert_allclose(small[2].weight.detach(), best[:-1].T, atol=0.02)
    least = np.square(a @ best - wanted.numpy()).mean()
    got = np.square(output(small, x)[0].numpy() - wanted.numpy()).mean()
    assert got < 1.02 * least
    # The layer before it reads nothing that has changed.
    assert torch.equal(small[0].weight, model[0].weight[plan_of(model, data[0])])


def plan_of(model: nn.Module, inputs: Any) -> torch.Tensor:
    kept = spa.analyze(copy.deepcopy(model), inputs).plan(**HALF).kept["0.weight"][0]
    return torch.from_numpy(np.asarray(kept))


def test_what_an_early_layer_lost_is_made_up_for_later() -> None:
    """The stream of a residual network is put right by the layers that add to it."""
    model, inputs = built("residual_in_place")
    data = batches(inputs, 8)
    small = pruned(model, inputs, **HALF, reconstruct=True, data=data)
    assert error(model, small, data) < 0.1


def test_new_weights_are_of_use_on_other_data_when_there_is_little() -> None:
    """Fewer positions than columns: the damping keeps near to the old weights."""
    model = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(),
                          nn.Linear(40, 5)).eval()  # fmt: skip
    inputs = torch.randn(4, 20)
    other = batches(inputs, 8, 8, seed=5)
    small = pruned(model, inputs, **HALF, reconstruct=True, data=batches(inputs, 2, 2))
    plain = pruned(model, inputs, **HALF)
    assert error(model, small, other) < error(model, plain, other)


@pytest.mark.parametrize("name", ["plain_chain", "residual", "depthwise"])
def test_without_reading_biases(name: str) -> None:
    model, inputs = built(name)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_parameter("bias", None)
    data = batches(inputs)
    small = pruned(model, inputs, **HALF, reconstruct=True, data=data)
    assert error(model, small, data) < 0.5 * error(model, pruned(model, inputs, **HALF), data)
    assert all(getattr(m, "bias", None) is None for m in small.modules()
               if isinstance(m, nn.Conv2d | nn.Linear))  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_type_stays(dtype: torch.dtype) -> None:
    model, inputs = built("plain_chain")
    model, inputs = model.to(dtype), inputs.to(dtype)
    data = batches(inputs)
    small = pruned(model, inputs, **HALF, reconstruct=True, data=data)
    plain = pruned(model, inputs, **HALF)
    assert {p.dtype for p in small.parameters()} == {dtype}
    assert {b.dtype for b in small.buffers() if b.is_floating_point()} == {dtype}
    assert error(model, small, data) < 0.5 * error(model, plain, data)


def test_shared_layers() -> None:
    """A layer that is used twice has one weight, which suits no use alone; others are mended."""
    net = Forward(lambda s, x: s.c(torch.relu(s.b(torch.relu(s.b(s.a(x).relu()))))),
                  a=nn.Linear(6, 12), b=nn.Linear(12, 12), c=nn.Linear(12, 3))  # fmt: skip
    model, inputs = ordinary(net).eval(), torch.randn(4, 6)
    data = batches(inputs)
    session = spa.analyze(copy.deepcopy(model), inputs)
    session.prune(**HALF, reconstruct=True, data=data)
    plain = pruned(model, inputs, **HALF)
    assert torch.equal(session.model.b.weight, plain.b.weight)
    assert not torch.equal(session.model.c.weight, plain.c.weight)
    assert error(model, session.model, data) < error(model, plain, data)


def test_a_batch_norm_that_no_layer_leads_to() -> None:
    model, inputs = built("dense_block")
    data = batches(inputs)
    small, plain = (
        pruned(model, inputs, **HALF, **more) for more in ({"reconstruct": True, "data": data}, {})
    )
    one, other = small.layers[2][0], plain.layers[2][0]
    assert torch.equal(one.weight, other.weight)
    assert not torch.equal(one.running_mean, other.running_mean)
    # What it makes has the mean that it had, for the channels that are left.
    mean = [seen(m, "layers.2.0", data).mean((0, 2, 3)) for m in (model, small)]
    kept = spa.analyze(copy.deepcopy(model), inputs).plan(**HALF).kept["layers.2.0.weight"][0]
    torch.testing.assert_close(mean[0][torch.from_numpy(np.asarray(kept))], mean[1],
                               rtol=1e-3, atol=1e-3)  # fmt: skip


def seen(model: nn.Module, name: str, data: list[Any]) -> torch.Tensor:
    found: list[torch.Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(lambda *a: found.append(a[2]))
    for batch in data:
        output(model, batch)
    handle.remove()
    return torch.cat(found)


def test_scaling_that_a_prune_needs_is_kept() -> None:
    """Attention divides by the root of a size: queries that are left are made larger for that."""
    model, inputs = built("attention_fused_unbind")
    data = batches(inputs, 8)
    session = spa.analyze(copy.deepcopy(model), inputs)
    heads = [g.id for g in session.groups if g.prunable and "qkv" in g.name]
    session.prune(**HALF, groups=heads, reconstruct=True, data=data)
    # Nothing but new scales and new weights differs, and a mere scale is easily told.
    pair = [seen(m, "qkv", data) for m in (model, session.model)]
    dense, small = (p.unflatten(-1, (3, 4, -1))[:, :, 0] for p in pair)
    assert small.shape[-1] < dense.shape[-1]
    ratio = small.square().mean().sqrt() / dense.square().mean().sqrt()
    wanted = (small.shape[-1] / dense.shape[-1]) ** 0.5
    assert abs(float(ratio) - wanted) < 0.15


def test_position_of_padding_and_functional_weights() -> None:
    net = Forward(
        lambda s, x: s.last(F.relu(F.conv2d(F.relu(s.first(x)), s.w, padding="same")).mean((2, 3))),
        first=conv(3, 8), w=nn.Parameter(torch.randn(6, 8, 2, 4)), last=nn.Linear(6, 3),
    )  # fmt: skip
    model, inputs = ordinary(net).eval(), torch.randn(2, 3, 8, 8)
    data = batches(inputs)
    small = pruned(model, inputs, **HALF, reconstruct=True, data=data)
    assert error(model, small, data) < 0.5 * error(model, pruned(model, inputs, **HALF), data)
