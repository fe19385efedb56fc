"""Networks that people use: exact, as small as asked for, counted rightly, and undone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reference import counted_flops, counted_params, judge, ordinary
from torch import nn

import spa_kernel as spa

models = pytest.importorskip("torchvision.models")

NETWORKS = [
    "resnet50", "densenet121", "densenet201", "mobilenet_v2", "vgg19_bn", "efficientnet_b0",
    "regnet_x_400mf", "resnext50_32x4d", "shufflenet_v2_x1_0", "googlenet", "vit_b_16", "swin_t",
    "convnext_tiny",
]  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {"googlenet": {"aux_logits": False, "init_weights": False}}
LARGE = (1, 3, 224, 224)
SMALL = (1, 3, 64, 64)
EXACT = 1e-4


def tiny_swin() -> nn.Module:
    """Swin with its stages, shifts and patch merging, but few channels."""
    return models.swin_transformer.SwinTransformer(
        patch_size=[4, 4], embed_dim=24, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4],
        num_classes=10,
    )  # fmt: skip


QUICK = {
    "shufflenet_v2_x1_0": (models.shufflenet_v2_x1_0, SMALL),
    "mobilenet_v2": (models.mobilenet_v2, SMALL),
    "tiny_swin": (tiny_swin, SMALL),
}


def check(model: nn.Module, shape: tuple[int, ...], wishes: dict[str, Any]) -> None:
    ordinary(model)
    inputs = torch.randn(shape, dtype=next(model.parameters()).dtype)
    base = counted_flops(model, inputs)

    def counts(session: spa.Session, report: spa.Report) -> None:
        assert report.plan.flops == (base, counted_flops(session.model, inputs))
        assert session.cost == (report.plan.flops[1], counted_params(session.model))

    outcome = judge(model, inputs, also=counts, **wishes)
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.05
    if "flops" in wishes:
        assert 2.0 <= outcome.rf <= 2.05


WISHES = [
    pytest.param({"ratio": 0.5, "scope": "local"}, id="half"),
    pytest.param({"flops": 2.0}, id="flops"),
]


@pytest.mark.parametrize("wishes", WISHES)
@pytest.mark.parametrize("name", QUICK)
def test_quick(name: str, wishes: dict[str, Any]) -> None:
    make, shape = QUICK[name]
    check(make(), shape, wishes)


TRANSFORMERS = ("vit_b_16", "swin_t")
"""Pruned in float64. Without their norms the activations grow until the softmax magnifies the
rounding of any float32 weight, such as one that the attention scale was folded into."""


def full_size(name: str) -> nn.Module:
    model: nn.Module = getattr(models, name)(**OPTIONS.get(name, {}))
    return model.double() if name in TRANSFORMERS else model


@pytest.mark.slow
@pytest.mark.parametrize("wishes", WISHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_full_size(name: str, wishes: dict[str, Any]) -> None:
    check(full_size(name), LARGE, wishes)


@pytest.mark.slow
def test_rounding_is_no_reason_to_refuse() -> None:
    torch.manual_seed(0)
    model = ordinary(models.swin_t())
    assert not judge(model, torch.randn(LARGE), flops=2.0).refused
