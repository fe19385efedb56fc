"""Which modules get a row each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.views.compare.stages import MOST, OTHER, stages

PATHS = st.lists(st.sampled_from("abcde"), min_size=1, max_size=4).map(".".join)
COSTS = st.dictionaries(
    PATHS, st.tuples(st.integers(0, 9), st.integers(0, 1000)), min_size=1, max_size=60
)


@given(COSTS)
def test_every_place_is_in_one_stage(costs):
    found = stages(costs)
    assert sorted(p for places in found.values() for p in places) == sorted(costs)
    assert len(found) <= MOST
    for stage, places in found.items():
        if stage not in ("", OTHER):
            assert all(place == stage or place.startswith(f"{stage}.") for place in places)


@pytest.mark.parametrize(
    ("places", "rows"),
    [
        # Blocks of a residual network, however deep they are.
        (
            ["conv1", *(f"layer{i}.{j}.conv1" for i in (1, 2, 3, 4) for j in (0, 1, 2)), "fc"],
            ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"],
        ),
        # Nearly all is in one module: it is opened.
        (
            ["embed", *(f"encoder.layers.{i}.{part}" for i in range(6) for part in "abc"), "head"],
            ["embed", *(f"encoder.layers.{i}" for i in range(6)), "head"],
        ),
        (["0", "2", "4"], ["0", "2", "4"]),
    ],
)  # fmt: skip
def test_stages_that_a_person_would_choose(places, rows):
    assert list(stages(dict.fromkeys(places, (1, 1)))) == rows


def test_many_parts_without_a_structure_are_put_together():
    found = stages({str(i): (1, 1) for i in range(60)})
    assert len(found) == 20
    assert next(iter(found)) == "0 … 2"


def test_small_ones_come_last_together():
    costs = {"stem": (1, 1), **{f"body.{i}": (1000, 1000) for i in range(6)}, "bn": (0, 1)}
    assert list(stages(costs)) == [*(f"body.{i}" for i in range(6)), OTHER]
