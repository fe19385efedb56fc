"""What all tests share."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings


def _torchvision_operators() -> torch.library.Library | None:
    """Declare the two operators that torchvision's import asks for, where its library cannot.

    That library is compiled for one build of torch (CUDA or not, and which). The networks need
    nothing of it.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for compiled in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return None
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


# The declarations last as long as this object.
_LIBRARY = _torchvision_operators()

# Examples are the same on every run; a busy machine is no reason to fail.
settings.register_profile(
    "spa",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("spa")


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Every test starts from the same random numbers."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
