"""A notebook with a small network in it, and a page beside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from block_network import Net
from IPython.core.interactiveshell import InteractiveShell
from panel_page import Notebook, Page
from traitlets.config import Config

from spa_kernel.magics import load_ipython_extension, unload_ipython_extension


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    config = Config()
    config.HistoryManager.enabled = False
    ip = InteractiveShell(config=config)
    load_ipython_extension(ip)
    ip.user_ns.update(net=Net().eval(), x=torch.randn(2, 3, 8, 8), torch=torch)
    yield Notebook(ip)
    unload_ipython_extension(ip)


@pytest.fixture
def page(notebook: Notebook) -> Page:
    """Open beside a notebook in which ``net`` is analysed."""
    notebook("%spa_analyze net x;")
    return Page()
