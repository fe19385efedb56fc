import pytest

from spa_kernel.views.units import amount, change, count, factor, ranges, seconds, short


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0"),
        (7, "7"),
        (0.25, "0.25"),
        (999, "999"),
        (1000, "1.00 k"),
        (9_994, "9.99 k"),
        (9_996, "10.0 k"),
        (99_960, "100 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (25_557_032, "25.6 M"),
        (4_089_184_256, "4.09 G"),
        (3.2e15, "3.20 P"),
        (7.7e19, "77000 P"),
    ],
)
def test_short(number, expected):
    assert short(number) == expected


def test_exact_numbers_are_kept_for_hovering():
    assert amount(25_557_032, "FLOPs").title == "25,557,032 FLOPs"
    assert change(2_000_000, 1_000_000).title == "2,000,000 → 1,000,000"
    assert change(2_000_000, 1_000_000).text == "2.00 M → 1.00 M"


def test_factor_never_promises_too_much():
    assert factor(3999, 2000) == "1.99"
    assert factor(4000, 2000) == "2.00"
    assert factor(5, 0) == "∞"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0004, "0 ms"), (0.25, "250 ms"), (1.34, "1.3 s"), (125, "2 min 5 s")],
)
def test_seconds(value, expected):
    assert seconds(value) == expected


def test_count_and_ranges():
    assert count(1, "axis", "axes") == "1 axis"
    assert count(1200, "axis", "axes") == "1,200 axes"
    assert ranges([]) == ""
    assert ranges([0, 1, 2, 5, 7, 8]) == "0–2, 5, 7, 8"
