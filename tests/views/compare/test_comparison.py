"""Before and after: the parts add up, and a plan foretells what a prune does."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scored_networks import NETWORKS, made
from torch import nn

import spa_kernel as spa
from spa_kernel.session.measure import Measurement
from spa_kernel.session.timed import Latency
from spa_kernel.views import html, text
from spa_kernel.views.compare import comparison, comparison_blocks
from spa_kernel.views.compare.figure import comparison_figure
from spa_kernel.views.figures import png

INPUTS = torch.zeros(1, 3, 4, 4, dtype=torch.float64)


def adds_up(found):
    for i in (0, 1):
        assert sum(stage.flops[i] for stage in found.stages) == found.flops[i]
        assert sum(stage.params[i] for stage in found.stages) == found.params[i]


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_add_up_to_the_totals(name):
    session = spa.analyze(made(name), INPUTS)
    start = comparison(session)
    assert start.same
    assert start.flops[0] == session.cost[0]
    assert start.params[0] == session.cost[1]
    adds_up(start)
    plan = session.plan("l1", ratio=0.4)
    planned = comparison(session, plan)
    assert (planned.flops, planned.params) == (plan.flops, plan.params)
    adds_up(planned)
    session.prune(plan)
    done = comparison(session)
    # What was foretold came true, stage by stage and layer by layer.
    assert done.stages == planned.stages
    assert not done.predicted


def test_widths_are_those_of_the_layers():
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3))
    session = spa.analyze(net, (2, 6), name="<b>")
    session.prune(ratio=0.5)
    widths = {
        layer.name: layer.width for stage in comparison(session).stages for layer in stage.layers
    }
    assert {name: after for name, (_, after) in widths.items()} == {
        name: layer.out_features for name, layer in net.named_children() if hasattr(layer, "weight")
    }
    assert [before for before, _ in widths.values()] == [8, 12, 3]


def measured():
    time = Latency(before=0.02, after=0.01, factor=2.0, spread=0.01, runs=10)
    return Measurement("net", {"torch": time}, (4000, 2000), (800, 400))


def pruned(name="<b>net"):
    session = spa.analyze(made("residual"), INPUTS, name=name)
    session.prune(ratio=0.4)
    return session


def test_blocks():
    session = pruned()
    blocks = comparison_blocks(session, measured())
    shown = text.draw(blocks)
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "20 ms → 10 ms" in shown
    assert "4.00 kB → 2.00 kB" in shown
    total = next(line for line in shown.splitlines() if line.startswith("▸ all"))
    assert " → " in total
    page = html.draw(blocks)
    assert "<b>" not in page
    assert 'src="data:image/png;base64,' in page
    # Before a prune there is one number, not two equal ones.
    fresh = spa.analyze(made("residual"), INPUTS)
    assert "→" not in text.draw(comparison_blocks(fresh))


def test_the_figure():
    session = pruned("a network with a name that is rather long")
    found = comparison(session)
    figure = comparison_figure(session, measured())
    assert isinstance(figure, Figure)
    flops, params = figure.axes
    for axes, what in ((flops, "flops"), (params, "params")):
        before, after = ([bar.get_width() for bar in bars] for bars in axes.containers)
        pairs = np.array([getattr(stage, what) for stage in found.stages])
        np.testing.assert_array_equal([before, after], pairs.T)
    title = figure.get_suptitle()
    assert "RF" in title
    assert "RP" in title
    assert "torch 20 ms → 10 ms" in title
    figure.draw_without_rendering()
    inside = figure.bbox
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= inside.x0
    assert box.x1 <= inside.x1
    assert png(figure).startswith(b"\x89PNG")
