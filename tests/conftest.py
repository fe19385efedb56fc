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


# Before xdist looks at the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers take whole files; those with a browser, which take longest, go first, to one."""
    items.sort(key=lambda item: item.path.parent.name != "ui")
    for item in items:
        group = "ui" if item.path.parent.name == "ui" else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Every test starts from the same random numbers."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
