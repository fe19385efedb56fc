"""One network in several frameworks: the same groups, scores and pruned outputs."""

from __future__ import annotations

import in_flax
import in_keras
import in_onnx
import in_torch
import pytest
from compared import compare, compare_with_data, networks, train_pruned

FRAMEWORKS = in_torch, in_keras, in_flax


@pytest.mark.parametrize("name", networks("resnet18", "mobilenet_v2", "densenet"))
def test_groups_scores_and_pruned_outputs_are_the_same(name):
    compare((*FRAMEWORKS, in_onnx), name)


@pytest.mark.parametrize("name", ["small", pytest.param("densenet", marks=pytest.mark.slow)])
def test_criteria_of_data_and_obspa_are_the_same(name):
    compare_with_data((*FRAMEWORKS, in_onnx), name)


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda module: module.__name__)
def test_what_was_pruned_trains(framework):
    (before, after), _ = train_pruned(framework, "small")
    assert after < 0.9 * before
