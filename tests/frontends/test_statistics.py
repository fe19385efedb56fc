"""Statistics of gradients and curvature against direct computations; the model stays as it is."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scored_networks import NETWORKS, batches, gated, loss, made
from torch import nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import spa_kernel as spa
from spa_kernel.coupling.result import Coupling
from spa_kernel.importance.needs import STATISTICS

EXAMPLE = (2, 3, 4, 4)
OF_LABELS = [
    "gradient",
    "squared_gradient",
    "gate_gradient",
    "hessian_gradient",
    "tempered_hessian_gradient",
]
every_network = pytest.mark.parametrize("name", NETWORKS)
in_both_modes = pytest.mark.parametrize("training", [False, True])


def statistic(
    need: str, model: nn.Module, data: Any = None, loss: Any = loss, **options: Any
) -> Any:
    inputs = options.pop("inputs", EXAMPLE)
    session = spa.analyze(model, inputs)
    return session.backend.statistic(need, session.analysis.coupling, data, loss, **options)


def coupling_of(model: nn.Module) -> Coupling:
    return spa.analyze(model, EXAMPLE).analysis.coupling


def plain_gradients(model: nn.Module) -> list[dict[str, torch.Tensor]]:
    found = []
    for x, y in batches():
        one = copy.deepcopy(model).requires_grad_()
        loss(one(x), y).backward()
        found.append({n: p.grad for n, p in one.named_parameters()})
    return found


def same(got: dict[str, np.ndarray], wanted: dict[str, torch.Tensor], rtol: float = 1e-9) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        wide = value.double().numpy()
        np.testing.assert_allclose(got[name], wide, rtol=rtol, atol=rtol, err_msg=name)


def everything(model: nn.Module) -> dict[str, Any]:
    """All that must not change, in a form that can be compared."""

    def content(t: torch.Tensor | None) -> Any:
        return t if t is None else (id(t), t.data_ptr(), t.dtype, t.detach().numpy().tobytes())

    return {
        "tensors": {n: content(t) for n, t in model.state_dict(keep_vars=True).items()},
        "grads": {n: content(p.grad) for n, p in model.named_parameters()},
        "requires": {n: p.requires_grad for n, p in model.named_parameters()},
        "modes": [m.training for m in model.modules()],
        "attributes": [{k: id(v) for k, v in vars(m).items()} for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "random": (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())),
        "grad mode": torch.is_grad_enabled(),
    }


# What they are.


@every_network
@in_both_modes
def test_gradients_equal_a_plain_loop(name: str, training: bool) -> None:
    model = made(name, training)
    found = plain_gradients(model)
    first = {n: sum(f[n] for f in found) / 3 for n in found[0]}
    second = {n: sum(f[n] ** 2 for f in found) / 3 for n in found[0]}
    same(statistic("gradient", model, batches()), first)
    same(statistic("squared_gradient", model, batches()), second)


@every_network
def test_gates_are_the_derivative_by_a_factor_on_what_is_read_of_a_channel(name: str) -> None:
    model = made(name)
    coupling = coupling_of(model)
    got = statistic("gate_gradient", model, batches())
    assert got.shape == (3, coupling.count)
    assert got.dtype == np.float64
    step = 1e-5
    for label in range(coupling.count):
        change = []
        for factor in (1 + step, 1 - step):
            other = copy.deepcopy(model)
            parameters = dict(other.named_parameters())
            for parameter, axis, mask in gated(name, coupling, label):
                with torch.no_grad():
                    parameters[parameter].transpose(0, axis)[torch.from_numpy(mask)] *= factor
            change.append([loss(other(x), y).item() for x, y in batches()])
        wanted = np.subtract(*change) / (2 * step)
        np.testing.assert_allclose(got[:, label], wanted, rtol=1e-5, atol=1e-8)


def whole_loss(model: nn.Module, temperature: float) -> tuple[Callable[..., Any], torch.Tensor]:
    """The mean loss of all batches as a function of all parameters in one vector."""
    shapes = {n: p.shape for n, p in model.named_parameters()}
    start = torch.cat([p.detach().flatten() for p in model.parameters()])

    def value(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split([s.numel() for s in shapes.values()])
        named = {n: p.view(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}
        buffers = {n: b.clone() for n, b in model.named_buffers()}
        outputs = [(functional_call(model, {**named, **buffers}, x), y) for x, y in batches()]
        return torch.stack([loss(o / temperature, y) for o, y in outputs]).mean()

    return value, start


@every_network
@pytest.mark.parametrize(
    ("need", "temperature", "training"),
    [("hessian_gradient", 1.0, False), ("tempered_hessian_gradient", 200.0, True)],
)
def test_hessian_gradient_equals_the_whole_matrix(
    name: str, need: str, temperature: float, training: bool
) -> None:
    model = made(name, training)
    value, start = whole_loss(model, temperature)
    hessian = torch.autograd.functional.hessian(value, start)
    gradient = torch.autograd.functional.jacobian(value, start)
    got = statistic(need, model, batches())
    flat = np.concatenate([got[n].ravel() for n, _ in model.named_parameters()])
    wanted = (hessian @ gradient).numpy()
    np.testing.assert_allclose(flat, wanted, rtol=1e-6, atol=1e-9 * np.abs(wanted).max())


def test_hessian_of_one_batch() -> None:
    model = made("residual")
    once = statistic("hessian_gradient", model, batches()[:1])
    twice = statistic("hessian_gradient", model, batches()[:1] * 2)
    same(once, {n: torch.from_numpy(v) for n, v in twice.items()})


def test_a_loss_without_curvature_has_no_hessian() -> None:
    model = nn.Linear(3, 2)
    data = [(torch.randn(4, 3), torch.randn(4, 2))]
    got = statistic("hessian_gradient", model, data, lambda o, t: (o * t).sum(), inputs=(1, 3))
    assert all((v == 0).all() for v in got.values())


@pytest.mark.parametrize("name", ["residual", "grouped", "flattened", "tied"])
def test_flow_equals_a_copy_with_absolute_weights(name: str) -> None:
    model = made(name, training=True)
    got = statistic("flow", model)
    other = copy.deepcopy(model).eval()
    with torch.no_grad():
        for p in other.parameters():
            p.abs_()
        for n, b in other.named_buffers():
            if n.endswith("running_mean"):
                b.zero_()
    other(torch.ones(EXAMPLE, dtype=torch.float64)).sum().backward()
    same(got, {n: p.grad for n, p in other.named_parameters()})


def test_flow_is_the_same_in_every_layer() -> None:
    # Theorem 2 of the paper: what enters a layer leaves it.
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 4, 1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3, bias=False),
    )
    model[1].running_mean.fill_(3.0)
    got = statistic("flow", model)
    assert got["0.weight"].dtype == np.float64
    sums = [
        float((got[f"{i}.weight"] * model[i].weight.abs().detach().numpy()).sum())
        for i in (0, 3, 6)
    ]
    assert sums[0] > 0
    assert sums == pytest.approx([sums[0]] * 3)


def test_flow_of_a_deep_network_stays_finite() -> None:
    model = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(80)])
    got = statistic("flow", model, inputs=(1, 64))
    assert max(np.abs(v).max() for v in got.values()) > np.finfo(np.float32).max
    with torch.no_grad():
        model[0].weight.fill_(1e30)
        for layer in model[1:]:
            layer.weight.fill_(1e6)
    before = everything(model)
    with pytest.raises(spa.InfeasibleTarget, match="not finite"):
        statistic("flow", model, inputs=(1, 64))
    assert everything(model) == before


def test_flow_of_indices_and_of_code_with_its_own_type() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 3)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.head(self.table(tokens).mean(1).to(torch.float32))
            return result

    tokens = torch.tensor([[1, 2, 2]])
    got = statistic("flow", Net(), inputs=tokens)
    assert (np.abs(got["table.weight"]).sum(axis=1) > 0).tolist() == [i in (1, 2) for i in range(7)]


# The model is left alone.


@pytest.mark.parametrize("need", [*OF_LABELS, "flow"])
@in_both_modes
def test_the_model_is_what_it_was(need: str, training: bool) -> None:
    model = made("residual", training)
    parameters = list(model.parameters())
    for p in parameters[::2]:
        p.requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    data = batches()
    before, content = everything(model), [x.clone() for x, _ in data]
    statistic(need, model, data)
    assert everything(model) == before
    assert all(torch.equal(x, y) for (x, _), y in zip(data, content, strict=True))


@pytest.mark.parametrize("need", OF_LABELS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("inside", ["loss", "forward"])
def test_the_model_is_what_it_was_after_an_error(
    need: str, error: type[BaseException], inside: str
) -> None:
    model = made("residual", training=True)
    model[0].weight.requires_grad_(False)
    session = spa.analyze(model, EXAMPLE)
    calls = []

    def fails(where: str) -> None:
        calls.append(where)
        if calls.count(inside) == 2:
            raise error

    def failing(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        fails("loss")
        return loss(output, targets)

    model[3].register_forward_hook(lambda *_: fails("forward"))
    before = everything(model)
    wanted = error if error is KeyboardInterrupt else spa.DataNeeded
    with pytest.raises(wanted):
        session.backend.statistic(need, session.analysis.coupling, batches(), failing)
    assert len(calls) > 1
    assert everything(model) == before


def test_flow_interrupted() -> None:
    model = made("residual")
    session = spa.analyze(model, EXAMPLE)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    model[3].register_forward_hook(stop)
    before = everything(model)
    with pytest.raises(KeyboardInterrupt):
        session.backend.statistic("flow", session.analysis.coupling)
    assert everything(model) == before


def test_forwards_that_write_into_weights_and_inputs() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 4, max_norm=0.1)
            self.inner = spectral_norm(nn.Linear(4, 5))
            self.head = nn.Linear(5, 3)
            self.calls = 0

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.head.weight.data.clamp_(-0.1, 0.1)
            x = self.inner(self.table(tokens.fmod_(7)).mean(1))
            result: torch.Tensor = self.head(torch.relu_(x))
            return result

    model = Net()
    tokens, targets = torch.randint(7, 30, (4, 3)), torch.randint(3, (4,))
    session = spa.analyze(model, torch.ones(1, 3, dtype=torch.int64))
    before, given = everything(model), tokens.clone()
    for need in [*OF_LABELS, "flow"]:
        session.backend.statistic(
            need, session.analysis.coupling, [(tokens, targets)] * 2, nn.functional.cross_entropy
        )
        assert everything(model) == before, need
        assert torch.equal(tokens, given)


class Caching(nn.Module):
    """Writes into tensors that lie in a list and in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 3)
        self.seen, self.cache = [torch.zeros(3)], {"last": (torch.zeros(3),)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x.float().flatten(1))
        self.seen[0] += 1
        self.cache["last"][0].copy_(out.detach()[0])
        return out * self.seen[0]


@pytest.mark.parametrize("need", ["gradient", "input_norm", "flow"])
def test_forwards_that_write_into_tensors_in_containers(need: str) -> None:
    model = Caching()
    session = spa.analyze(model, torch.randn(EXAMPLE))
    kept = [model.seen[0], model.cache["last"][0]]
    before = [t.clone() for t in kept]
    session.backend.statistic(need, session.analysis.coupling, batches(), loss)
    assert all(torch.equal(t, b) for t, b in zip(kept, before, strict=True))


@pytest.mark.parametrize("training", [False, True])
def test_every_batch_meets_the_same_model(training: bool) -> None:
    model = made("residual", training)
    model.append(nn.Dropout(0.0))
    forth = statistic("squared_gradient", model, batches())
    back = statistic("squared_gradient", model, batches()[::-1])
    same(forth, {n: torch.from_numpy(v) for n, v in back.items()})


def test_random_numbers_follow_from_the_seed() -> None:
    model = made("flattened", training=True)
    model.insert(1, nn.Dropout(0.5))
    got = [statistic("hessian_gradient", model, batches(), seed=s)["0.weight"] for s in (1, 1, 2)]
    assert np.array_equal(got[0], got[1])
    assert not np.array_equal(got[0], got[2])


# Which parameters.


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


class Positions(Keywords):
    def forward(self, first: Any, second: Any) -> Any:  # type: ignore[override]
        return super().forward(first=first, second=second)["logits"]


def test_inputs_by_keyword_and_several_inputs() -> None:
    model, other = Keywords(), Positions()
    other.load_state_dict(model.state_dict())
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
