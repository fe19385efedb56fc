"""Criteria, steps, sensitivity and a sweep in JupyterLab, in both themes."""

import pytest
from driving import command, opened, seen_in_both_themes, written

pytestmark = pytest.mark.ui

CELLS = [
    """
%load_ext spa_kernel
import torch, spa_kernel as spa
from sklearn.datasets import load_digits
from torch import nn
torch.manual_seed(0); torch.set_num_threads(1)
digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
y = torch.tensor(digits.target)
batches, loss = list(zip(x.split(32), y.split(32))), nn.functional.cross_entropy
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU(),
    nn.Conv2d(24, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
accuracy = lambda model: (model(x).argmax(1) == y).float().mean().item()
session = spa.analyze(net, x[:1])
print(spa.finetune(session, batches, loss, epochs=3, lr=1e-2))
net.eval();""",
    "%%spa_criterion cubed\nabs(w) ** 3",
    "%spa_criteria",
    "%spa_show net importance --criterion taylor --data batches --loss loss --norm max",
    "spa.sensitivity(session, accuracy, 'taylor', data=batches, loss=loss)",
    "spa.sweep(session, ['taylor', 'l1', 'cubed', 'random'], [1.5, 2, 3], accuracy,"
    " data=batches, loss=loss)",
    "%spa_prune net -c taylor --flops 3 --steps 3 --data batches --loss loss",
    "print('the' + ' end')",
]


def test_studies(lab, browser, tmp_path):
    page, problems = opened(lab, browser, written(lab, "studies.ipynb", *CELLS))
    command(page, "notebook:run-all-cells")
    page.wait_for_selector(".jp-OutputArea-output >> text=the end", timeout=120_000)
    views = page.locator(".spa-view")
    shown = [view.inner_text() for view in views.all()]
    for title in ("Criteria", "Sensitivity", "Sweep", "Pruned"):
        assert any(title in text for text in shown), title
    pictures = page.locator(".spa-view img")
    assert pictures.count() == 2
    for picture in pictures.all():
        # It was drawn, at a readable size, and fits its view.
        assert picture.evaluate("image => image.naturalWidth") > 400
        box, view = picture.bounding_box(), page.locator(".spa-view").first.bounding_box()
        assert 300 < box["width"] <= view["width"]
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert problems == []
    seen_in_both_themes(page, views, tmp_path, "studies-")
    page.close()
