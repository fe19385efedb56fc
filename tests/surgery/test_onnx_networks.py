"""Networks of torchvision as ONNX models, against the same networks in torch."""

from __future__ import annotations

import pytest
import torch
from onnx_networks import content, half
from torch import nn

from spa_kernel.coupling.result import Coupling
from spa_kernel.coupling.solver import couple
from spa_kernel.frontends.onnx.backend import OnnxBackend
from spa_kernel.frontends.torch.backend import TorchBackend

models = pytest.importorskip("torchvision.models")

NETWORKS = {
    "convnext_tiny": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "googlenet": 64,
    "mobilenet_v2": 64,
    "regnet_x_400mf": 64,
    "resnet18": 64,
    "shufflenet_v2_x1_0": 64,
    "swin_t": 224,
    "vgg11_bn": 224,
    "vit_b_16": 224,
}
"""Network and image size."""


def network(name: str) -> nn.Module:
    """With weights of ordinary size: a zero scale or bias would hide errors."""
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model = getattr(models, name)(weights=None, **options).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            nn.init.uniform_(parameter, 0.3, 1.2)
    return model


def prunable(coupling: Coupling) -> set[tuple[int, tuple[tuple[str, int], ...]]]:
    return {(g.size, tuple(sorted(g.members))) for g in coupling.groups if g.prunable}


@pytest.mark.slow
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, optimize: bool) -> None:
    module, x = network(name), torch.randn(1, 3, NETWORKS[name], NETWORKS[name])
    program = torch.onnx.export(module, (x,), dynamo=True, optimize=optimize, verbose=False)
    model = program.model_proto
    backend = OnnxBackend(model)
    coupling = couple(backend.capture())
    if not optimize:
        # In ONNX sizes can be rewritten that a forward computes from a fixed number of heads.
        reference = couple(TorchBackend(module, x).capture())
        assert {g for g in prunable(reference) if not reference.constraints} <= prunable(coupling)
        assert len(prunable(reference) & prunable(coupling)) >= 0.95 * len(prunable(reference))
    before = content(model)
    change, verification = backend.apply(coupling, half(coupling))
    assert verification.error is not None
    assert verification.error < 1e-4
    change.undo()
    assert content(model) == before
