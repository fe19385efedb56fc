"""Which channels take away a row or a column of a product: as a prune does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from all_structures import STRUCTURES, built
from reference import ordinary
from structures import Forward, conv
from torch import nn
from torch.nn import functional as F

import spa_kernel as spa
from spa_kernel.obspa.products import NONE, Product, column_labels, products, row_labels
from spa_kernel.obspa.reconstruct import in_turn
from spa_kernel.products.uses import matrix_of
from spa_kernel.products.ways import forth


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: t.detach().clone() for n, t in model.named_parameters()}


def matrix(product: Product, stored: dict[str, torch.Tensor]) -> torch.Tensor:
    used = forth(stored[product.way.parameter], product.way)
    return matrix_of(product.node, product.position, used)


def test_a_prune_takes_the_rows_and_columns_that_the_labels_say() -> None:
    seen = 0
    for name in STRUCTURES:
        model, inputs = built(name)
        session, before = spa.analyze(model, inputs), tensors(model)
        coupling = session.analysis.coupling
        plan = session.plan(criterion="random", flops=1.4, seed=1)
        removed = plan.mask(coupling)
        session.prune(plan, verify=False)
        after = tensors(model)

        def gone(labels: np.ndarray, removed: np.ndarray = removed) -> torch.Tensor:
            return torch.from_numpy((removed[labels] & (labels != NONE)).any(2))

        dense, pruned = (
            in_turn(products(graph)) for graph in (coupling.graph, session.analysis.graph)
        )
        assert dense.keys() == pruned.keys(), name
        for turn, product in dense.items():
            rows = gone(row_labels(product, coupling))
            columns = gone(column_labels(product, coupling))
            whole = matrix(product, before)
            wanted = torch.stack(
                [
                    block[~r][:, ~c]
                    for block, r, c in zip(whole, rows, columns, strict=True)
                    if not r.all()
                ]
            )
            found = matrix(pruned[turn], after)
            # Rows may be scaled, where the network divides by a size that is smaller now.
            factor = (wanted * found).sum(2, keepdim=True) / wanted.square().sum(2, keepdim=True)
            torch.testing.assert_close(found, factor * wanted, msg=f"{name} {turn}")
            seen += int(columns.any())
    assert seen > 50


def labels_of(model: nn.Module, inputs: Any, number: int) -> tuple[Any, np.ndarray]:
    coupling = spa.analyze(ordinary(model), inputs).analysis.coupling
    found = products(coupling.graph)
    return coupling, column_labels(found[number], coupling)


def test_a_channel_of_a_kernel_has_as_many_columns_as_its_area() -> None:
    coupling, labels = labels_of(nn.Sequential(conv(3, 5), nn.ReLU(), conv(5, 2)), (1, 3, 6, 6), 1)
    assert labels.shape[:2] == (1, 45)
    (group,) = [g for g in coupling.groups if g.prunable]
    assert labels[0, :, 0].tolist() == np.repeat(group.labels, 9).tolist()


def test_a_channel_that_is_flattened_has_as_many_columns_as_positions() -> None:
    model = nn.Sequential(conv(3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 2))
    coupling, labels = labels_of(model, (1, 3, 4, 4), 1)
    (group,) = [g for g in coupling.groups if g.prunable]
    assert labels[0, :, 0].tolist() == np.repeat(group.labels, 16).tolist()


def test_groups_lose_the_same_columns() -> None:
    model = nn.Sequential(conv(3, 6, 1), nn.ReLU(), conv(6, 4, 1, groups=2), nn.ReLU(), conv(4, 2))
    _, labels = labels_of(model, (1, 3, 4, 4), 1)
    assert labels.shape[:2] == (2, 3)
    assert (labels[0] == labels[1]).all()
    assert len(np.unique(labels[labels != NONE])) == 3


def test_a_depthwise_kernel_loses_nothing_but_whole_channels() -> None:
    """Its columns go with all of its rows, so nobody is left to make up for them."""
    model = nn.Sequential(conv(3, 6), nn.ReLU(), conv(6, 6, groups=6), nn.ReLU(), conv(6, 2))
    assert (labels_of(model, (1, 3, 4, 4), 1)[1] == NONE).all()
    assert (labels_of(model, (1, 3, 4, 4), 2)[1] != NONE).any()


def test_a_label_is_there_once_for_a_column() -> None:
    """Here two ways lead from each channel to its column."""

    def run(s: Any, x: Any) -> Any:
        x = torch.cat([s.first(x), s.second(x)], 1).relu()
        left, right = x.chunk(2, 1)
        return s.last(torch.cat([left + right, right], 1))

    model = Forward(run, first=conv(3, 4, 1), second=conv(3, 4, 1), last=conv(8, 2, 1))
    coupling = spa.analyze(ordinary(model), (1, 3, 4, 4)).analysis.coupling
    for product in products(coupling.graph):
        labels = column_labels(product, coupling)
        for column in labels.reshape(-1, labels.shape[-1]).tolist():
            named = [label for label in column if label != NONE]
            assert len(named) == len(set(named))


def test_columns_that_cannot_go_have_no_label() -> None:
    model = nn.Sequential(conv(3, 6), nn.ReLU(), conv(6, 2))
    assert (labels_of(model, (1, 3, 4, 4), 0)[1] == NONE).all()


def functional(forward: Callable[..., Any]) -> nn.Module:
    return Forward(
        forward, a=nn.Parameter(torch.randn(6, 6)), b=nn.Parameter(torch.randn(6, 6)),
        first=nn.Linear(4, 6), last=nn.Linear(6, 2),
    )  # fmt: skip


ALONE: dict[str, tuple[Callable[..., Any], dict[str, bool]]] = {
    "once": (lambda s, x: F.linear(x, s.a), {"a": True}),
    "transposed": (lambda s, x: x @ s.a, {"a": True}),
    "twice": (lambda s, x: F.linear(F.linear(x, s.a).relu(), s.a), {"a": False}),
    "parts that lie apart": (
        lambda s, x: torch.cat([F.linear(x, s.a[:3]), F.linear(x, s.a[3:])], -1),
        {"a": True},
    ),
    "parts that overlap": (
        lambda s, x: torch.cat([F.linear(x, s.a[:4]), F.linear(x, s.a[4:]) + x @ s.a[:2].t()], -1),
        {"a": False},
    ),
    "also added": (lambda s, x: F.linear(x, s.a) + s.a[0], {"a": False}),
    "in a sum of weights": (lambda s, x: F.linear(x, s.a + s.b), {}),
    "scaled": (lambda s, x: F.linear(x, s.a * 2), {}),
    "masked by another weight": (lambda s, x: F.linear(x, s.a * s.b.sigmoid()), {}),
    "of attention": (
        lambda s, x: (F.linear(x, s.a) @ F.linear(x, s.b).mT).softmax(-1) @ x,
        {"a": True, "b": True},
    ),
}


@pytest.mark.parametrize("form", [f for f in ALONE if f != "parts that overlap"])
def test_only_a_weight_with_one_use_is_alone(form: str) -> None:
    forward, wanted = ALONE[form]
    model = functional(lambda s, x: s.last(forward(s, s.first(x).relu()).relu()))
    found = products(spa.analyze(model, (2, 5, 4)).analysis.graph)
    inner = {p.way.parameter: p.alone for p in found if p.way.parameter in ("a", "b")}
    assert inner == wanted
    assert {p.way.parameter for p in found} >= {"first.weight", "last.weight"}


def test_tied_layers_are_not_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[4].weight = model[2].weight
    alone = {p.index: p.alone for p in products(spa.analyze(model, (2, 4)).analysis.graph)}
    assert list(alone.values()) == [True, False, False]


def test_heads_of_attention() -> None:
    """A column of the output's weight goes with the row that makes its value."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    model = Forward(lambda s, x: s.last(s.mix(s.first(x), *[s.first(x)] * 2)[0]), mix=layer,
                    first=nn.Linear(4, 8), last=nn.Linear(8, 2))  # fmt: skip
    session = spa.analyze(model, (2, 5, 4))
    coupling = session.analysis.coupling
    by_name = {
        name: p for (name, _), p in in_turn(products(coupling.graph)).items() if "mix" in name
    }
    assert by_name.keys() == {"mix.in_proj_weight", "mix.out_proj.weight"}
    out = column_labels(by_name["mix.out_proj.weight"], coupling)
    rows = row_labels(by_name["mix.in_proj_weight"], coupling)
    # Keys and values are made at once.
    assert rows.shape[:2] == (1, 16)
    assert all(set(a) & set(b) - {NONE} for a, b in zip(out[0], rows[0, 8:], strict=True))
