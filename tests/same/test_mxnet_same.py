"""The same networks in torch and in Gluon."""

from __future__ import annotations

import in_gluon
import in_torch
import numpy as np
import pytest
from compared import compare, compare_with_data, networks, train_pruned
from described import NETWORKS, Weights

import spa_kernel as spa

FRAMEWORKS = in_torch, in_gluon
pytestmark = pytest.mark.mxnet


@pytest.mark.parametrize("name", networks("resnet18", "mobilenet_v2"))
def test_groups_scores_and_pruned_outputs_are_the_same(name):
    compare(FRAMEWORKS, name)


@pytest.mark.parametrize("name", ["small", pytest.param("densenet", marks=pytest.mark.slow)])
def test_criteria_of_data_and_obspa_are_the_same(name):
    compare_with_data(FRAMEWORKS, name)


@pytest.mark.slow
def test_what_was_pruned_trains():
    (before, after), _ = train_pruned(in_gluon, "small")
    assert after < 0.9 * before


def test_heads_in_the_code_stay_and_the_rest_goes():
    """Together with all other groups the few heads lose nothing on trial."""
    describe, shape = NETWORKS["vit"]
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype("f4")
    session = spa.analyze(in_gluon.net(describe, Weights(), shape), in_gluon.batch(x))
    report = session.prune(criterion="l2", ratio=0.5)
    assert report.verification.ok
    assert any("could not follow" in note for note in report.notes)
