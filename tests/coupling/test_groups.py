"""Groups: channels that touch the same axes in the same way, each in exactly one group."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

import spa_kernel as spa


def session(*layers: nn.Module, shape: tuple[int, ...] = (1, 3, 8, 8)) -> spa.Session:
    return spa.analyze(nn.Sequential(*layers), shape)


def block() -> spa.Session:
    return session(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3, groups=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(96, 10), nn.Linear(10, 4),
    )  # fmt: skip


def test_members_are_every_axis_that_loses_indices() -> None:
    groups = {g.name: g for g in block().groups if g.prunable and ("5.weight", 0) in g.members}
    (linear,) = groups.values()
    assert linear.size == 10
    assert sorted(linear.members) == [("5.bias", 0), ("5.weight", 0), ("6.weight", 1)]


@pytest.mark.parametrize("seed", range(4))
def test_removing_one_channel_cuts_its_members_and_nothing_else(seed: int) -> None:
    coupling = block().analysis.coupling
    group = [g for g in coupling.groups if g.prunable][seed % 2]
    removed = np.zeros(coupling.count, dtype=bool)
    removed[group.labels[seed % group.size]] = True
    cut = {
        (v.name, a)
        for v in coupling.graph.stored.values()
        for a in range(v.ndim)
        if not coupling.kept((v, a), removed).all()
    }
    assert cut == set(group.members)


def test_channels_of_a_group_are_alike() -> None:
    """Removing any one of them takes equally much from every axis."""
    coupling = block().analysis.coupling
    for group in coupling.groups:
        taken = set()
        for label in group.labels:
            removed = np.zeros(coupling.count, dtype=bool)
            removed[label] = True
            taken.add(
                tuple(
                    coupling.size((v, a), removed)
                    for v in coupling.graph.stored.values()
                    for a in range(v.ndim)
                )
            )
        assert len(taken) == 1, group


def test_every_label_is_in_one_group_and_frozen_ones_apart() -> None:
    coupling = block().analysis.coupling
    owners = Counter(int(n) for g in coupling.groups for n in g.labels)
    assert set(owners.values()) == {1}
    for group in coupling.groups:
        assert (coupling.frozen[group.labels] == (not group.prunable)).all()
        assert bool(group.reason) == (not group.prunable)


def test_ids_count_in_the_order_of_the_network() -> None:
    groups = block().groups
    assert [g.id for g in groups] == [f"g{i + 1}" for i in range(len(groups))]
    first = [int(g.members[0][0].split(".")[0]) for g in groups]
    assert first == sorted(first)


def test_classes_of_the_output_stay() -> None:
    (group,) = (g for g in block().groups if ("6.weight", 0) in g.members)
    assert not group.prunable
    assert "output of the network" in group.reason


def test_same_network_same_groups() -> None:
    """Nothing of the analysis depends on memory addresses or the order of a hash."""
    torch.manual_seed(0)
    a, b = block().groups, block().groups
    assert [(g.id, g.name, g.members, g.reason) for g in a] == [
        (g.id, g.name, g.members, g.reason) for g in b
    ]
    assert all(np.array_equal(x.labels, y.labels) for x, y in zip(a, b, strict=True))
