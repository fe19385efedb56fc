"""The coupling graph of a network holds every group once, fits the screen, and is in order."""

from itertools import combinations, pairwise

import pytest
import torch
from all_structures import STRUCTURES, built
from onnx_networks import convs
from torch import nn

import spa_kernel as spa
from spa_kernel.views import html, text
from spa_kernel.views.overview import MOST, opened, overview, overview_blocks
from spa_kernel.views.overview.collapse import fitted, thinned
from spa_kernel.views.overview.figure import overview_figure
from spa_kernel.views.overview.flow import flow
from spa_kernel.views.overview.repeats import folded, spanned


class Residual(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, inner, 3, padding=1), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x):
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


def chain(inner, width=4):
    """A residual network with blocks of these inner widths."""
    blocks = [Residual(width, n) for n in inner]
    return nn.Sequential(nn.Conv2d(3, width, 1), *blocks, nn.Conv2d(width, 5, 1)).eval()


def different(count):
    """No two neighbours are alike, so that nothing folds."""
    return spa.analyze(chain(range(2, count + 2)), (1, 3, 4, 4))


def check(session, shown, groups):
    """What must hold of every picture."""
    assert sorted(g for box in shown.boxes for g in box.groups) == sorted(groups)
    assert shown.count <= MOST
    assert len({box.id for box in shown.boxes}) == len(shown.boxes)
    frozen = {g.id for g in session.groups if not g.prunable}
    for box in shown.boxes:
        if box.groups:
            assert box.frozen == (set(box.groups) <= frozen)
    order = {box.id: i for i, box in enumerate(shown.boxes)}
    for arrow in shown.arrows:
        assert arrow.source != arrow.target
        assert arrow.back == (order[arrow.source] > order[arrow.target])
    assert len({(a.source, a.target) for a in shown.arrows}) == len(shown.arrows)
    apart(shown)


def apart(shown):
    """No box lies on another one, and no arrow that goes around boxes crosses one."""
    assert shown.places.keys() == {box.id for box in shown.boxes}
    for a, b in combinations(shown.places.values(), 2):
        assert abs(a.x - b.x) >= (a.width + b.width) / 2 or abs(a.y - b.y) >= a.height
    for (source, target), corners in shown.bends.items():
        for (x0, y0), (x1, y1) in pairwise(corners):
            assert x0 == x1 or y0 == y1
            for name, place in shown.places.items():
                if name not in (source, target) and x0 == x1 and len(shown.boxes) < 60:
                    inside = abs(x0 - place.x) < place.width / 2
                    low, high = sorted((y0, y1))
                    over = low < place.y + place.height / 2 and high > place.y - place.height / 2
                    assert not (inside and over)


@pytest.mark.parametrize("name", sorted(STRUCTURES)[::4])
def test_every_group_is_in_one_box(name):
    model, inputs = built(name)
    session = spa.analyze(model, inputs)
    shown = overview(session)
    check(session, shown, [g.id for g in session.groups])
    for box in shown.boxes:
        if not box.groups:
            continue
        part = opened(session, box)
        if len(box.groups) > 1:
            check(session, part, box.groups)
        else:
            apart(part)
            assert part.count <= MOST
            group = next(g for g in session.groups if g.id in box.groups)
            held = {tensor for layer in part.boxes for tensor in layer.names}
            assert held >= {tensor for tensor, _ in group.members}
            assert part.notes


def test_parameters_of_a_box_are_those_that_go():
    session = spa.analyze(chain([6, 6]), (1, 3, 4, 4))
    whole = sum(p.numel() for p in session.model.parameters())
    for group in session.groups:
        if group.prunable:
            box = overview(session, [group.id]).boxes[0]
            plan = session.plan("l1", ratio={group.id: 1 - 1 / group.size}, max_ratio=1.0)
            rest = whole - plan.params[1]
            # All channels but one: a bit less than what the whole group holds.
            assert 0.4 * box.params < rest < box.params


def test_equal_blocks_are_folded_and_others_are_not():
    session = spa.analyze(chain([6, 6, 6, 8, 6]), (1, 3, 4, 4))
    folds = [box for box in overview(session).boxes if box.kind == "repeat"]
    assert [(box.times, box.title) for box in folds] == [(4, "[1…5].conv1")]
    assert overview(session).by_group["g1"].kind == "group"


def test_blocks_stay_folded_when_they_lose_different_channels():
    session = spa.analyze(chain([6, 6, 6]), (1, 3, 4, 4))
    before = [box.groups for box in overview(session).boxes]
    fold = next(box for box in overview(session).boxes if box.kind == "repeat")
    session.prune(criterion="l1", ratio={fold.groups[0]: 0.5})
    shown = overview(session)
    assert [box.groups for box in shown.boxes] == before
    assert "3 × 3–6 channels" in shown.by_group[fold.groups[0]].detail


def test_data_flows_as_the_network_says():
    session = spa.analyze(chain([6, 8]), (1, 3, 4, 4), name="net")
    shown = overview(session)
    by_title = {box.title: box.id for box in shown.boxes}
    stream, first, second, last = (by_title[n] for n in ("0", "1.conv1", "2.conv1", "3"))
    found = {(a.source, a.target): a.back for a in shown.arrows}
    inputs, outputs = shown.boxes[0].id, shown.boxes[-1].id
    assert found == {
        (inputs, stream): False, (stream, first): False, (stream, second): False,
        (first, stream): True, (second, stream): True, (stream, last): False,
        (last, outputs): False,
    }  # fmt: skip


def test_a_group_says_why_it_moves_together():
    session = spa.analyze(chain([6, 6]), (1, 3, 4, 4))
    shown = overview(session)
    part = opened(session, shown.by_group["g1"])
    assert [b.title for b in part.boxes if b.kind == "link"] == ["residual add"] * 2
    roles = {(b.title, b.detail) for b in part.boxes if b.kind == "layer"}
    assert roles >= {
        ("0", "output channels"), ("1.conv2", "output channels"), ("1.bn2", "batch norm"),
        ("1.conv1", "input channels"), ("3", "input channels"),
    }  # fmt: skip
    assert any("residual add" in note for note in part.notes)
    frozen = next(box for box in shown.boxes if box.frozen)
    assert any("output of the network" in note for note in opened(session, frozen).notes)


def test_large_networks_fit():
    session = different(150)
    shown = overview(session)
    check(session, shown, [g.id for g in session.groups])
    assert any(box.kind == "module" for box in shown.boxes)
    box = max(shown.boxes, key=lambda box: len(box.groups))
    check(session, opened(session, box), box.groups)


def test_search_finds_layers_within_boxes():
    session = spa.analyze(chain([6, 6]), (1, 3, 4, 4))
    shown = overview(session)
    assert {b.id for b in shown.find("1.CONV2")} == {"g1", shown.by_group["g2"].id}
    assert shown.find("g1") == [shown.by_group["g1"]]
    assert shown.find("no such layer") == shown.find("  ") == []


def test_an_onnx_model():
    session = spa.analyze(convs())
    shown = overview(session)
    check(session, shown, [g.id for g in session.groups])
    assert {box.kind for box in shown.boxes} >= {"input", "group", "output"}


def test_figure_and_blocks_show_all_boxes():
    session = spa.analyze(chain([6, 6, 8]), (1, 3, 4, 4))
    shown, plan = overview(session), session.plan("l1", ratio=0.5, scope="local")
    texts = {t.get_text() for t in overview_figure(session, plan).axes[0].texts}
    assert {box.title for box in shown.boxes} <= texts
    assert "4 → 2" in texts
    blocks = overview_blocks(session)
    assert "residual add" in text.draw(blocks).replace("\n", " ")
    assert 'alt="Coupling graph of' in html.draw(blocks)


def test_folding_needs_the_whole_block():
    names = ["a.0.x", "a.0.y", "a.1.x", "a.1.y", "a.2.x", "a.2.z"]
    kinds = [0, 1, 0, 1, 0, 2]
    assert folded(names, kinds) == [[0, 2], [1, 3], [4], [5]]
    assert spanned(["a.0.x", "a.1.x", "a.3.x"]) == "a.[0…3].x"


def test_arrows_are_left_out_only_if_others_imply_them():
    assert thinned(4, [(0, 1), (1, 2), (0, 2), (2, 0), (2, 3), (0, 3)]) == [
        (0, 1), (1, 2), (2, 0), (2, 3),
    ]  # fmt: skip
    names = [f"m{i // 10}.{i}" for i in range(100)]
    pairs = [(i, j) for i in range(100) for j in range(i + 1, 100)]
    parts, kept, thin = fitted(names, [False] * 100, pairs, 250)
    assert thin and len(parts) == 100 and kept == [(i, i + 1) for i in range(99)]
    parts, kept, thin = fitted(names, [i < 50 for i in range(100)], pairs, 150)
    assert len(parts) + len(kept) <= 150
    assert [i for part in parts for i in part] == list(range(100))


def test_flow_goes_through_what_has_no_channels():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(1, 5)

        def forward(self, x):
            return self.b(self.a(x).sum(-1, keepdim=True).exp())

    session = spa.analyze(Pooled(), (2, 4))
    found = flow(session.analysis.coupling)
    names = [g.name for g in session.groups] + ["in", "out"]
    assert ("a", "b") in {(names[a], names[b]) for a, b in found.pairs}
