"""One network in several frameworks: the same groups, scores and pruned outputs."""

from __future__ import annotations

import in_flax
import in_keras
import in_torch
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from described import NETWORKS, Weights

import spa_kernel as spa

MAKERS = {"torch": in_torch.Net, "keras": in_keras.net, "jax": in_flax.Net}
CRITERIA = "l1", "l2", "fpgm", "bn_scale", "lamp"


def batch(framework, x):
    """Pictures as a framework takes them."""
    if framework == "torch":
        return torch.from_numpy(x)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return jnp.asarray(last) if framework == "jax" else last


def outputs(framework, model, x):
    x = batch(framework, x)
    if framework == "keras":
        return model.predict(x, verbose=0)
    with torch.no_grad():
        return np.asarray(model.eval()(x) if framework == "torch" else model(x))


def role(framework, name, axis, rank):
    """Layer, and which of its channels an axis of a weight stands for."""
    layer, part = name.replace("/", ".").rsplit(".", 1)
    last = 0 if framework == "torch" else rank - 1
    inner = 1 if framework == "torch" else rank - 2
    # Keras stores the kernels of a depthwise convolution as (..., channels, 1).
    deep = layer.endswith("_deep") or layer == "positions"
    if rank < 2 or axis == last or (deep and axis == inner):
        return layer, "out"
    assert axis == inner, (name, axis, part)
    return layer, "in"


CODED = "is written in the code"
"""Of sizes that could be smaller but for the code, which torch sees before a prune is tried."""


def groups(framework, session):
    """What can be pruned, as far as weights go: the group of each set of axes."""
    ranks = {name: value.ndim for name, value in session.analysis.graph.stored.items()}
    return {
        frozenset(role(framework, n, a, ranks[n]) for n, a in group.members): group
        for group in session.groups
        if group.prunable or CODED in group.reason
    }


LARGE = "resnet18", "mobilenet_v2", "densenet"


@pytest.fixture(
    params=[pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in NETWORKS]
)
def same(request):
    describe, shape = NETWORKS[request.param]
    weights, x = Weights(), np.random.default_rng(1).standard_normal((2, *shape)).astype("f4")
    models = {name: make(describe, weights, shape) for name, make in MAKERS.items()}
    sessions = {name: spa.analyze(m, batch(name, x)) for name, m in models.items()}
    return models, sessions, x


def test_groups_scores_and_pruned_outputs_are_the_same(same):
    models, sessions, x = same
    found = {name: groups(name, session) for name, session in sessions.items()}
    first = found["torch"]
    for name, other in found.items():
        assert sessions[name].cost == sessions["torch"].cost
        assert {k: g.size for k, g in other.items()} == {k: g.size for k, g in first.items()}
    for criterion in CRITERIA:
        scores = {name: session.importance(criterion) for name, session in sessions.items()}
        for key, group in first.items():
            scored = {name: scores[name].get(other[key].id) for name, other in found.items()}
            if not group.prunable or all(theirs is None for theirs in scored.values()):
                continue
            mine = scored["torch"]
            for theirs in scored.values():
                np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5, err_msg=criterion)
    for name, session in sessions.items():
        # The config of a layer of Keras can be given fewer heads, where code cannot.
        coded = [found[name][key].id for key, group in first.items() if not group.prunable]
        session.prune(criterion="l2", flops=1.5, exclude=coded)
    mine = outputs("torch", models["torch"], x)
    for name, session in sessions.items():
        assert session.cost == sessions["torch"].cost
        theirs = outputs(name, session.model, x)
        np.testing.assert_allclose(theirs, mine, atol=1e-4 * mine.std())


@pytest.mark.parametrize("name", ["small", pytest.param("densenet", marks=pytest.mark.slow)])
def test_criteria_of_data_and_obspa_are_the_same(name):
    describe, shape = NETWORKS[name]
    x = np.random.default_rng(2).standard_normal((32, *shape)).astype("f4")
    targets = torch.from_numpy(np.random.default_rng(3).integers(0, 10, 32))
    scores, ends = {}, {}
    for framework, make in MAKERS.items():
        model = make(describe, Weights(), shape)
        session = spa.analyze(model, batch(framework, x[:2]))
        found = groups(framework, session)
        parts = [batch(framework, part) for part in np.split(x, 4)]
        labelled = list(zip(parts, torch.split(targets, 8), strict=True))
        for criterion in ("taylor", "snip", "obd", "grasp", "wanda", "apoz", "hrank"):
            given = session.importance(
                criterion, data=labelled, loss=torch.nn.functional.cross_entropy
            )
            for key, group in found.items():
                scores.setdefault((criterion, key), {})[framework] = given.get(group.id)
        session.prune(criterion="obspa", flops=1.3, data=parts)
        ends[framework] = session.cost, outputs(framework, session.model, x[:8])
    for (criterion, _), each in scores.items():
        for other in each.values():
            if each["torch"] is None:
                assert other is None
            else:
                np.testing.assert_allclose(
                    other, each["torch"], rtol=2e-3, atol=1e-4, err_msg=criterion
                )
    cost, mine = ends["torch"]
    for other, theirs in ends.values():
        assert other == cost
        np.testing.assert_allclose(theirs, mine, atol=0.02 * mine.std())
