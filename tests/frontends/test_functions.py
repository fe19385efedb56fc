"""Pure functions of their parameters in JAX: ``(apply, params)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import freeze
from jax_masked import differs, masked_params

import spa_kernel as spa
from spa_kernel.errors import CaptureError, StaleSession
from spa_kernel.frontends import is_pair
from spa_kernel.frontends.jax.functions import Functional

jax.config.update("jax_disable_most_optimizations", True)
RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((3, 6)).astype(np.float32)
IMAGES = RNG.standard_normal((2, 8, 8, 3)).astype(np.float32)


def drawn(*shape: int) -> Any:
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


def linear(wide: int, out: int) -> dict[str, Any]:
    return {"w": drawn(wide, out), "b": drawn(out)}


def dense(p: Any, x: Any) -> Any:
    return x @ p["w"] + p["b"]


def mlp(params: Any, x: Any) -> Any:
    *hidden, last = params["layers"]
    for layer in hidden:
        x = jax.nn.relu(dense(layer, x))
    return dense(last, x) * params["gain"]


def mlp_params() -> dict[str, Any]:
    layers = [linear(6, 12), linear(12, 10), linear(10, 3)]
    return {"layers": layers, "gain": 2.0, "steps": np.int32(3)}


def conv(x: Any, kernel: Any) -> Any:
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def residual(params: Any, x: Any) -> Any:
    """A residual network with a written-out BatchNorm, names as in haiku."""
    x = conv(x, params["net/~/stem"]["w"])
    norm = params["net/~/norm"]
    y = (x - norm["mean"]) / jnp.sqrt(norm["var"] + 1e-5) * norm["scale"] + norm["offset"]
    x = x + conv(jax.nn.relu(y), params["net/~/conv"]["w"])
    return dense(params["net/~/head"], jax.nn.silu(x).sum((1, 2)))


def residual_params() -> dict[str, Any]:
    norm = {"mean": drawn(8), "var": drawn(8) ** 2, "scale": drawn(8), "offset": drawn(8)}
    return {
        "net/~/stem": {"w": drawn(3, 3, 3, 8)},
        "net/~/norm": norm,
        "net/~/conv": {"w": drawn(3, 3, 8, 8)},
        "net/~/head": linear(8, 5),
    }


def attention(params: Any, x: Any) -> Any:
    q, k, v = (jnp.einsum("bld,dhe->blhe", x, params[n]) for n in "qkv")
    weights = jax.nn.softmax(jnp.einsum("blhe,bkhe->bhlk", q, k) / np.sqrt(q.shape[-1]))
    mixed = jnp.einsum("bhlk,bkhe->blhe", weights, v)
    return jnp.einsum("blhe,hed->bld", mixed, params["out"]) @ params["head"]


NETWORKS: dict[str, Any] = {
    "mlp": (mlp, mlp_params(), ROWS),
    "frozen": (jax.jit(mlp), freeze(mlp_params()), ROWS),
    "residual": (residual, residual_params(), IMAGES),
    "attention": (
        attention,
        {**{n: drawn(6, 4, 8) for n in "qkv"}, "out": drawn(4, 8, 10), "head": drawn(10, 3)},
        RNG.standard_normal((2, 5, 6)).astype(np.float32),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_verified_and_brought_back(name: str) -> None:
    apply, params, x = NETWORKS[name]
    before = jax.tree.leaves(params)
    shapes = jax.tree.map(np.shape, params)
    session = spa.analyze((apply, params), x)
    plan = session.plan(ratio=0.4)
    expected = jax.jit(apply)(masked_params(session, plan), x)
    report = session.prune(plan)
    assert report.verification.ok
    assert report.verification.error is not None
    assert jax.tree.map(np.shape, params) == shapes
    assert jax.tree.map(np.shape, session.model.params) != shapes
    fitting, pruned = session.model
    assert differs(jax.jit(fitting)(pruned, x), expected) < 2e-5
    assert differs(jax.jit(apply)(pruned, x), expected) < 2e-5
    session.undo()
    assert all(a is b for a, b in zip(before, jax.tree.leaves(session.model.params), strict=True))
    session.redo()
    assert jax.tree.map(np.shape, session.model.params) == jax.tree.map(np.shape, pruned)


def test_what_is_not_an_array_stays_as_it_is() -> None:
    session = spa.analyze((mlp, mlp_params()), ROWS)
    session.prune(ratio=0.4)
    assert session.model.params["gain"] == 2.0
    assert isinstance(session.model.params["gain"], float)
    assert session.model.params["steps"] == 3


def test_classes_of_parameters_and_arrays_of_numpy() -> None:
    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Params:
        first: Any
        second: Any

    params = Params(RNG.standard_normal((6, 12)), RNG.standard_normal((12, 3)))
    model = Functional(lambda p, x: jnp.tanh(x @ p.first) @ p.second, params)
    session = spa.analyze(model, ROWS)
    assert session.model is model
    session.prune(ratio=0.5)
    assert isinstance(model.params, Params)
    assert isinstance(model.params.first, np.ndarray)
    assert (model.params.first.shape, model.params.first.dtype) == ((6, 6), np.float64)
    assert params.first.shape == (6, 12)
    assert {name for g in session.groups for name, _ in g.members} == {"first", "second"}


def test_it_trains_after_a_prune() -> None:
    params = {"layers": mlp_params()["layers"], "gain": jnp.float32(2)}
    session = spa.analyze((mlp, params), ROWS)
    session.prune(ratio=0.4)
    apply, pruned = session.model

    @jax.jit
    def step(params: Any) -> Any:
        value, slope = jax.value_and_grad(lambda p: (apply(p, ROWS) ** 2).mean())(params)
        return value, jax.tree.map(lambda p, g: p - 1e-5 * g, params, slope)

    first, pruned = step(pruned)
    second, pruned = step(pruned)
    assert second < first
    session.model.params = pruned
    session.prune(ratio=0.2)
    assert session.history.position == 2


def test_a_size_in_the_code_is_found_when_a_prune_is_tried() -> None:
    def apply(params: Any, x: Any) -> Any:
        x = dense(params["a"], x).reshape(x.shape[0], 4, 3)
        return dense(params["c"], jax.nn.relu(dense(params["b"], x))).sum(1)

    params = {"a": linear(6, 12), "b": linear(3, 8), "c": linear(8, 5)}
    session = spa.analyze((apply, params), ROWS)
    report = session.prune(ratio=0.5)
    assert any("could not follow" in note for note in report.notes)
    assert session.model.params["a"]["w"].shape == (6, 12)
    assert session.model.params["b"]["w"].shape == (3, 4)


def test_what_holds_channels_is_named() -> None:
    def apply(params: Any, x: Any) -> Any:
        x = dense(params["a"], x)
        x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return dense(params["b"], x)

    session = spa.analyze((apply, {"a": linear(6, 12), "b": linear(12, 5)}), ROWS)
    assert not any(g.prunable for g in session.groups)
    assert all(f.reason for f in session.frozen)


def test_saved_and_loaded(tmp_path: Any) -> None:
    session = spa.analyze((residual, residual_params()), IMAGES)
    session.prune(ratio=0.3)
    session.save(tmp_path / "session.spa")
    again = spa.load(tmp_path / "session.spa", (residual, residual_params()))
    assert jax.tree.all(jax.tree.map(np.array_equal, again.model.params, session.model.params))


def test_pairs_are_told_from_other_tuples() -> None:
    params = mlp_params()
    assert is_pair((mlp, params))
    for other in [(mlp,), (mlp, 3), (params, mlp), [mlp, params], (mlp, ROWS), (1, 2), (mlp, {})]:
        assert not is_pair(other)
        with pytest.raises(CaptureError, match="is not a model"):
            spa.analyze(other, ROWS)
    with pytest.raises(CaptureError, match="has no parameters"):
        spa.analyze((mlp, {"steps": np.int32(3)}), ROWS)


def test_changes_from_outside_are_noticed() -> None:
    session = spa.analyze((mlp, mlp_params()), ROWS)
    session.model.params = {**session.model.params, "layers": [linear(6, 12), linear(12, 3)]}
    with pytest.raises(StaleSession):
        session.prune(ratio=0.3)


@pytest.mark.parametrize("axis", [1, 2])
def test_channels_go_through_tensors_that_are_stacked_and_parted(axis: int) -> None:
    params = {name: linear(6 if name in "ab" else 8, 8) for name in "abc"} | {"last": linear(8, 3)}

    def apply(p: Any, x: Any) -> Any:
        y = jnp.stack([dense(p["a"], x), jax.nn.relu(dense(p["b"], x))], axis)
        y = jnp.flip(y if axis == 1 else jnp.swapaxes(y, 1, 2), 1)
        first, second = jnp.unstack(dense(p["c"], y), axis=1)
        return dense(p["last"], first * second)

    session = spa.analyze((apply, params), ROWS)
    assert [group.size for group in session.groups if group.prunable] == [8, 8]
    assert session.prune(criterion="random", ratio=0.4).verification.ok


@pytest.mark.parametrize("jitted", [False, True])
def test_a_call_that_returns_nothing_freezes_what_it_sees(jitted: bool) -> None:
    def told(x: Any) -> None:
        jax.debug.callback(lambda _: None, x)

    watch = jax.jit(told) if jitted else told

    def apply(params: Any, x: Any) -> Any:
        seen = jax.nn.relu(dense(params[0], x))
        watch(seen)
        return dense(params[2], jax.nn.relu(dense(params[1], seen)))

    params = [linear(6, 12), linear(12, 10), linear(10, 3)]
    session = spa.analyze((apply, params), ROWS)
    assert any("debug_callback" in frozen.reason for frozen in session.frozen)
    assert session.prune(ratio=0.4).verification.ok
