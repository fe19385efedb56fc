"""When a result is shown with widgets."""

import subprocess
import sys

import pytest

import spa_kernel as spa
from spa_kernel import switch
from spa_kernel.views import live, sides


@pytest.fixture
def session():
    from torch import nn

    return spa.analyze(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), (1, 4))


@pytest.fixture
def notebook(monkeypatch):
    """As if there were a notebook's kernel."""
    import IPython

    shell = type("Shell", (), {"kernel": object(), "user_ns": {}})()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    return shell


def test_a_script_gets_the_static_view(session):
    assert set(session._repr_mimebundle_()) == {"text/html", "text/plain"}


@pytest.mark.parametrize(
    "side", [lambda s: s, sides.Graph, sides.Steps, sides.Explorer, lambda s: importance(s)]
)
def test_a_notebook_gets_both_in_one(session, notebook, side):
    bundle = side(session)._repr_mimebundle_()
    assert bundle[live.WIDGET]["model_id"]
    assert bundle["text/html"]
    assert bundle["text/plain"]


def importance(session):
    return sides.Importance(session, "l1", session.importance("l1"))


def test_what_has_no_live_view_is_static_in_a_notebook_too(session, notebook):
    assert live.WIDGET not in session.plan(ratio=0.5)._repr_mimebundle_()


def test_widgets_are_switched_off(session, notebook, monkeypatch):
    monkeypatch.setenv(switch.NAME, "1")
    assert not live.wanted()
    monkeypatch.setenv(switch.NAME, "0")
    assert live.wanted()
    switch.allow(False)
    try:
        assert live.WIDGET not in session._repr_mimebundle_()
    finally:
        switch.allow(True)


def test_a_script_never_imports_widgets():
    code = """
import sys, torch, spa_kernel as spa
session = spa.analyze(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)), (1, 4))
session._repr_mimebundle_(), str(session.prune(ratio=0.5))
assert not {"ipywidgets", "ipycytoscape", "IPython"} & set(sys.modules), sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
