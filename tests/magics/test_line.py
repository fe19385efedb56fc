"""The line that is made from settings asks for just these settings."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.magics.commands import SPAMagics
from spa_kernel.magics.line import prune_line

fractions = st.floats(0, 1, exclude_min=True, exclude_max=True)
factors = st.floats(1, 1e5, exclude_min=True)
patterns = st.lists(st.text("abg0123.*[]?-_/;#", min_size=1, max_size=8), min_size=1, max_size=3)
parts = st.dictionaries(st.sampled_from(["g1", "layer2*"]), fractions, min_size=1)
targets = st.one_of(
    st.fixed_dictionaries({"ratio": fractions}),
    st.fixed_dictionaries({"ratio": parts}),
    *(st.fixed_dictionaries({kind: factors}) for kind in ("flops", "params", "memory", "latency")),
)
options = st.fixed_dictionaries(
    {"criterion": st.sampled_from(["l1", "obspa"]), "scope": st.sampled_from(["global", "local"])},
    optional={
        "groups": patterns,
        "exclude": patterns,
        "round_to": st.integers(1, 512),
        "rounding": st.sampled_from(["nearest", "up"]),
        "max_ratio": fractions,
        "min_width": st.integers(1, 512),
        "cost_weight": st.floats(0, 10),
        "calibration": st.sampled_from(["ood", "none"]),
        "agg": st.just("sum"),
        "norm": st.just("max"),
        "seed": st.integers(-5, 2**40),
        "steps": st.integers(1, 20),
    },
)
texts = st.text("ab '\"\\;?!%#-,=()", max_size=8)


class Recorder:
    """Stands for a session, and keeps what it is asked for."""

    def prune(self, **wishes):
        self.wishes = wishes

    def plan(self, **wishes):
        self.wishes = wishes


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(target=targets, more=options, text=texts)
def test_a_line_says_what_it_was_made_from(shell, monkeypatch, target, more, text):
    asked = Recorder()
    monkeypatch.setattr(SPAMagics, "_session", lambda self, name: asked)
    line = prune_line("net", {**target, **more, "data": repr(text)})
    shell(line)
    assert asked.wishes == {"steps": 1, "verify": True, **target, **more, "data": text}


@given(target=targets, more=options)
def test_settings_that_are_not_given_are_not_written(target, more):
    line = prune_line("net", {**target, **more, "loss": None, "exclude": []})
    assert line == prune_line("net", {**target, **more} | {"exclude": None})
    assert "--loss" not in line


def test_a_dry_run_is_said_last():
    assert prune_line("net", {"flops": 2.0}, dry_run=True) == "%spa_prune net --flops 2 --dry-run"


@pytest.mark.parametrize("text", ["{'x': x}", "f($n)"])
def test_what_ipython_would_fill_in_is_refused(text):
    with pytest.raises(InfeasibleTarget, match="put it in a variable"):
        prune_line("net", {"flops": 2, "data": text})
