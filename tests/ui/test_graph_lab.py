"""The coupling graph in JupyterLab: it appears, opens, finds layers, and shows a plan."""

import pytest
from driving import command, opened, seen_in_both_themes, written

pytestmark = pytest.mark.ui

CELLS = [
    """
import torch, spa_kernel as spa
from torch import nn
class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)
    def forward(self, x):
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 16, 3), *(Block(16) for _ in range(3)), nn.Conv2d(16, 24, 3),
                    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)).eval()
session = spa.analyze(net, (1, 3, 16, 16), name="net")""",
    """
from spa_kernel.views.widgets.graph import GraphView
view = GraphView(session)
chosen = []
view.on_select(chosen.append)
view.widget""",
    """
import ipywidgets as w
from IPython.display import display
def lazily(change):
    if tabs.selected_index == 1 and not box.children:
        box.children = [GraphView(session).widget]
box = w.VBox()
tabs = w.Tab([w.HTML("first"), box], titles=["first", "second"])
tabs.observe(lazily, "selected_index")
display(tabs)
print("the" + " end")""",
]

GRAPH = "document.querySelectorAll('.spa-graph .custom-widget')[{}]._cyreg.cy"


def graph(page, number, what):
    return page.evaluate(f"() => {{ const cy = {GRAPH.format(number)}; return {what} }}")


def drawn(page, number, boxes):
    page.wait_for_function(
        f"() => {{ const found = document.querySelectorAll('.spa-graph .custom-widget')[{number}];"
        f" const cy = found && found._cyreg && found._cyreg.cy;"
        f" return cy && cy.nodes().length === {boxes} && cy.edges().length > 0; }}",
        timeout=60_000,
    )


def inside(page, number):
    """Whether all boxes are within the view, and it is used."""
    return graph(
        page,
        number,
        "(() => { const b = cy.elements().renderedBoundingBox();"
        " return b.x1 >= -2 && b.y1 >= -2 && b.x2 <= cy.width() + 2 && b.y2 <= cy.height() + 2"
        " && (b.w > 0.5 * cy.width() || b.h > 0.5 * cy.height()); })()",
    )


def click(page, number, box):
    spot = graph(page, number, f"cy.getElementById('{box}').renderedPosition()")
    page.locator(".spa-graph .custom-widget").nth(number).click(position=spot)


def run(page, code):
    """Have the kernel run a line, in a new cell."""
    page.evaluate(
        "code => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
        ".requestExecute({code}).done.then(() => 0)",
        code,
    )


def test_graph(lab, browser, tmp_path):
    page, problems = opened(lab, browser, written(lab, "graph.ipynb", *CELLS))
    command(page, "notebook:run-all-cells")
    page.wait_for_selector(".jp-OutputArea-output >> text=the end", timeout=120_000)

    # Input, stream, three blocks as one, last convolution, head, output.
    drawn(page, 0, 6)
    assert inside(page, 0)
    ids = graph(page, 0, "cy.nodes().map(n => n.id())")
    stream, fold = "g1", next(name for name in ids if "x3" in name)

    click(page, 0, stream)
    details = page.locator(".spa-graph-details").first
    details.locator("text=residual add").first.wait_for()
    assert graph(page, 0, f"cy.getElementById('{stream}').hasClass('is-selected')")

    page.locator("input[placeholder='layer, tensor or group']").first.fill("2.conv1")
    page.wait_for_function(
        f"() => {GRAPH.format(0)}.getElementById('{fold}').hasClass('is-hit')", timeout=20_000
    )
    page.locator("input[placeholder='layer, tensor or group']").first.fill("")

    # What a plan takes is seen without a new graph.
    run(page, "view.show(session.plan('l1', ratio=0.5, scope='local'))")
    page.wait_for_function(
        f"() => {GRAPH.format(0)}.getElementById('{stream}').data('label').includes('16 → 8')",
        timeout=20_000,
    )
    assert graph(page, 0, f"cy.getElementById('{stream}').hasClass('gone-10')")
    seen_in_both_themes(page, page.locator(".spa-graph-details .spa-view"), tmp_path, "graph-")

    # Arrows go around boxes as they do on paper.
    bent = graph(
        page, 0, "cy.edges('.bent').map(e => [e.segmentPoints(), e.data('weights').split(' ')])"
    )
    assert bent and all(len(points) == len(weights) for points, weights in bent)

    # Opened: layers and links instead of groups; and back.
    run(page, "view.show(None)")
    click(page, 0, stream)
    page.wait_for_selector("button:has-text('Back to net')")
    page.wait_for_function(f"() => {GRAPH.format(0)}.nodes('.link').length >= 3", timeout=20_000)
    assert inside(page, 0)
    seen_in_both_themes(page, page.locator(".spa-graph-details .spa-view"), tmp_path, "opened-")
    page.locator("button:has-text('Back to net')").click()
    drawn(page, 0, 6)
    assert inside(page, 0)

    # A pruned model is drawn anew; a hidden tab when it is opened.
    run(page, "session.prune(criterion='l1', ratio=0.5, scope='local'); view.refresh()")
    page.wait_for_function(
        f"() => {GRAPH.format(0)}.getElementById('{stream}').data('label').includes('8 channels')",
        timeout=20_000,
    )
    page.locator(".lm-TabBar-tabLabel:text-is('second')").click()
    drawn(page, 1, 6)
    page.wait_for_timeout(300)
    assert inside(page, 1)
    assert problems == []
    page.close()
