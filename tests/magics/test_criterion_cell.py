"""A criterion made in a cell: what it sees, what it gives, and what is said of mistakes."""

import numpy as np
import pytest

import spa_kernel as spa
from spa_kernel.importance import registry

NEEDS = '--data "[(x, torch.arange(2))]" --loss torch.nn.functional.cross_entropy'


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(registry, "_CRITERIA", dict(registry._CRITERIA))


def scores(shell, name, options=""):
    return shell(f"%spa_show net importance --criterion {name} {options}").scores


def same(one, other):
    return all(np.allclose(one[group], other[group]) for group in one)


def test_the_last_expression_is_the_score(analysed):
    shown = analysed("%%spa_criterion own\nabs(w)")
    assert "own" in str(shown)
    assert "abs(w)" in str(shown)
    assert same(scores(analysed, "own"), scores(analysed, "l1"))
    assert analysed("%spa_prune net --criterion own --flops 1.5").rf >= 1.5


def test_a_cell_with_all_there_is(analysed):
    analysed("power = 2")
    analysed(
        "%%spa_criterion own\n"
        "# A comment says what it is.\n"
        "def strength(array):\n"
        "    return np.abs(array) ** power\n"
        "parts = [strength(row) for row in w]\n"
        "np.stack(parts) * (1.0 if 'conv' in name else 1.0)"
    )
    assert spa.criteria()["own"].summary == "A comment says what it is."
    assert same(scores(analysed, "own"), scores(analysed, "l2"))
    assert "parts" not in analysed.ns
    # The notebook's variables are looked up when it is used.
    analysed("power = 1")
    assert same(scores(analysed, "own"), scores(analysed, "l1"))


def test_statistics_by_name(analysed):
    analysed("%%spa_criterion own --needs gradient\nabs(w * gradient)")
    session = analysed("%spa_analyze net x")
    data, loss = [(analysed.ns["x"], analysed.ns["torch"].arange(2))], "cross_entropy"
    loss = getattr(analysed.ns["nn"].functional, loss)
    given = session.backend.statistic("gradient", session.analysis.coupling, data, loss)
    wanted = session.importance(
        registry.Criterion(
            "wanted", lambda c, name, w: abs(w * given.get(name, 0 * w)), needs=("gradient",)
        ),
        data, loss,
    )  # fmt: skip
    assert same(scores(analysed, "own", NEEDS), wanted)
    assert "needs" in analysed.refuses("%spa_prune net --criterion own --flops 2")


def test_channels_at_once(analysed):
    analysed("%%spa_criterion own --per channel\nnp.arange(group.size)")
    session = analysed("%spa_analyze net x")
    direct = session.importance("own", norm="none")
    assert all((found == np.arange(len(found))).all() for found in direct.values())


def test_a_cell_that_is_run_again_replaces_its_criterion(analysed):
    analysed("%%spa_criterion own\nabs(w);")
    analysed("%%spa_criterion own\nw ** 2")
    assert same(scores(analysed, "own"), scores(analysed, "l2"))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("own\nabs(w", "%%spa_criterion own: line 1: '(' was never closed: abs(w"),
        ("own\nscore = abs(w)", "the last line must be an expression"),
        ("own\n# nothing\n", "the last line must be an expression"),
        ("own\nabs(w).sum(0)", "of a parameter of shape [4] has shape []: it must be one number"),
        ("own\nabs(v)", "for a parameter of shape [4]: NameError: name 'v' is not defined"),
        ("own --needs gradiant\nabs(w)", "there is no 'gradiant': did you mean gradient?"),
        ("own --per row\nabs(w)", "invalid choice: 'row'"),
        ("l1\nabs(w)", "l1 is one of the package's criteria: take another name"),
        ("\nabs(w)", "the following arguments are required: NAME"),
    ],
)
def test_mistakes_that_are_seen_at_once(shell, cell, message):
    before = spa.criteria()
    assert message in shell.refuses(f"%%spa_criterion {cell}")
    assert spa.criteria() == before


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("abs(w) if 'conv' in name else table[name]", "fails for 'stem.weight': NameError"),
        ("abs(w) / 0", "not finite"),
        ("abs(w) if 'conv' in name else w.sum()", "it must return one per element"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_mistakes_that_only_the_model_shows(analysed, body, message):
    analysed(f"%%spa_criterion own\n{body}")
    assert message in analysed.refuses("%spa_prune net --criterion own --flops 2")


def test_help(shell, capsys):
    shell("%%spa_criterion --help\n1")
    assert "The least score goes first" in capsys.readouterr().out
