import pytest


def test_models(shell):
    shell.ns["network2"] = shell.ns["net"]
    assert shell.completes("%spa_analyze ") == ["net", "network2"]
    assert shell.completes("%spa_analyze netw") == ["network2"]
    assert shell.completes("%spa_load work.spa n") == ["net", "network2"]


@pytest.mark.parametrize("prefix", ["", "report = ", "a, b = ", "    "])
def test_options(shell, prefix):
    line = prefix + "%spa_prune net "
    assert shell.completes(line + "--cr") == ["--criterion"]
    assert "--dry-run" in shell.completes(line + "--")
    assert "--flops" not in shell.completes(line + "--flops 2 --")
    assert {"l1", "l2"} <= set(shell.completes(line + "--criterion "))
    assert shell.completes(line + "--scope ") == ["global", "local", "isomorphic"]
    assert shell.completes(line + "--rounding n") == ["nearest"]
    assert "mean" in shell.completes(line + "--agg ")
    assert "minmax" in shell.completes("%spa_show net importance --norm m")


def test_what_the_session_knows(analysed):
    assert analysed.completes("%spa_explain net co") == ["conv1", "conv2"]
    assert analysed.completes("%spa_prune net --exclude st") == ["stem"]
    groups = analysed.completes("%spa_prune net --groups ")
    assert groups
    assert all(group.startswith("g") for group in groups)
    assert groups == analysed.completes("%spa_prune net --groups g1,")
    assert analysed.completes("%spa_prune net --ratio g1=0.3,") == [f"{g}=" for g in groups]
    assert analysed.completes("%spa_show net h") == ["history"]


def test_a_criterion_of_ones_own(shell):
    assert shell.completes("%%spa_criterion own --per ") == ["element", "channel"]
    assert shell.completes("%%spa_criterion own --needs grad") == ["gradient"]
    assert "flow" in shell.completes("%%spa_criterion own --needs gradient,")


def test_before_the_analysis_nothing_is_made_up(shell):
    assert "g1" not in shell.completes("%spa_prune net --groups ")
    assert "g1" not in shell.completes("%spa_prune nothing --groups ")


def test_python_names_where_an_expression_is_due(shell):
    shell.ns["loader"] = []
    assert "loader" in shell.completes("%spa_prune net --data load")


def test_other_lines_are_left_alone(shell):
    assert "spa_kernel" not in shell.completes("net.ev")
    assert "net.eval" in [
        c if "." in c else f"net.{c.lstrip('.')}" for c in shell.completes("net.ev")
    ]
