"""From scores to colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.views.heat.scale import brief, colours, fitting, scale, scales

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(NUMBERS, min_size=1, max_size=50), st.sampled_from([None, "linear", "rank"]))
def test_larger_scores_never_come_earlier(values, kind):
    scores = np.array(values)
    places = scale([scores], kind)(np.sort(scores))
    assert ((places >= 0) & (places <= 1)).all()
    assert (np.diff(places) >= 0).all()
    assert colours(places).shape == (len(values), 3)


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (np.linspace(0.5, 2, 99), "linear"),
        (np.linspace(-1, 1, 99), "linear"),
        (np.logspace(-6, 2, 99), "log"),
        (np.append(np.logspace(-6, 2, 99), np.zeros(50)), "log"),
        (np.append(np.logspace(-6, 2, 99), -1e-6), "rank"),
        (np.zeros(9), "linear"),
    ],
)
def test_the_scale_suits_the_scores(scores, kind):
    assert fitting(scores) == kind
    made = scale([scores])
    assert made.kind == kind
    if np.ptp(scores):
        places = made(scores)
        # Colours are used from one end to the other, and not up by a few large scores.
        assert places.min() < 0.1
        assert places.max() > 0.9
        assert 0.1 < np.median(places[scores != 0]) < 0.9
        for place in (0.0, 0.25, 1.0):
            assert made(np.array([made.score(place)]))[0] == pytest.approx(place, abs=0.02)


def test_equal_scores_have_the_middle_colour():
    assert scale([np.ones(5)])(np.ones(5)).tolist() == [0.5] * 5


def test_own_scales_are_of_one_kind():
    found = scales([np.logspace(0, 5, 50), np.logspace(-5, 0, 50), np.linspace(1, 2, 50)])
    assert {each.kind for each in found} == {"log"}
    assert found[0].score(1.0) > 1e4 > 1 > found[1].score(0.5)


@pytest.mark.parametrize(
    ("score", "text"), [(0.0, "0"), (1.0, "1"), (12345678.0, "1.23e7"), (-1.5e-12, "-1.5e-12")]
)
def test_numbers_are_short(score, text):
    assert brief(score) == text
