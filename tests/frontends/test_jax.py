"""Flax.nnx modules: pruned in place, exactly, and brought back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax_networks import Attention, Convs, Ensemble, Tokens, Two, shaken

import spa_kernel as spa
from spa_kernel.errors import CaptureError, DataNeeded, InfeasibleTarget, SpaError, StaleSession
from spa_kernel.errors import VerificationFailed as Failed
from spa_kernel.surgery.jax import Surgery

IDS = np.random.default_rng(0).integers(0, 30, (2, 6)).astype(np.int32)
IMAGES = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype(np.float32)
NETWORKS: dict[str, Any] = {
    "convs": (Convs, IMAGES),
    "tokens": (Tokens, IDS),
    "rms": (lambda rngs: Tokens(rngs, nnx.RMSNorm), IDS),
    "attention": (Attention, np.ones((2, 6, 8), np.float32)),
    "ensemble": (Ensemble, np.random.default_rng(1).standard_normal((2, 8)).astype(np.float32)),
}


def arrays(model: nnx.Module) -> dict[str, Any]:
    return {
        ".".join(map(str, path)): node.get_raw_value()
        for path, node in nnx.iter_graph(model)
        if isinstance(node, nnx.Variable)
    }


def output(model: Any, x: Any) -> np.ndarray:
    """What the model makes."""
    return np.asarray(nnx.jit(lambda m, x: m(x))(model, x))


def masked_output(model: Any, session: Any, plan: Any, x: Any) -> np.ndarray:
    """What the model makes with zeros where the plan removes something, worked out here."""
    coupling = session.analysis.coupling
    removed = plan.mask(coupling)
    held = []
    for path, node in nnx.iter_graph(model):
        value = coupling.graph.stored.get(".".join(map(str, path)))
        if isinstance(node, nnx.Variable) and value is not None:
            held.append((node, node.get_raw_value()))
            content = np.array(node.get_raw_value())
            for axis in range(content.ndim):
                gone = ~coupling.kept((value, axis), removed)
                content[(slice(None),) * axis + (gone,)] = 0
            node.set_raw_value(jnp.asarray(content))
    made = output(model, x)
    for node, content in held:
        node.set_raw_value(content)
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_verified_and_brought_back(name: str) -> None:
    build, x = NETWORKS[name]
    model = shaken(build(nnx.Rngs(0)))
    before, shapes = arrays(model), {n: a.shape for n, a in arrays(model).items()}
    content = {n: np.asarray(a) for n, a in before.items() if a.dtype == np.float32}
    session = spa.analyze(model, x)
    assert session.model is model
    report = session.prune(ratio=0.3)
    assert report.verification.ok
    assert report.verification.error is not None
    after = arrays(model)
    assert any(after[n].shape != shapes[n] for n in shapes)
    assert np.isfinite(output(model, x)).all()
    session.undo()
    now = arrays(model)
    assert all(now[n] is before[n] for n in before)
    assert all(np.array_equal(content[n], np.asarray(now[n])) for n in content)
    session.redo()
    assert {n: a.shape for n, a in arrays(model).items()} == {n: a.shape for n, a in after.items()}


def test_the_output_is_that_of_the_masked_original() -> None:
    model: Any = shaken(Convs(nnx.Rngs(0)))
    session = spa.analyze(model, IMAGES)
    plan = session.plan(ratio=0.4)
    expected = masked_output(model, session, plan, IMAGES)
    session.prune(plan)
    found = output(model, IMAGES)
    assert np.abs(found - expected).max() <= 1e-5 * expected.std()
    assert found.std() > 0


def test_stacked_layers_keep_their_stack() -> None:
    build, x = NETWORKS["ensemble"]
    model: Any = shaken(build(nnx.Rngs(0)))
    session = spa.analyze(model, x)
    plan = session.plan("l2", ratio=0.3, scope="local")
    expected = masked_output(model, session, plan, x)
    session.prune(plan)
    assert np.abs(output(model, x) - expected).max() <= 1e-5 * expected.std()
    up = model.members.up
    assert up.kernel.shape[1:] == (up.in_features, up.out_features)
    assert model.first.out_features == up.in_features < 8


def test_sizes_in_attributes_are_true_afterwards() -> None:
    model: Any = shaken(Convs(nnx.Rngs(0)))
    spa.analyze(model, IMAGES).prune(ratio=0.4)
    width = model.conv.kernel.shape[-1]
    assert width < 12
    assert model.conv.out_features == model.bn.num_features == model.depthwise.in_features == width
    assert model.depthwise.feature_group_count == width
    assert model.depthwise.kernel.shape == model.depthwise.kernel_shape == (3, 3, 1, width)
    assert model.hidden.in_features == model.hidden.kernel.shape[0] == 16 * width
    tokens: Any = shaken(Tokens(nnx.Rngs(0)))
    spa.analyze(tokens, IDS).prune(ratio=0.4)
    for layer in tokens.layers:
        depth, att = layer.att.query.kernel.shape, layer.att
        assert (att.in_features, att.num_heads, att.head_dim) == depth
        assert att.query.out_features == depth[1:]
    assert tokens.embed.features == tokens.norm.num_features == tokens.embed.embedding.shape[1]


def test_it_trains_after_a_prune() -> None:
    model: Any = Convs(nnx.Rngs(0))
    session = spa.analyze(model, IMAGES)
    session.prune(ratio=0.4)
    model.train()
    targets = jnp.zeros((2,), jnp.int32)

    def loss(model: Any) -> Any:
        return -jax.nn.log_softmax(model(IMAGES))[jnp.arange(2), targets].mean()

    @nnx.jit
    def step(model: Any) -> Any:
        value, gradients = nnx.value_and_grad(loss)(model)
        held = nnx.state(model, nnx.Param)
        nnx.update(model, jax.tree.map(lambda p, g: p - 0.01 * g, held, gradients))
        return value

    before = np.asarray(model.conv.kernel[...])
    first, second = step(model), step(model)
    assert np.isfinite([first, second]).all()
    assert not np.array_equal(before, np.asarray(model.conv.kernel[...]))
    # What training changed since is not lost by going back and forth.
    trained = arrays(model)
    session.undo()
    assert model.conv.kernel.shape[-1] == 12
    session.redo()
    assert all(np.array_equal(trained[n], a) for n, a in arrays(model).items() if "rngs" not in n)


def test_train_mode_stays() -> None:
    model: Any = Convs(nnx.Rngs(0))
    model.train()
    session = spa.analyze(model, IMAGES)
    session.prune(ratio=0.2)
    assert not model.bn.use_running_average
    assert not model.drop.deterministic


def test_a_prune_that_is_wrong_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = shaken(Convs(nnx.Rngs(0)))
    session, before = spa.analyze(model, IMAGES), arrays(model)
    plan = session.plan(ratio=0.3)
    cut = Surgery.cut

    def careless(self: Any) -> None:
        cut(self)
        variable = self.model.variables["block.b.kernel"]
        variable.set_raw_value(variable.get_raw_value() * 1.001)

    monkeypatch.setattr(Surgery, "cut", careless)
    with pytest.raises(Failed):
        session.prune(plan)
    assert all(arrays(model)[n] is before[n] for n in before)
    assert model.depthwise.feature_group_count == 12


KEPT_EXACTLY: dict[str, Any] = {
    name: getattr(jax.nn, name)
    for name in "relu gelu silu elu selu celu relu6 hard_swish leaky_relu soft_sign mish".split()
} | {
    "tanh": jnp.tanh,
    "exp": jnp.exp,
    "number added": lambda x: x + 1,
    "slice": lambda x: x[:, None, :][:, 0],
    "concatenated": lambda x: jnp.concatenate([x, x * 2], -1),
    "split": lambda x: jnp.multiply(*jnp.split(x, 2, -1)),
    "transposed": lambda x: jnp.swapaxes(x.T, 0, 1),
    "sum": lambda x: x * (x**2).sum(-1, keepdims=True),
    "checkpoint": jax.checkpoint(lambda x: jax.nn.relu(x) * 2),
    "jit": jax.jit(lambda x: x * jnp.tanh(x)),
    "vmap": jax.vmap(lambda row: row * jnp.exp(-row)),
    "every other": lambda x: x.reshape(x.shape[0], -1, 2)[..., 0],
    "expanded": lambda x: x * jnp.ones(x.shape),
    "flipped twice": lambda x: x[:, jnp.newaxis][..., 0, :],
}
WIDTHS = {"concatenated": 24, "split": 6, "every other": 6}


@pytest.mark.parametrize("name", KEPT_EXACTLY)
def test_functions_that_let_channels_go(name: str) -> None:
    model: Any = shaken(Two(KEPT_EXACTLY[name], nnx.Rngs(0), inner=WIDTHS.get(name, 12)))
    x = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)
    session = spa.analyze(model, x)
    plan = session.plan(ratio=0.5)
    expected = masked_output(model, session, plan, x)
    session.prune(plan)
    assert model.a.kernel.shape[1] < 12
    assert np.abs(output(model, x) - expected).max() <= 1e-5 * expected.std()


FROZEN: dict[str, Any] = {
    "softmax": jax.nn.softmax,
    "sort": lambda x: jnp.sort(x, axis=-1),
    "cumsum": lambda x: jnp.cumsum(x, axis=-1),
    "written-out norm": lambda x: (x - x.mean(-1, keepdims=True)) / (1 + x.std(-1, keepdims=True)),
    "maximum": lambda x: x - x.max(-1, keepdims=True),
    "positions": lambda x: x * jnp.arange(12.0),
    "number added and summed": lambda x: x * (x + 1).sum(-1, keepdims=True),
    "exponential summed": lambda x: x * jnp.exp(x).sum(-1, keepdims=True),
    "written slice": lambda x: jnp.concatenate([x[:, 5:], x[:, :5]], -1),
    "reversed": lambda x: x[:, ::-1],
    "scan": lambda x: jax.lax.scan(lambda c, row: (c, row * 2), 0.0, x)[1],
    "cond": lambda x: jax.lax.cond(x.sum() > 0, lambda y: y, lambda y: 2 * y, x),
    "padded": lambda x: jnp.pad(x, ((0, 0), (1, 0)))[:, :-1],
}


def test_a_group_norm_loses_whole_groups() -> None:
    norm = nnx.GroupNorm(12, num_groups=6, rngs=nnx.Rngs(0))
    model: Any = shaken(Two(norm, nnx.Rngs(0)))
    x = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)
    session = spa.analyze(model, x)
    plan = session.plan(ratio=0.5)
    expected = masked_output(model, session, plan, x)
    session.prune(plan)
    assert (norm.num_groups, norm.group_size) == (3, 2)
    assert np.abs(output(model, x) - expected).max() <= 1e-5 * expected.std()


@pytest.mark.parametrize("name", FROZEN)
def test_functions_that_hold_channels_say_why(name: str) -> None:
    model = shaken(Two(FROZEN[name], nnx.Rngs(0)))
    session = spa.analyze(model, (3, 6))
    assert not any(g.prunable for g in session.groups)
    reason = next(g.reason for g in session.groups if ("a.kernel", 1) in g.members)
    assert reason
    with pytest.raises(SpaError):
        session.prune(ratio=0.5)


def test_a_size_in_the_code_is_found_when_a_prune_is_tried() -> None:
    model: Any = shaken(Attention(nnx.Rngs(0)))
    session = spa.analyze(model, (2, 6, 8))
    report = session.prune(ratio=0.3)
    assert model.heads == 4
    assert any("could not follow" in note for note in report.notes)
    assert model.q.kernel.shape[1] % 4 == 0


def test_what_is_refused_says_what_to_do() -> None:
    model: Any = shaken(Convs(nnx.Rngs(0)))
    with pytest.raises(CaptureError, match="pass inputs="):
        spa.analyze(model)
    with pytest.raises(CaptureError, match="cannot be traced"):
        spa.analyze(model, (2, 8, 8, 5))
    session = spa.analyze(model, IMAGES)
    with pytest.raises(DataNeeded, match="targets"):
        session.prune(ratio=0.2, criterion="taylor", data=[(IMAGES, None)], loss=lambda o, t: o)
    with pytest.raises(InfeasibleTarget, match="optimizer anew"):
        session.prune(ratio=0.2, optimizer=object())
    model.head = nnx.Linear(20, 4, rngs=nnx.Rngs(1))
    with pytest.raises(StaleSession):
        session.prune(ratio=0.2)


def test_saved_and_loaded(tmp_path: Any) -> None:
    model: Any = shaken(Convs(nnx.Rngs(0)))
    session = spa.analyze(model, IMAGES)
    session.prune(ratio=0.3)
    session.save(tmp_path / "session.spa")
    other: Any = shaken(Convs(nnx.Rngs(5)), 3)
    spa.load(tmp_path / "session.spa", other)
    assert np.array_equal(output(other, IMAGES), output(model, IMAGES))


def test_shared_weights_are_cut_once() -> None:
    class Tied(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.embed = nnx.Embed(30, 16, rngs=rngs)
            self.inner = nnx.Linear(16, 16, rngs=rngs)

        def __call__(self, tokens: Any) -> Any:
            return self.embed.attend(jnp.tanh(self.inner(self.embed(tokens))))

    model: Any = Tied(nnx.Rngs(0))
    session = spa.analyze(model, IDS)
    session.prune(ratio=0.5)
    assert model.embed.embedding.shape == (30, 8)
    assert model.inner.kernel.shape == (8, 8)
