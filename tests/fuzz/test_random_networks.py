"""Whatever the network: a prune is exact, or it is refused; and undo brings everything back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .check import BAD, examine, one_thread
from .network import INPUTS, OUTPUTS, WISHES, Program, program, shortened
from .parts import MAKERS

NUMBER = st.integers(0, 11)
STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(MAKERS)), st.integers(0, 3), NUMBER, NUMBER),
    min_size=1,
    max_size=10,
)
PROGRAMS = st.builds(
    Program,
    STEPS,
    st.sampled_from(sorted(set(INPUTS))),
    st.sampled_from(sorted(set(OUTPUTS))),
    st.integers(0, 7),
    st.sampled_from(WISHES),
)


@given(PROGRAMS)
@settings(max_examples=40)
def test_exact_or_refused(made: Program) -> None:
    with one_thread():
        result = examine(made)
    assert result["class"] not in BAD, f"{result} of {made}"


@pytest.mark.slow
def test_exact_or_refused_often() -> None:
    """As above, at length, and mostly not refused."""
    found: Counter[str] = Counter()

    @given(PROGRAMS)
    @settings(max_examples=1000, suppress_health_check=list(HealthCheck))
    def run(made: Program) -> None:
        result = examine(made)
        assert result["class"] not in BAD, f"{result} of {made}"
        found[result["class"]] += 1

    with one_thread():
        run()
    print(dict(found))
    assert found["exact"] > 0.6 * found.total()


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_every_layer_alone(name: str) -> None:
    """Some use of every maker is exact or refused, and a layer does come of it."""
    form, _ = MAKERS[name]
    before = [("image", "to_vector")] if form == "vector" else []
    start = "image" if form == "vector" else form
    steps = [(step, 0, 1, 1) for _, step in before]
    classes = set()
    with one_thread():
        for b, c in ((0, 0), (1, 1)):
            made = Program([*steps, (name, 0, b, c)], start, "classes", ends=3 * (b % 2) + 4)
            classes.add((result := examine(made))["class"])
            assert result["class"] not in BAD, f"{result} of {made}"
    assert classes & {"exact", "little", "infeasible", "refused"}


def test_programs_have_numbers() -> None:
    assert program(7) == program(7) != program(8)
    assert all(simpler != program(7) for simpler in shortened(program(7)))
