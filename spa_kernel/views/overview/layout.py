"""Where boxes and arrows go: layers from top to bottom, in columns from left to right."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from spa_kernel.views.overview.boxes import Arrow, Box, Place

WIDTH, HEIGHT = 214.0, 44.0
"""Of a box, in pixels."""
LETTERS = 29
"""That fit into a line of a box."""
GAP, STEP = 18.0, 32.0
"""Between boxes of a row, and between rows."""
LANE = 11.0
"""Between parallel arrows beside a column."""
MARGIN = 22.0
BESIDE = 3
"""At most this many boxes stand side by side."""
ASPECT = 1.5
"""Width by height that is aimed at."""

Point = tuple[float, float]
Places = dict[str, Place]
Bends = dict[tuple[str, str], tuple[Point, ...]]


def placed(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> tuple[Places, Bends]:
    """Positions of boxes, and corners of arrows that go around them.

    Parameters
    ----------
    boxes : sequence of Box
        In the order of the network.
    arrows : sequence of Arrow
        Those that are not ``back`` go to later boxes.
    """
    rows = _rows(boxes, arrows)
    columns = _columns(rows, arrows)
    at: dict[str, tuple[int, int]] = {}
    for c, column in enumerate(columns):
        for r, row in enumerate(column):
            at.update((name, (c, r)) for name in row)
    row_of = {name: row for row in rows for name in row}
    routes = [_route(arrow, at) for arrow in arrows]
    left, right = _lanes(columns, arrows, routes, at)
    places: Places = {}
    middles, edges = [], []
    x = 0.0
    for c, column in enumerate(columns):
        wide = max(map(len, column)) * (WIDTH + GAP) - GAP
        x += MARGIN + LANE * left.tracks[c]
        edges.append((x, x + wide))
        middles.append(x + wide / 2)
        for r, row in enumerate(column):
            start = middles[-1] - (len(row) * (WIDTH + GAP) - GAP) / 2 + WIDTH / 2
            for i, name in enumerate(row):
                spot = start + i * (WIDTH + GAP)
                places[name] = Place(spot, r * (HEIGHT + STEP) + HEIGHT / 2, WIDTH, HEIGHT)
        x += wide + LANE * right.tracks[c] + MARGIN
    bottom = max(map(len, columns), default=0) * (HEIGHT + STEP) - STEP
    bends: Bends = {}
    over = {True: 0, False: 0}
    for number, (arrow, route) in enumerate(zip(arrows, routes, strict=True)):
        if route == "straight":
            continue
        source, target = places[arrow.source], places[arrow.target]
        out = _side(edges, left, right, number, at[arrow.source][0], "source")
        into = _side(edges, left, right, number, at[arrow.target][0], "target")
        first, last = row_of[arrow.source], row_of[arrow.target]
        leaving = _corners(first, arrow.source, source, out, 1)
        coming = _corners(last, arrow.target, target, into if route == "around" else out, -1)
        between: tuple[Point, ...] = ()
        if route == "around":
            over[arrow.back] += 1
            y = bottom + over[True] * LANE if arrow.back else -over[False] * LANE
            between = ((out, y), (into, y))
        bends[arrow.source, arrow.target] = (*leaving, *between, *reversed(coming))
    return places, bends


def _corners(row: list[str], name: str, place: Place, lane: float, down: int) -> list[Point]:
    """From a box to a lane: sideways, or through the gap below (above) where others are between."""
    if name == (row[0] if lane < place.x else row[-1]):
        return [(lane, place.y)]
    y = place.y + down * (HEIGHT / 2 + STEP / 3)
    return [(place.x, y), (lane, y)]


def shortened(text: str) -> str:
    """As much of a name as fits into a line of a box: its end, which tells more."""
    return text if len(text) <= LETTERS else f"…{text[1 - LETTERS :].lstrip('.')}"


def lines(title: str, detail: str) -> tuple[str, str]:
    """The two lines of a box."""
    if len(detail) > LETTERS + 2:
        detail = detail.replace(" channels", " ch").replace(" in ", ", ")
    return shortened(title), detail if len(detail) <= LETTERS + 4 else f"{detail[: LETTERS + 3]}…"


def _rows(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> list[list[str]]:
    """Layers by the longest path, those that are too wide cut into several rows."""
    before: dict[str, list[str]] = defaultdict(list)
    behind: dict[str, list[str]] = defaultdict(list)
    touched: set[str] = set()
    for arrow in arrows:
        touched.update((arrow.source, arrow.target))
        if not arrow.back:
            before[arrow.target].append(arrow.source)
            behind[arrow.source].append(arrow.target)
    level: dict[str, int] = {}
    for box in boxes:
        level[box.id] = 1 + max((level[b] for b in before[box.id]), default=-1)
    rooted: set[str] = set()
    for number, box in enumerate(boxes):
        if number == 0 or box.kind == "input" or not rooted.isdisjoint(before[box.id]):
            rooted.add(box.id)
    for box in reversed(boxes):
        # What does not come from the start stands just above what it goes to.
        if box.id not in rooted and behind[box.id]:
            level[box.id] = max(level[box.id], min(level[b] for b in behind[box.id]) - 1)
    layers: dict[int, list[str]] = defaultdict(list)
    for box in boxes:
        layers[level[box.id] if box.id in touched else len(boxes) + 1].append(box.id)
    spot: dict[str, float] = {}
    found = [layers[n] for n in sorted(layers)]
    for layer in found:
        spot.update((name, i - len(layer) / 2) for i, name in enumerate(layer))
    for sweep, near in enumerate((before, behind, before, behind)):
        for layer in found if sweep % 2 == 0 else reversed(found):
            middle = {
                n: sum(spot[m] for m in near[n]) / len(near[n]) if near[n] else spot[n]
                for n in layer
            }
            layer.sort(key=middle.__getitem__)
            spot.update((name, i - len(layer) / 2) for i, name in enumerate(layer))
    rows: list[list[str]] = []
    for layer in found:
        parts = math.ceil(len(layer) / BESIDE)
        each = math.ceil(len(layer) / parts)
        rows.extend(layer[i : i + each] for i in range(0, len(layer), each))
    return rows


def _columns(rows: list[list[str]], arrows: Sequence[Arrow]) -> list[list[list[str]]]:
    """Break the rows into columns where few arrows are cut, so that all fit a screen best."""
    if not rows:
        return []
    row = {name: r for r, names in enumerate(rows) for name in names}
    cut = [0] * (len(rows) + 1)
    change = [0] * (len(rows) + 2)
    for arrow in arrows:
        a, b = sorted((row[arrow.source], row[arrow.target]))
        change[a + 1] += 1
        change[b + 1] -= 1
    for r in range(1, len(rows) + 1):
        cut[r] = cut[r - 1] + change[r]

    def size(number: int) -> float:
        tall = math.ceil(len(rows) / number) * (HEIGHT + STEP)
        widest = [
            max(map(len, rows[i : i + math.ceil(len(rows) / number)]))
            for i in range(0, len(rows), math.ceil(len(rows) / number))
        ]
        wide = sum(n * (WIDTH + GAP) + 2 * MARGIN + 3 * LANE for n in widest)
        return max(wide, ASPECT * tall)

    number = min(range(1, len(rows) + 1), key=size)
    columns, start = [], 0
    for left in range(number, 0, -1):
        rest = len(rows) - start
        even = math.ceil(rest / left)
        end = len(rows)
        if left > 1:
            choices = range(
                start + max(1, even - 2), min(start + even + 1, len(rows) - left + 1) + 1
            )
            end = min(
                choices, key=lambda r: (cut[r] + abs(r - start - even) / 2, abs(r - start - even))
            )
        columns.append(rows[start:end])
        start = end
    return [column for column in columns if column]


def _route(arrow: Arrow, at: dict[str, tuple[int, int]]) -> str:
    """How an arrow goes: straight down, beside its column, to the next column, or around all."""
    (c0, r0), (c1, r1) = at[arrow.source], at[arrow.target]
    if c0 == c1:
        if r1 == r0 + 1:
            return "straight"
        return "right" if arrow.back or r1 <= r0 else "left"
    return "next" if c1 == c0 + 1 else "around"


class _Tracks:
    """Lanes beside columns; what overlaps gets a lane of its own."""

    def __init__(self, columns: int) -> None:
        self.tracks = [0] * columns
        self.lane: dict[tuple[int, str], int] = {}

    def fill(self, column: int, wanted: list[tuple[int, int, int, str]]) -> None:
        """Give lanes to (first row, last row, arrow, end), short ones nearest to the boxes."""
        taken: list[list[tuple[int, int]]] = []
        for low, high, number, end in sorted(wanted, key=lambda w: (w[1] - w[0], w)):
            free = (
                lane
                for lane, spans in enumerate(taken)
                if all(high < a or low > b for a, b in spans)
            )
            lane = next(free, len(taken))
            if lane == len(taken):
                taken.append([])
            taken[lane].append((low, high))
            self.lane[number, end] = lane
        self.tracks[column] = len(taken)


def _lanes(
    columns: list[list[list[str]]],
    arrows: Sequence[Arrow],
    routes: list[str],
    at: dict[str, tuple[int, int]],
) -> tuple[_Tracks, _Tracks]:
    left, right = _Tracks(len(columns)), _Tracks(len(columns))
    wanted: dict[tuple[str, int], list[tuple[int, int, int, str]]] = defaultdict(list)
    for number, (arrow, route) in enumerate(zip(arrows, routes, strict=True)):
        (c0, r0), (c1, r1) = at[arrow.source], at[arrow.target]
        low, high = min(r0, r1), max(r0, r1)
        if route in ("left", "right"):
            wanted[route, c0].append((low, high, number, "source"))
        elif route == "next":
            wanted["right", c0].append((low, high, number, "source"))
        elif route == "around":
            out, into = ("left", "right") if arrow.back else ("right", "left")
            last = len(max(columns, key=len))
            for side, c, r, end in ((out, c0, r0, "source"), (into, c1, r1, "target")):
                span = (r, last) if arrow.back else (-1, r)
                wanted[side, c].append((*span, number, end))
    for (side, c), arrows_there in wanted.items():
        (left if side == "left" else right).fill(c, arrows_there)
    return left, right


def _side(
    edges: list[tuple[float, float]], left: _Tracks, right: _Tracks, number: int, c: int, end: str
) -> float:
    """The x of an arrow's lane beside a column."""
    if (number, end) in left.lane:
        return edges[c][0] - LANE * (left.lane[number, end] + 1)
    return edges[c][1] + LANE * (right.lane.get((number, end), 0) + 1)
