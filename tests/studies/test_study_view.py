"""How a sensitivity and a sweep look: on paper, on a page, as a picture."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from matplotlib.figure import Figure

from spa_kernel.studies import Sensitivity, Sweep
from spa_kernel.views import render_html, render_text

LONG = "features.denseblock12.denselayer16.conv2"


def swept(labels: list[str], larger: bool = True) -> Sweep:
    """Made-up results: the last criterion is best, and the last point was refused."""
    rows = [
        {"label": label, "target": f"flops={target}", "rf": target + 0.01, "rp": 1.7,
         "value": 0.9 - 0.1 * target + 0.01 * i, "seconds": 2.5, "error": ""}
        for i, label in enumerate(labels) for target in (2, 4)
    ]  # fmt: skip
    rows[-1].update(rf=None, rp=None, value=None, error="DataNeeded: give data=")
    return Sweep(rows, 0.91, labels, ["flops=2", "flops=4"], "accuracy", larger)


def sensed(groups: int) -> Sensitivity:
    """Made-up results: the first group matters most."""
    rows = [
        {"group": f"g{i}", "name": LONG, "ratio": ratio, "channels": 64, "left": 8,
         "value": 0.9 - ratio / (i + 1), "error": "", "together": []}
        for i in range(groups) for ratio in (0.25, 0.5)
    ]  # fmt: skip
    return Sensitivity(rows, 0.9, "l1", "accuracy", len(rows))


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def inside(figure: Figure) -> bool:
    """Whether the legend lies beside the axes and within the figure."""
    figure.draw_without_rendering()
    box, whole = figure.legends[0].get_window_extent(), figure.bbox
    apart = box.x0 >= figure.axes[0].get_window_extent().x1
    return bool(apart and box.x1 <= whole.x1 + 1 and box.y0 >= whole.y0)


def test_a_sweep_on_paper() -> None:
    assert render_text(swept(["l1", "l2"])).splitlines() == [
        "Sweep · accuracy, larger is better; 0.9100 unpruned",
        "",
        "Criterion  flops=2  flops=4",
        "─────────  ───────  ───────",
        "l1          0.7000  *0.5000",
        "l2         *0.7100        –",
        "",
        "1 point has no value, and why",
        "    - l2 at flops=4: DataNeeded: give data=",
    ]
    assert "*0.7000" in render_text(swept(["l1", "l2"], larger=False))


def test_a_sensitivity_on_paper() -> None:
    found = sensed(2)
    found.rows[0]["value"], found.rows[0]["error"] = None, "ValueError: no"
    found.rows[1]["together"] = ["g7"]
    assert render_text(found).splitlines() == [
        "Sensitivity · accuracy where one group alone is pruned, by l1; 0.9000 unpruned",
        "",
        "Group  Layer                                     Channels     25%     50%",
        "─────  ────────────────────────────────────────  ────────  ──────  ──────",
        f"g0     {LONG}        64       –  0.4000",
        f"g1     {LONG}        64  0.7750  0.6500",
        "",
        "A condition on counts ties groups: g0 takes g7 along.",
        "",
        "1 point has no value, and why",
        "    - g0 at 0.25: ValueError: no",
    ]


@pytest.mark.parametrize("found", [swept(["l1", "<b>"]), sensed(3)], ids=["sweep", "sensitivity"])
def test_the_page_has_the_table_and_the_picture(found: Any) -> None:
    page = render_html(found)
    (content,) = re.findall(r'<img [^>]*alt="[^"]+" src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(content).startswith(b"\x89PNG")
    for row in found.rows:
        assert row["value"] is None or f"{row['value']:.4f}" in page
    assert "<b>" not in page
    assert ("spa-best" in page.split("</style>")[1]) == isinstance(found, Sweep)
    assert ("rgba(230, 120, 0, 0.55)" in page) == isinstance(found, Sensitivity)


def test_nothing_computed_is_no_picture() -> None:
    for found in (Sweep([], None, ["l1"], ["flops=2"], "a"), Sensitivity([], None, "l1", "a", 5)):
        assert "<img" not in render_html(found)
        assert "interrupted" in render_text(found)


@pytest.mark.parametrize("count", [1, 7, 16])
def test_the_picture_of_a_sweep(count: int) -> None:
    labels = [f"criterion{i}, agg=median, norm=gaussian" for i in range(count)]
    figure = swept(labels).figure()
    (axes,) = figure.axes
    assert axes.get_xlabel() == "FLOPs before ÷ FLOPs after (RF)"
    assert axes.get_ylabel() == "accuracy"
    names = [" ".join(name.split()) for name in legend(figure)]
    assert names == [*labels, "best", "unpruned"]
    looks = {(line.get_color(), line.get_marker()) for line in axes.get_lines()}
    assert len(looks) == count + 2
    assert inside(figure)
    content, size = figure._repr_png_()
    assert content.startswith(b"\x89PNG")
    assert size == {"width": 640}


@pytest.mark.parametrize("count", [1, 6, 7, 60])
def test_the_picture_of_a_sensitivity(count: int) -> None:
    figure = sensed(count).figure()
    (axes,) = figure.axes
    assert axes.get_xlabel() == "channels of the group that go"
    assert axes.get_ylabel() == "accuracy"
    assert len(axes.get_lines()) == count + 1
    others = [f"{count - 6} other group" + "s" * (count > 7)] if count > 6 else []
    named = [f"g{i} …{LONG[-18:]}" for i in range(min(count, 6))]
    assert legend(figure) == [*named, *others, "unpruned"]
    assert inside(figure)
