"""Flax Linen modules with their variables: pruned exactly, whatever sizes are written in them."""

from __future__ import annotations

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import jax_networks
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.core import freeze
from jax_masked import differs, masked_params
from linen_networks import Attention, Convs, Depthwise, Ensemble, Mlp, Tied, Vit, made

import spa_kernel as spa
from spa_kernel.errors import CaptureError, InfeasibleTarget, SpaError, StaleSession
from spa_kernel.frontends.jax.linen import Linen

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((2, 8, 8, 3)).astype(np.float32)
ROWS = RNG.standard_normal((3, 6)).astype(np.float32)
IDS = RNG.integers(0, 30, (2, 6)).astype(np.int32)
NETWORKS: dict[str, tuple[nn.Module, Any]] = {
    "mlp": (Mlp(), ROWS),
    "convs": (Convs(), IMAGES),
    "vit": (Vit(), IMAGES),
    "rms": (Vit(norm=nn.RMSNorm), IMAGES),
    "depthwise": (Depthwise(), IMAGES),
    "tied": (Tied(), IDS),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_verified_and_brought_back(name: str) -> None:
    module, x = NETWORKS[name]
    variables = made(module, x)
    before, content = jax.tree.leaves(variables), jax.tree.map(np.array, variables)
    session = spa.analyze((module, variables), x)
    assert session.name == type(module).__name__
    plan = session.plan(ratio=0.4)
    expected = jax.jit(module.apply)(masked_params(session, plan), x)
    report = session.prune(plan)
    assert report.verification.ok
    assert report.verification.error is not None
    apply, pruned = session.model
    assert all(a is b for a, b in zip(before, jax.tree.leaves(variables), strict=True))
    assert sum(a.size for a in jax.tree.leaves(pruned)) < sum(a.size for a in before)
    assert jax.tree.structure(pruned) == jax.tree.structure(variables)
    if name not in ("vit", "rms"):  # Norms over pruned axes are set aside.
        assert differs(jax.jit(apply)(pruned, x), expected) < 1e-5
    session.undo()
    now = jax.tree.leaves(session.model.params)
    assert all(a is b for a, b in zip(before, now, strict=True))
    assert jax.tree.all(jax.tree.map(np.array_equal, content, session.model.params))
    session.redo()
    shapes = [jax.tree.map(np.shape, tree) for tree in (pruned, session.model.params)]
    assert shapes[0] == shapes[1]


def test_stacked_layers_lose_the_same_channels() -> None:
    module = Ensemble()
    variables = made(module, ROWS)
    session = spa.analyze((module, variables), ROWS)
    # How many members there are is written in the code: they are tried, and stay.
    plan = session.prune(ratio=0.4).plan
    apply, pruned = session.model
    assert {leaf.shape[0] for leaf in jax.tree.leaves(pruned["params"]["VmapMember_0"])} == {4}
    assert pruned["params"]["VmapMember_0"]["Dense_0"]["kernel"].shape[2] < 12
    session.undo()
    expected = module.apply(masked_params(session, plan), ROWS)
    # A norm under `vmap` holds the channels that it is over.
    assert differs(apply(pruned, ROWS), expected) < 1e-5


def test_the_same_network_in_nnx_has_the_same_groups_and_scores() -> None:
    module, model = Convs(), jax_networks.shaken(jax_networks.Convs(nnx.Rngs(0)))
    variables = made(module, IMAGES)
    nodes = {".".join(map(str, path)): node for path, node in nnx.iter_graph(model)}
    ours = spa.analyze((module, variables), IMAGES)
    arrays = ours.backend.named.arrays()
    for name, array in arrays.items():
        nodes[name].set_raw_value(array)
    theirs = spa.analyze(model, IMAGES)
    assert [(g.id, g.size, g.members) for g in ours.groups] == [
        (g.id, g.size, g.members) for g in theirs.groups
    ]
    assert ours.cost == theirs.cost
    for criterion in ("l1", "l2", "lamp", "bn_scale", "fpgm"):
        left, right = ours.importance(criterion), theirs.importance(criterion)
        assert left.keys() == right.keys()
        assert all(np.array_equal(left[key], right[key]) for key in left)
    ours.prune(ratio=0.4)
    theirs.prune(ratio=0.4)
    found, expected = jax.jit(ours.model)(IMAGES), nnx.jit(lambda m, x: m(x))(model, IMAGES)
    assert differs(found, expected) < 1e-5


def test_it_trains_after_a_prune() -> None:
    module = Convs()
    session = spa.analyze((module, made(module, IMAGES)), IMAGES)
    session.prune(ratio=0.4)
    apply, variables = session.model

    def loss(params: Any, statistics: Any) -> Any:
        out, changed = apply(
            {"params": params, **statistics}, IMAGES, train=True, mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )  # fmt: skip
        return (out**2).mean(), changed

    @jax.jit
    def step(params: Any, statistics: Any) -> Any:
        (value, changed), slope = jax.value_and_grad(loss, has_aux=True)(params, statistics)
        return value, jax.tree.map(lambda p, g: p - 0.01 * g, params, slope), changed

    statistics = {"batch_stats": variables["batch_stats"]}
    first, params, statistics = step(variables["params"], statistics)
    second, params, statistics = step(params, statistics)
    assert second < first
    trained = {"params": params, **statistics}
    session.model.params = trained
    # What training changed since is not lost by going back and forth.
    session.undo()
    session.redo()
    assert jax.tree.all(jax.tree.map(np.array_equal, trained, session.model.params))
    session.prune(ratio=0.2)


@pytest.mark.slow
def test_it_runs_under_transformations() -> None:
    module = Mlp()
    session = spa.analyze((module, made(module, ROWS)), ROWS)
    session.prune(ratio=0.4)
    rows = jax.jit(jax.vmap(session.model))(ROWS)
    assert differs(rows, session.model(ROWS)) < 1e-5
    slopes = jax.jacrev(lambda params: session.model.apply(params, ROWS))(session.model.params)
    kernel = session.model.params["params"]["layers_0"]["kernel"]
    assert slopes["params"]["layers_0"]["kernel"].shape == (3, 4, *kernel.shape)


def test_however_the_module_is_called() -> None:
    module = Mlp()
    variables = made(module, ROWS)
    shapes = []
    for apply, params in (
        (module, variables),
        (module.apply, variables),
        (lambda params, x: module.apply({"params": params}, x), variables["params"]),
        (lambda params, x: module.apply({"params": params}, x), freeze(variables["params"])),
    ):
        session = spa.analyze((apply, params), ROWS)
        session.prune(ratio=0.4)
        assert session.groups[0].name == "layers_0"
        shapes.append([a.shape for a in jax.tree.leaves(session.model.params)])
        assert session.model(ROWS).shape == (3, 4)
    assert all(found == shapes[0] for found in shapes)


def test_a_switch_of_the_forward() -> None:
    module = Convs()
    session = spa.analyze((module, made(module, IMAGES)), (IMAGES, {"train": False}))
    report = session.prune(ratio=0.3)
    assert report.verification.ok
    # An evaluation cannot write statistics.
    with pytest.raises(CaptureError, match="cannot be traced"):
        spa.analyze((module, made(module, IMAGES)), {"x": IMAGES, "train": True})


def test_sizes_in_the_code_are_found_when_a_prune_is_tried() -> None:
    module, x = Attention(), np.ones((2, 6, 8), np.float32)
    session = spa.analyze((module, made(module, x)), x)
    report = session.prune(ratio=0.5)
    assert any("could not follow" in note for note in report.notes)
    assert session.model.params["params"]["Dense_0"]["kernel"].shape[1] % 4 == 0

    class Rigid(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.Dense(12)(x).reshape(x.shape[0], 3, 4)
            return nn.Dense(5)(nn.relu(nn.Dense(8)(x)).reshape(x.shape[0], -1))

    session = spa.analyze((Rigid(), made(Rigid(), ROWS)), ROWS)
    session.prune(ratio=0.3)
    shapes = jax.tree.map(np.shape, session.model.params["params"])
    assert shapes["Dense_0"]["kernel"] == (6, 12)
    assert shapes["Dense_2"]["kernel"][1] < 8


def test_transformed_layers() -> None:
    class Lifted(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.relu(nn.remat(nn.Dense)(12)(x))
            x = nn.jit(nn.Dense)(10)(x)
            return nn.Dense(3, param_dtype=jnp.bfloat16)(nn.relu(x))

    session = spa.analyze((Lifted(), made(Lifted(), ROWS)), ROWS)
    plan = session.plan(ratio=0.5)
    expected = jax.jit(Lifted().apply)(masked_params(session, plan), ROWS)
    session.prune(plan)
    assert differs(session.model(ROWS), expected) < 1e-5


def test_what_lifted_axes_hold_stays() -> None:
    class Stacked(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            layer = nn.scan(
                lambda layer, x, _: (jnp.tanh(layer(x)), None),
                variable_axes={"params": 0}, split_rngs={"params": True}, length=3,
            )  # fmt: skip
            x, _ = layer(nn.Dense(8, name="layers"), nn.Dense(8)(x), None)
            return nn.Dense(3)(nn.relu(nn.Dense(12)(x)))

    session = spa.analyze((Stacked(), made(Stacked(), ROWS)), ROWS)
    assert any("scan" in f.reason for f in session.frozen)
    assert session.prune(ratio=0.5).verification.ok
    shapes = jax.tree.map(np.shape, session.model.params["params"])
    assert shapes["layers"]["kernel"] == (3, 8, 8)
    assert shapes["Dense_2"]["kernel"] == (8, 6)


def test_a_recurrent_layer_stays() -> None:
    class Recurrent(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.RNN(nn.LSTMCell(8))(x)
            return nn.Dense(3, name="head")(nn.relu(nn.Dense(12)(x)))

    x = RNG.standard_normal((2, 5, 6)).astype(np.float32)
    session = spa.analyze((Recurrent(), made(Recurrent(), x)), x)
    # Its first state is in float32 whatever the weights are: so is the comparison.
    report = session.prune(ratio=0.5)
    assert "own precision" in report.verification.how
    assert session.model.params["params"]["head"]["kernel"].shape == (6, 3)


def test_norms_under_vmap() -> None:
    class Rows(nn.Module):
        norm: Any

        @nn.compact
        def __call__(self, x: Any) -> Any:
            return nn.Dense(3)(self.norm(nn.Dense(12)(x)))

    for norm in (nn.LayerNorm(), nn.BatchNorm(use_running_average=True)):
        module = Rows(norm)
        variables = made(module, ROWS[0])
        apply = jax.vmap(module.apply, in_axes=(None, 0))
        session = spa.analyze((apply, variables), ROWS)
        # Each row's norm is written out here: one over channels lets none go.
        prunable = any(g.prunable for g in session.groups)
        assert prunable == isinstance(norm, nn.BatchNorm)


def test_saved_loaded_and_pickled(tmp_path: Any) -> None:
    module = Depthwise()
    session = spa.analyze((module, made(module, IMAGES)), IMAGES)
    session.prune(ratio=0.4)
    expected = jax.jit(session.model.apply)(session.model.params, IMAGES)
    session.save(tmp_path / "session.spa")
    again = spa.load(tmp_path / "session.spa", (module, made(module, IMAGES, seed=3)))
    # The group norm's sizes travel with it.
    copied = pickle.loads(pickle.dumps(session.model))
    assert isinstance(copied, Linen)
    for apply, params in (again.model, copied):
        assert np.array_equal(jax.jit(apply)(params, IMAGES), expected)


def test_what_is_refused_says_what_to_do() -> None:
    module = Mlp()
    variables = made(module, ROWS)
    with pytest.raises(CaptureError, match=r"pass \(module, variables\)"):
        spa.analyze(module, ROWS)
    with pytest.raises(CaptureError, match="returns them"):
        spa.analyze((module, variables["params"]), ROWS)
    with pytest.raises(CaptureError, match="pass inputs="):
        spa.analyze((module, variables))
    with pytest.raises(CaptureError, match="is not a model"):
        spa.analyze((module, ROWS), ROWS)
    with pytest.raises(CaptureError, match="cannot be traced"):
        spa.analyze((module, variables), (3, 5))
    session = spa.analyze((module, variables), ROWS)
    with pytest.raises(InfeasibleTarget, match="optimizer anew"):
        session.prune(ratio=0.2, optimizer=object())
    held = session.model.params
    session.model.params = {"params": {**held["params"], "more": jnp.ones(3)}}
    with pytest.raises(StaleSession):
        session.prune(ratio=0.2)
    session.model.params = held
    with pytest.raises(SpaError):
        session.prune(ratio=0.2, groups="nothing")
    session.prune(ratio=0.2)
