from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, jacrev

import spa_kernel as spa
from spa_kernel.errors import CaptureError, DataNeeded, InfeasibleTarget
from spa_kernel.frontends.torch.statistics import hessian as hessian_module
from spa_kernel.importance import Context, find

Scores = dict[str, np.ndarray]


class Residual(nn.Module):
    """Functional activations, a residual sum, pooling, and a flatten to a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.inner = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.outer = nn.Conv2d(8, 6, 1)
        self.short = nn.Conv2d(6, 6, 1, stride=2)
        self.head = nn.Linear(6 * 2 * 2, 5)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def parts(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """What some layers read, and the sum."""
        a = F.relu(self.norm(self.stem(x)))
        b = F.hardtanh(self.inner(a), 0, 1)
        c = F.relu(self.outer(b) + self.short(a))
        return {"inner": a, "outer": b, "head": F.max_pool2d(c, 2).flatten(1), "sum": c}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.parts(x)["head"])


class Layers(nn.Module):
    """One layer of each kind that contracts, all of them modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 12, 3, stride=2, padding=2, dilation=2, groups=2)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=(1, 0), groups=12)
        self.up = nn.ConvTranspose2d(12, 6, (3, 2), stride=2, padding=(1, 0), output_padding=1)
        self.up_grouped = nn.ConvTranspose2d(6, 4, 2, dilation=2, groups=2)
        self.line = nn.Conv1d(4, 5, 3, padding="same")
        self.tokens = nn.Linear(5, 7)
        self.head = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu_(self.depthwise(F.gelu(self.grouped(F.silu(self.first(x))))))
        x = F.relu(self.line(self.up_grouped(F.relu(self.up(x))).flatten(2)))
        return self.head(self.tokens(x.transpose(1, 2)).mean(1))


class Attention(nn.Module):
    """A fused projection, attention of torch's own, and a projection of two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 12)
        self.norm = nn.LayerNorm(12)
        self.qkv = nn.Linear(12, 36)
        self.out = nn.Linear(12, 12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.both = nn.Parameter(torch.randn(16, 12))
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        y = self.norm(x)
        q, k, v = self.qkv(y).unflatten(2, (3, 3, 4)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(y)
        z = self.attention(x, x, x, need_weights=False)[0]
        one, two = self.both.split(8)
        return self.head(F.linear(x, one) * F.linear(z, two)).mean(1)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual": (Residual, (3, 8, 8)),
    "layers": (Layers, (3, 6, 6)),
    "attention": (Attention, (5, 6)),
}


def built(name: str) -> tuple[nn.Module, spa.Session, torch.Tensor]:
    """A network in double precision, analysed with a batch of one, and a batch of five."""
    make, shape = NETWORKS[name]
    model = make().double().eval()
    session = spa.analyze(model, torch.randn(1, *shape).double())
    return model, session, torch.randn(5, *shape).double()


def statistic(session: spa.Session, name: str, data: object) -> Any:
    return session.backend.statistic(name, session.analysis.coupling, data)


@contextmanager
def read(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """What every layer with a weight of its own is given."""
    found: dict[str, torch.Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, name=name: found.update({name: args[0]}))
        for name, module in model.named_modules()
    ]
    yield found
    for hook in hooks:
        hook.remove()


def multipliers(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(output channels, positions, *weight): the derivative of each output by each weight."""
    by_weight = jacrev(lambda w: functional_call(module, {"weight": w}, (x,)))(module.weight)
    at = x.ndim - 1 if isinstance(module, nn.Linear) else 1
    return by_weight.movedim(at, 0).flatten(1, x.ndim - 1).detach()


def inputs_of_layers(name: str, statistic_name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each layer the statistic of its weight, and the weight's `multipliers`."""
    model, session, x = built(name)
    x = x[:3]
    got = statistic(session, statistic_name, [x])
    with torch.no_grad(), read(model) as found:
        model(x)
    for layer, module in model.named_modules():
        contracts = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d)
        if contracts and layer in found:
            by_weight = multipliers(module, found[layer]).numpy()
            yield np.broadcast_to(got[f"{layer}.weight"], by_weight.shape[2:]), by_weight


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_weighed_by_what_they_are_multiplied_by(name: str) -> None:
    for got, by_weight in inputs_of_layers(name, "input_norm"):
        wanted = np.sqrt(np.square(by_weight).sum((0, 1)) / by_weight.shape[1])
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_inverse_hessian_is_that_of_each_row(name: str) -> None:
    for diagonal, by_weight in inputs_of_layers(name, "inverse_hessian_diagonal"):
        for row in by_weight.reshape(*by_weight.shape[:2], -1):
            # The weights that this output has a part of: those of its row, dead inputs aside.
            own = np.flatnonzero(np.abs(row).max(0) > 0)
            h = 2 * row[:, own].T @ row[:, own] / len(row)
            h += 0.01 * np.trace(h) / len(own) * np.eye(len(own))
            got = diagonal.ravel()[own]
            np.testing.assert_allclose(got, np.diag(np.linalg.inv(h)), rtol=1e-5)


def test_weights_are_followed_through_splits_and_attention() -> None:
    model, session, x = built("attention")
    got = statistic(session, "input_norm", [x])
    with torch.no_grad(), read(model) as found:
        model(x)
        stream = found["attention"]
        z = model.attention(stream, stream, stream)[0]

    def rms(t: torch.Tensor) -> np.ndarray:
        return t.square().mean((0, 1)).sqrt().numpy()

    np.testing.assert_allclose(got["attention.in_proj_weight"][0], rms(stream), rtol=1e-6)
    wanted = np.repeat([rms(stream), rms(z)], 8, axis=0)
    np.testing.assert_allclose(got["both"], wanted, rtol=1e-6)
    assert "norm.weight" not in got and "head.bias" not in got


class Reshaped(nn.Module):
    """Weights that come to their products by ways of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Parameter(torch.randn(48))
        self.parts = nn.ParameterList([nn.Parameter(torch.randn(2, 6)) for _ in range(2)])
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
        self.shared = nn.Linear(6, 6)
        self.blocks = nn.Parameter(torch.randn(2, 3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = x @ self.flat.view(2, 6, 4)[1].t()[:, :6] + x @ self.flat[:24].view(4, 6)
        b = F.linear(F.relu(a), torch.cat(list(self.parts)))
        c = self.shared(F.relu(self.shared(self.normed(b))))
        return torch.einsum("bgi,gij->bgj", c.view(-1, 2, 3), self.blocks).flatten(1)


def test_any_way_to_a_product_is_followed() -> None:
    model = Reshaped().double()
    session = spa.analyze(model, torch.randn(1, 4).double())
    x = torch.randn(7, 4).double()
    got = statistic(session, "input_norm", [x])

    def rms(t: torch.Tensor) -> np.ndarray:
        return t.detach().square().mean(0).sqrt().numpy()

    first = np.concatenate([np.repeat(rms(x), 6), np.tile(rms(x), 6)])
    np.testing.assert_allclose(got["flat"], first, rtol=1e-6)
    a = F.relu(x @ model.flat.view(2, 6, 4)[1].t() + x @ model.flat[:24].view(4, 6))
    for name in ("parts.0", "parts.1"):
        np.testing.assert_allclose(got[name][0], rms(a), rtol=1e-6)
    b = F.linear(a, torch.cat(list(model.parts)))
    direction = "normed.parametrizations.weight.original1"
    np.testing.assert_allclose(np.broadcast_to(got[direction], (6, 4))[3], rms(b), rtol=1e-6)
    c = model.normed(b)
    d = F.relu(model.shared(c))
    np.testing.assert_allclose(got["shared.weight"][0], rms(torch.cat([c, d])), rtol=1e-6)
    e = model.shared(d).view(-1, 2, 3)
    np.testing.assert_allclose(got["blocks"][..., 0], rms(e), rtol=1e-6)


def test_elements_are_scored_by_formula() -> None:
    model, session, x = built("residual")
    given = {n: statistic(session, n, [x]) for n in ("input_norm", "inverse_hessian_diagonal")}
    context = Context(session.analysis.coupling, session.backend.array, given=given)
    for name, parameter in model.named_parameters():
        w = parameter.detach().numpy()
        wanda = find("wanda").function(context, name, w)
        obs = find("obs").function(context, name, w)
        assert wanda.shape == obs.shape == w.shape
        if "bias" in name or "norm" in name:
            np.testing.assert_allclose(wanda, abs(w))
            np.testing.assert_allclose(obs, 2 * w**2)


def test_dead_inputs_score_zero() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0, -1
    session = spa.analyze(model, (1, 4))
    diagonal = statistic(session, "inverse_hessian_diagonal", [torch.randn(20, 4)])["2.weight"]
    assert np.isinf(diagonal[0, 2]) and np.isfinite(np.delete(diagonal[0], 2)).all()
    scores = session.importance("obs", data=[torch.randn(20, 4)], norm="none")
    assert all(np.isfinite(s).all() for s in scores.values())


def reference(
    session: spa.Session, found: dict[str, np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """From numbers per input of some layers to their mean per coupled channel."""
    coupling = session.analysis.coupling
    stored = coupling.graph.stored

    def score(label: int) -> float:
        per_layer = []
        for layer, numbers in found.items():
            rows = (coupling.axes[stored[f"{layer}.weight"], 1] == label).any(1)
            if rows.any():
                per_layer.append(numbers[rows].mean())
        return float(np.mean(per_layer))

    return lambda labels: np.array([score(label) for label in labels])


def of_channels(
    parts: dict[str, torch.Tensor], f: Callable[[torch.Tensor], torch.Tensor]
) -> Scores:
    return {name: f(t.detach().transpose(0, 1)).numpy() for name, t in parts.items()}


def test_channels_are_scored_by_what_they_carry() -> None:
    model, session, x = built("residual")
    parts = model.parts(x)
    last = parts.pop("sum")
    maps = {name: parts[name] for name in ("inner", "outer")}

    def relative(t: torch.Tensor) -> torch.Tensor:
        size = t.flatten(1).square().mean(1).sqrt()
        return size / size.mean()

    sizes = reference(session, of_channels(parts, relative))
    ranks = reference(
        session, of_channels(maps, lambda t: torch.linalg.matrix_rank(t).double().mean(1))
    )
    # The sum's channels are those that the flattened head reads, four positions of each.
    shares = of_channels({**maps, "head": last}, lambda t: (t != 0).double().flatten(1).mean(1))
    rectified = reference(session, {**shares, "head": np.repeat(shares["head"], 4)})
    got = {n: session.importance(n, data=[x], norm="none") for n in ("activation", "apoz", "hrank")}
    groups = {g.name: g for g in session.groups if g.prunable}
    assert set(groups) == {"stem", "inner", "outer"}
    for name, group in groups.items():
        np.testing.assert_allclose(got["activation"][group.id], sizes(group.labels), rtol=1e-6)
        np.testing.assert_allclose(got["apoz"][group.id], rectified(group.labels), rtol=1e-6)
        if name == "outer":
            assert group.id not in got["hrank"]
        else:
            np.testing.assert_allclose(got["hrank"][group.id], ranks(group.labels), rtol=1e-6)


class Heads(nn.Module):
    """Queries and keys whose channels each head may choose by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(6, 8)
        self.out = nn.Linear(8, 3)
        self.heads, self.width = 2, 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = self.heads, self.width
        q, k, v = (f(x).unflatten(2, shape).transpose(1, 2) for f in (self.q, self.k, self.v))
        weight = (q @ k.transpose(2, 3) / 2).softmax(3)
        return self.out((weight @ v).transpose(1, 2).flatten(2))


def test_each_head_has_scores_of_its_own() -> None:
    model = Heads()
    session = spa.analyze(model, (1, 5, 6))
    x = torch.randn(7, 5, 6)
    scores = session.importance("activation", data=[x], norm="none")
    assert all(g.id in scores for g in session.groups if g.prunable)
    group = next(g for g in session.groups if ("k.weight", 0) in g.members and g.blocks > 1)
    both = torch.stack([model.q(x), model.k(x)]).square().mean((1, 2)).sqrt().detach()
    wanted = (both / both.mean(1, keepdim=True)).mean(0).numpy()
    np.testing.assert_allclose(np.sort(scores[group.id]), np.sort(wanted), rtol=1e-5)


def test_smooth_activations_are_never_zero() -> None:
    model = nn.Sequential(
        nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 8), nn.ReLU(),
        nn.Linear(8, 5), nn.Hardtanh(), nn.Linear(5, 2),
    )  # fmt: skip
    session = spa.analyze(model, (1, 4))
    scores = session.importance("apoz", data=[torch.randn(9, 4)])
    named = {g.id: g.name for g in session.groups}
    assert {named[i] for i in scores} == {"2"}


CRITERIA = "activation", "apoz", "hrank", "wanda", "obs"


@pytest.mark.parametrize("name", NETWORKS)
def test_batches_add_up_and_the_model_is_untouched(name: str) -> None:
    model, session, x = built(name)
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    for criterion in CRITERIA:
        whole = session.importance(criterion, data=[x], norm="none")
        parts = session.importance(criterion, data=[(x[:2], None), (x[2:], None)], norm="none")
        assert whole.keys() == parts.keys()
        for group, scores in whole.items():
            np.testing.assert_allclose(scores, parts[group], rtol=1e-6)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(m.training and not m._forward_hooks for m in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_generator_is_data(criterion: str) -> None:
    _, session, x = built("attention")
    wanted = session.importance(criterion, data=[x[:2], x[2:]])
    got = session.importance(criterion, data=iter([x[:2], x[2:]]))
    assert wanted.keys() == got.keys()
    assert all(np.array_equal(scores, got[group]) for group, scores in wanted.items())


@pytest.mark.parametrize("criterion", ["activation", "wanda", "obs"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_data_that_are_no_numbers_are_refused(criterion: str, number: float) -> None:
    _, session, x = built("residual")
    x[0, 0, 0, 0] = number
    with pytest.raises(InfeasibleTarget, match="NaN or infinity in the"):
        session.importance(criterion, data=[x])


def test_hessians_that_do_not_fit_take_further_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    _, session, x = built("layers")
    once = statistic(session, "inverse_hessian_diagonal", [x])
    monkeypatch.setattr(hessian_module, "BUDGET", 40_000)
    again = statistic(session, "inverse_hessian_diagonal", [x])
    assert once.keys() == again.keys()
    for name, diagonal in once.items():
        np.testing.assert_array_equal(diagonal, again[name])


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        return self.c(self.b(x) if x.mean() > 0 else x)


def test_a_forward_that_goes_another_way_is_refused() -> None:
    model = Branching()
    with torch.no_grad():
        model.a.bias.fill_(10)
    session = spa.analyze(model, (1, 4))
    with torch.no_grad():
        model.a.bias.fill_(-10)
    with pytest.raises(CaptureError, match=r"comes to Gemm in c .*came to Gemm in b"):
        session.importance("activation", data=[torch.zeros(3, 4)])
    with pytest.raises(DataNeeded, match="activation_size needs data"):
        session.importance("activation")
    with pytest.raises(DataNeeded, match=r"fails in 'a' on a batch of shape \(3, 5\)"):
        session.importance("wanda", data=[torch.zeros(3, 5)])
