"""Each command once as a person types it."""

import numpy as np
import pytest
import torch

import spa_kernel as spa
from spa_kernel.plan import Plan
from spa_kernel.session import Report


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize(
    "line",
    [
        "net x",
        "net x[:1]",
        "net --shape 2,3,8,8",
        "net --shape 2x3x8x8",
    ],
)
def test_analyze(shell, line):
    session = shell(f"%spa_analyze {line}")
    assert isinstance(session, spa.Session)
    assert session.model is shell.ns["net"]
    assert session.name == "net"


def test_prune_takes_the_options_to_the_session(analysed):
    before = weights(analysed.ns["net"])
    plan = analysed("%spa_prune net -c l2 --ratio 0.5 --scope local --groups conv1 --dry-run")
    assert isinstance(plan, Plan)
    assert same(before, weights(analysed.ns["net"])), "a dry run changes nothing"
    assert [
        list(map(int, widths)) for widths in plan.widths.values() if widths[0] != widths[1]
    ] == [[16, 8]]
    report = analysed("%spa_prune net -c l2 --ratio 0.5 --scope local --groups conv1")
    assert isinstance(report, Report)
    assert report.verified
    assert analysed.ns["net"].conv1.out_channels == 8
    assert {k: v for k, v in report.plan.settings.items() if k in ("scope", "ratio")} == {
        "scope": "local",
        "ratio": 0.5,
    }


def test_prune_analyses_where_no_input_is_needed(shell, tmp_path):
    spa.analyze(shell.ns["net"], shell.ns["x"]).export(tmp_path / "net.onnx")
    onnx = pytest.importorskip("onnx")
    shell.ns["model"] = onnx.load(tmp_path / "net.onnx")
    report = shell("%spa_prune model --flops 1.5")
    assert report.rf >= 1.5


def test_exclude_and_expressions(analysed):
    analysed("optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)")
    report = analysed(
        "%spa_prune net --ratio 50% --scope local --exclude stem --optimizer optimizer "
        '--data "[(x, x)]"'
    )
    assert analysed.ns["net"].stem.out_channels == 8
    assert report.rf > 1


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("--ratio conv1=0.5,stem=25% --max-ratio 0.6", {"ratio": {"conv1": 0.5, "stem": 0.25}}),
        ("--ratio 0.5 --max-ratio conv1=0.25", {"max_ratio": {"conv1": 0.25}}),
        ("--flops 2 --scope isomorphic --min-width 3", {"scope": "isomorphic", "min_width": 3}),
        ("--ratio 0.4 --round-to 4 --rounding up", {"round_to": 4, "rounding": "up"}),
        ("--params 2 --agg max --norm gaussian", {"agg": "max", "norm": "gaussian"}),
        ("--memory 1.3x", {"memory": 1.3}),
    ],
)
def test_options_reach_the_plan(analysed, options, settings):
    plan = analysed(f"%spa_prune net {options} --dry-run")
    assert {name: plan.settings[name] for name in settings} == settings
    shown = plan._repr_mimebundle_()["text/plain"]
    assert max(map(len, shown.splitlines())) <= 80


def test_latency(analysed, monkeypatch):
    """What is measured is another test's business."""
    session, asked = analysed("%spa_analyze net x"), {}
    monkeypatch.setattr(type(session), "plan", lambda self, **wishes: asked.update(wishes))
    analysed("%spa_prune net --latency 1.5x --dry-run")
    assert asked["latency"] == 1.5


def test_several_steps(analysed):
    before = weights(analysed.ns["net"])
    report = analysed("%spa_prune net --flops 2 --steps 3 --scope local")
    assert report.rf >= 2
    assert len(report.steps) == 3
    assert "3 steps" in str(report)
    assert analysed("%spa_history net").position == 3
    analysed("%spa_undo net 3;")
    assert same(before, weights(analysed.ns["net"]))


def test_criteria_with_data(analysed):
    analysed("import torch.nn.functional as F; data = [(x, torch.tensor([0, 1]))]")
    prune = "%spa_prune net -c taylor --data data --loss F.cross_entropy --flops 2"
    assert analysed(prune).rf >= 2


def test_undo_redo_reset(analysed):
    net = analysed.ns["net"]
    states = [weights(net)]
    for _ in range(2):
        analysed("%spa_prune net --ratio 0.3;")
        states.append(weights(net))
    history = analysed("%spa_undo net")
    assert same(weights(net), states[1])
    assert history.position == 1
    analysed("%spa_undo net 1")
    assert same(weights(net), states[0])
    analysed("%spa_redo net 2")
    assert same(weights(net), states[2])
    analysed("%spa_reset net")
    assert same(weights(net), states[0])
    assert len(analysed("%spa_history net")) == 3


def test_assignment_and_semicolon(analysed):
    analysed("report = %spa_prune net --flops 1.5")
    assert analysed.ns["report"].rf >= 1.5
    assert analysed("%spa_undo net;") is None
    assert analysed("%spa_prune net --flops 1.5 ;") is None
    assert analysed.ns["net"].conv1.out_channels < 16


def test_a_line_that_is_no_python_can_be_silenced(analysed):
    assert analysed("%spa_explain net conv1;") is None


def test_variables_are_filled_in(analysed):
    analysed("target, layer = 1.5, 'conv1'")
    assert analysed("%spa_prune net --flops $target --dry-run").rf >= 1.5
    assert analysed("%spa_explain net {layer}").layer == "conv1"


@pytest.mark.parametrize("what", ["", "groups", "cost", "history", "importance"])
def test_show(analysed, what):
    shown = analysed(f"%spa_show net {what}")._repr_mimebundle_()
    assert set(shown) == {"text/html", "text/plain"}
    assert max(map(len, shown["text/plain"].splitlines())) <= 80


def test_importance_uses_the_criterion(analysed):
    other = analysed("%spa_show net importance --criterion l2 --agg max --norm none")
    shown = analysed("%spa_show net importance --criterion l2")
    assert not any(np.allclose(shown.scores[g], other.scores[g]) for g in shown.scores)
    assert shown.criterion == "l2"
    direct = analysed("%spa_show net importance;") or spa.analyze(
        analysed.ns["net"], analysed.ns["x"]
    ).importance("l2")
    assert all(np.allclose(shown.scores[g], direct[g]) for g in shown.scores)


def test_explain_and_criteria(analysed):
    assert "conv1" in str(analysed("%spa_explain net conv1"))
    rows = {line.split()[0]: line for line in str(analysed("%spa_criteria")).splitlines() if line}
    assert rows["l2"].endswith("weights only")
    assert rows["taylor"].endswith("data with targets, a loss")


def test_export(analysed, tmp_path):
    written = analysed(f"%spa_export net {tmp_path}/net.onnx")
    assert written.path.stat().st_size > 0
    assert "net.onnx" in str(written)


@pytest.mark.skipif(not hasattr(spa, "load"), reason="sessions cannot be saved yet")
def test_save_and_load(analysed, tmp_path):
    analysed("%spa_prune net --flops 1.5;")
    pruned = weights(analysed.ns["net"])
    analysed(f'%spa_save net "{tmp_path}/my work.spa"')
    analysed("%spa_undo net;")
    session = analysed(f'%spa_load "{tmp_path}/my work.spa" net')
    assert isinstance(session, spa.Session)
    assert same(weights(analysed.ns["net"]), pruned)


def test_defaults_can_be_configured(analysed):
    analysed("%config SPAMagics.default_criterion = 'l2'")
    analysed("%config SPAMagics.default_scope = 'local'")
    plan = analysed("%spa_prune net --ratio 0.5 --dry-run")
    assert plan.settings["criterion"] == "l2"
    assert plan.settings["scope"] == "local"


@pytest.mark.parametrize(
    "name",
    "analyze show explain prune undo redo reset history export save load criteria".split(),
)
def test_help(shell, capsys, name):
    assert shell(f"%spa_{name} --help") is None
    printed = capsys.readouterr().out
    assert printed.startswith(f"  %spa_{name}")
    assert shell(f"%spa_{name} -h") is None
    assert capsys.readouterr().out == printed
