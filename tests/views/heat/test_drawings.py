"""A sheet as SVG, as a figure and as blocks."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from heat_networks import made

from spa_kernel.views import html, text
from spa_kernel.views.figures import png
from spa_kernel.views.heat import Heat, agreement, heat_blocks, pair, sheet
from spa_kernel.views.heat.figure import heat_figure
from spa_kernel.views.heat.rows import Row
from spa_kernel.views.heat.scale import brief
from spa_kernel.views.heat.sheet import FINEST, MOST, marked
from spa_kernel.views.heat.svg import base, drawing, marks

SVG = "{http://www.w3.org/2000/svg}"


def large(groups: int, planned: bool = True) -> Heat:
    """As many groups as wanted, of all sizes, with names that are to be escaped."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(groups):
        size = 2 ** (number % 12)
        scores = random.random(size)
        order = np.argsort(scores)
        gone = np.zeros(size, dtype=bool)
        gone[order[: size // 3]] = True
        name = f"features.stage{number}.<i>&\"conv'"
        rows.append(Row(f"g{number}", name, size, 1, scores, order, gone if planned else None))
    return Heat("l1", rows, [], planned)


def titles(svg: str) -> list[str]:
    return [title.text or "" for title in ElementTree.fromstring(svg).iter(f"{SVG}title")]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_bins_hold_every_channel_once(in_place, own):
    for strip in sheet(large(12), in_place=in_place, own=own).panels[0].strips:
        for most in (8, 64, FINEST):
            edges = strip.edges(most)
            assert (edges[0], edges[-1]) == (0, strip.row.size)
            assert (np.diff(edges) > 0).all()
            assert len(edges) <= most + 1
        widths = np.diff(strip.edges(FINEST))
        assert len(strip.colours()) == len(widths)
        assert (strip.going() * widths).sum() == pytest.approx(strip.row.going)


@pytest.mark.parametrize("in_place", [False, True])
def test_the_drawing(in_place):
    shown = large(14)
    page = sheet(shown, in_place=in_place)
    whole = ElementTree.fromstring(drawing(page))
    assert whole.get("role") == "img"
    assert "14 groups" in whole.get("aria-label")
    words = [element.text for element in whole.iter(f"{SVG}text")]
    for row in shown.rows:
        assert row.group in words
    cuts = [p for p in whole.iter(f"{SVG}path") if p.get("class") == "cut"]
    going = sum(row.going > 0 for row in shown.rows)
    assert len(cuts) == (0 if in_place else going)
    # The colour bar, the rows, and the marks below what goes.
    images = list(whole.iter(f"{SVG}image"))
    assert len(images) == 1 + 14 + (going if in_place else 0)
    # Either layer alone is a drawing of the same size.
    boxes = {ElementTree.fromstring(layer(page)).get("viewBox") for layer in (base, marks)}
    assert boxes == {whole.get("viewBox")}


def test_hovering_tells_of_every_channel_whether_it_goes():
    shown = large(7)
    page = sheet(shown, in_place=True)
    row = shown.rows[5]
    told = {t for t in titles(drawing(page)) if re.match(r"channel \d", t)}
    for channel, (score, gone) in enumerate(zip(row.scores, row.gone, strict=True)):
        assert f"channel {channel}: {brief(score)} · {'goes' if gone else 'stays'}" in told


def test_a_plan_changes_the_upper_layer_only():
    page = sheet(large(20))
    gone = {row.group: np.zeros(row.size, dtype=bool) for row in large(20).rows}
    other = marked(page, gone)
    assert base(other) == base(page)
    assert marks(other) != marks(page)
    assert 'class="cut"' not in marks(other)
    assert "stay" not in base(marked(page, None))
    assert "<text" not in marks(marked(page, None))


def test_it_is_small_and_paged():
    shown = large(200)
    page = sheet(shown)
    assert len(page.panels[0].strips) == MOST
    last = sheet(shown, page=3)
    assert (last.first, last.total, len(last.panels[0].strips)) == (180, 200, 20)
    # Colours mean the same on each page.
    assert last.panels[0].ticks() == page.panels[0].ticks()
    assert len(base(page)) < 200_000
    assert len(marks(page)) < 100_000


def test_two_criteria_stand_in_the_same_order():
    first = large(9)
    rows = [replace(row, scores=row.scores**2, order=row.order[::-1]) for row in first.rows]
    second = Heat("l2", rows[2:], [], True)
    among = [{row.group: row.scores for row in each.rows} for each in (first, second)]
    found = agreement(*among)
    page = pair(first, second, found)
    assert [len(panel.strips) for panel in page.panels] == [7, 7]
    for a, b in zip(*(panel.strips for panel in page.panels), strict=True):
        # The same ranks are the same colours.
        np.testing.assert_allclose(a.scale(a.row.scores), b.scale(b.row.scores), atol=0.002)
        assert a.order.tolist() == b.order.tolist()
    ElementTree.fromstring(drawing(page))
    assert png(heat_figure(page)).startswith(b"\x89PNG")


@pytest.mark.parametrize("groups", [1, 3, 60])
@pytest.mark.parametrize("in_place", [False, True])
def test_the_figure_shows_the_same_rows(groups, in_place):
    page = sheet(large(groups), in_place=in_place)
    figure = heat_figure(page)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [label.split()[0] for label in labels] == [s.row.group for s in page.panels[0].strips]
    assert "l1" in figure.axes[-1].get_xlabel()
    assert png(figure).startswith(b"\x89PNG")


def test_blocks():
    session = made()
    scores, plan = session.importance("l1"), session.plan("l1", ratio=0.5)
    blocks = heat_blocks(session, scores, plan, "l1")
    shown = text.draw(blocks)
    assert shown.startswith("Importance of net<b> · by l1")
    assert all(len(line) <= 80 for line in shown.splitlines())
    for group, (before, after) in plan.widths.items():
        if group in plan.removed:
            line = next(li for li in shown.splitlines() if li.startswith(f"{group} "))
            assert f" {before} " in line
            assert f" {before - after} " in line
    page = html.draw(blocks)
    assert "<b>" not in page
    assert 'src="data:image/png;base64,' in page


def test_nothing_to_show_is_said():
    session = made()
    shown = text.draw(heat_blocks(session, {}, None, "own"))
    assert "without scores of own" in shown


def test_how_it_says_what_goes():
    page = sheet(large(8))
    highest = {row.group: row.scores > np.median(row.scores) for row in large(8).rows}
    some = {g: mask if g == "g5" else np.zeros_like(mask) for g, mask in highest.items()}
    lowest = {row.group: row.gone for row in large(8).rows}
    assert "left of the orange line" in marks(page)
    assert "marked below: goes" in marks(marked(page, some))
    assert "left of the line, or marked" in marks(marked(page, {**lowest, "g5": some["g5"]}))
    assert marked(page, some).panels[0].strips[5].cut is None
