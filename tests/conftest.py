"""What all tests share."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from torchvision_operators import declare

# The declarations last as long as this object.
_LIBRARY = declare()

# Keras takes one for a process, when it is imported.
os.environ.setdefault("KERAS_BACKEND", "torch")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a core.
    torch.set_num_threads(1)

# Examples are the same on every run; a busy machine is no reason to fail.
settings.register_profile(
    "spa",
    derandomize=True,
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("spa")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """TensorFlow is looked for where its marker is asked for, and must be found there."""
    if "tensorflow" not in config.option.markexpr:
        own = [item for item in items if item.get_closest_marker("tensorflow")]
        items[:] = [item for item in items if item not in own]
        config.hook.pytest_deselected(items=own)


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Every test starts from the same random numbers."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
