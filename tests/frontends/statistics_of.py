"""Statistics of small networks, for tests."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from scored_networks import NETWORKS, batches, loss
from torch import nn

import spa_kernel as spa
from spa_kernel.coupling.result import Coupling

EXAMPLE = (2, 3, 4, 4)
OF_LABELS = [
    "gradient",
    "squared_gradient",
    "gate_gradient",
    "hessian_gradient",
    "tempered_hessian_gradient",
]
every_network = pytest.mark.parametrize("name", NETWORKS)
in_both_modes = pytest.mark.parametrize("training", [False, True])


def statistic(
    need: str, model: nn.Module, data: Any = None, loss: Any = loss, **options: Any
) -> Any:
    inputs = options.pop("inputs", EXAMPLE)
    session = spa.analyze(model, inputs)
    return session.backend.statistic(need, session.analysis.coupling, data, loss, **options)


def coupling_of(model: nn.Module) -> Coupling:
    return spa.analyze(model, EXAMPLE).analysis.coupling


def plain_gradients(model: nn.Module) -> list[dict[str, torch.Tensor]]:
    found = []
    for x, y in batches():
        one = copy.deepcopy(model).requires_grad_()
        loss(one(x), y).backward()
        found.append({n: p.grad for n, p in one.named_parameters()})
    return found


def same(got: dict[str, np.ndarray], wanted: dict[str, torch.Tensor], rtol: float = 1e-9) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        wide = value.double().numpy()
        np.testing.assert_allclose(got[name], wide, rtol=rtol, atol=rtol, err_msg=name)


def everything(model: nn.Module) -> dict[str, Any]:
    """All that must not change, in a form that can be compared."""

    def content(t: torch.Tensor | None) -> Any:
        return t if t is None else (id(t), t.data_ptr(), t.dtype, t.detach().numpy().tobytes())

    return {
        "tensors": {n: content(t) for n, t in model.state_dict(keep_vars=True).items()},
        "grads": {n: content(p.grad) for n, p in model.named_parameters()},
        "requires": {n: p.requires_grad for n, p in model.named_parameters()},
        "modes": [m.training for m in model.modules()],
        "attributes": [{k: id(v) for k, v in vars(m).items()} for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "random": (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())),
        "grad mode": torch.is_grad_enabled(),
    }
