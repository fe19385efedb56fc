"""One network in several frameworks: what has to be the same."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pytest
import torch
from described import NETWORKS, Weights
from sklearn.datasets import load_digits

import spa_kernel as spa

CRITERIA = "l1", "l2", "fpgm", "bn_scale", "lamp"
CRITERIA_OF_DATA = "taylor", "snip", "obd", "grasp", "wanda", "apoz", "hrank"


def role(framework, name, axis, rank):
    """Layer, and which of its channels an axis of a weight stands for."""
    layer, part = name.replace("/", ".").rsplit(".", 1)
    outer, inner = (0, 1) if framework.CHANNELS_FIRST else (rank - 1, rank - 2)
    # Keras stores the kernels of a depthwise convolution as (..., channels, 1).
    deep = layer.endswith("_deep") or layer == "positions"
    if rank < 2 or axis == outer or (deep and axis == inner):
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


def contents(session):
    """The bits of all weights."""
    return {n: session.backend.array(n).tobytes() for n in session.analysis.graph.stored}


def networks(*slow):
    """The names of all networks, as a test's parameters."""
    return [pytest.param(n, marks=pytest.mark.slow) if n in slow else n for n in NETWORKS]


def compare(frameworks: Sequence[ModuleType], name: str) -> None:
    """Groups, costs, scores of weights, pruned outputs; the first framework is the measure."""
    describe, shape = NETWORKS[name]
    weights, x = Weights(), np.random.default_rng(1).standard_normal((2, *shape)).astype("f4")
    sessions = [
        spa.analyze(framework.net(describe, weights, shape), framework.batch(x))
        for framework in frameworks
    ]
    found = list(map(groups, frameworks, sessions))
    for other, session in zip(found, sessions, strict=True):
        assert session.cost == sessions[0].cost
        assert {k: g.size for k, g in other.items()} == {k: g.size for k, g in found[0].items()}
    for criterion in CRITERIA:
        scores = [session.importance(criterion) for session in sessions]
        for key, group in found[0].items():
            scored = [s.get(other[key].id) for s, other in zip(scores, found, strict=True)]
            if not group.prunable or all(theirs is None for theirs in scored):
                continue
            for theirs in scored:
                np.testing.assert_allclose(
                    theirs, scored[0], rtol=1e-4, atol=1e-5, err_msg=criterion
                )
    coded = [key for key, group in found[0].items() if not group.prunable]
    outputs = []
    for framework, session, own in zip(frameworks, sessions, found, strict=True):
        before, cost = contents(session), session.cost
        # The config of a layer of Keras can be given fewer heads, where code cannot.
        session.prune(criterion="l2", flops=1.5, exclude=[own[key].id for key in coded])
        outputs.append((session.cost, framework.outputs(session.model, x)))
        session.undo()
        assert session.cost == cost and contents(session) == before
    agree(outputs, 1e-4)


def compare_with_data(frameworks: Sequence[ModuleType], name: str) -> None:
    """Criteria of data and OBSPA; the first framework is the measure."""
    describe, shape = NETWORKS[name]
    x = np.random.default_rng(2).standard_normal((32, *shape)).astype("f4")
    targets = torch.from_numpy(np.random.default_rng(3).integers(0, 10, 32))
    scores, outputs = {}, []
    for framework in frameworks:
        model = framework.net(describe, Weights(), shape)
        session = spa.analyze(model, framework.batch(x[:2]))
        found = groups(framework, session)
        parts = [framework.batch(part) for part in np.split(x, 4)]
        labelled = list(zip(parts, torch.split(targets, 8), strict=True))
        for criterion in CRITERIA_OF_DATA:
            given = session.importance(
                criterion, data=labelled, loss=torch.nn.functional.cross_entropy
            )
            for key, group in found.items():
                scores.setdefault((criterion, key), []).append(given.get(group.id))
        session.prune(criterion="obspa", flops=1.3, data=parts)
        outputs.append((session.cost, framework.outputs(session.model, x[:8])))
    for (criterion, _), (mine, *others) in scores.items():
        for theirs in others:
            if mine is None:
                assert theirs is None
            else:
                np.testing.assert_allclose(theirs, mine, rtol=2e-3, atol=1e-4, err_msg=criterion)
    agree(outputs, 0.02)


def agree(ends, tolerance):
    """The same costs, and outputs that differ by a share of their deviation at most."""
    cost, mine = ends[0]
    for other, theirs in ends:
        assert other == cost
        np.testing.assert_allclose(theirs, mine, rtol=1e-7, atol=tolerance * mine.std())


def train_pruned(framework: ModuleType, name: str) -> tuple[list[float], list[float]]:
    """Prune a network and train it; losses and accuracies before and after.

    For two epochs: after one the statistics of norms may still lag behind.
    """
    describe, shape = NETWORKS[name]
    x, labels = digits(shape)
    session = spa.analyze(framework.net(describe, Weights(), shape), framework.batch(x[:2]))
    session.prune(criterion="l2", flops=1.5)
    outputs = [framework.outputs(session.model, x)]
    for _ in range(2):
        framework.train(session.model, x, labels)
    outputs.append(framework.outputs(session.model, x))
    losses, right = [], []
    for found in outputs:
        logits, targets = torch.tensor(found), torch.from_numpy(labels)
        losses.append(float(torch.nn.functional.cross_entropy(logits, targets)))
        right.append(float((logits.argmax(1) == targets).double().mean()))
    return losses, right


def digits(shape):
    """Scikit-learn's digits, enlarged and padded to a shape."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8).astype("f4") / 8 - 1
    factor = shape[-1] // 8
    images = images.repeat(factor, 2).repeat(factor, 3).repeat(shape[0], 1)
    pad = (shape[-1] - images.shape[-1]) // 2
    return np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad))), labels
