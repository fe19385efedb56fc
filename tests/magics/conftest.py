"""A shell that a test can type into, with a small residual network in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from block_network import Net
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from torch import nn
from traitlets.config import Config

from spa_kernel.magics import load_ipython_extension, unload_ipython_extension


class Shell:
    """Types into IPython; errors are raised instead of printed."""

    def __init__(self, ip: InteractiveShell) -> None:
        self.ip = ip
        self.ns = ip.user_ns

    def __call__(self, cell: str) -> Any:
        """Run a cell and return what it would show."""
        result = self.ip.run_cell(cell)
        result.raise_error()
        return result.result

    def refuses(self, cell: str) -> str:
        """Run a cell that must fail with a message of one of our own; return it."""
        with pytest.raises(UsageError) as caught:
            self(cell)
        # IPython prints the traceback of anything else, subclasses included
        assert type(caught.value) is UsageError
        return str(caught.value)

    def completes(self, line: str) -> list[str]:
        """What Tab offers at the end of a line."""
        with provisionalcompleter():
            return [c.text for c in self.ip.Completer.completions(line, len(line))]


@pytest.fixture
def shell() -> Iterator[Shell]:
    config = Config()
    config.HistoryManager.enabled = False
    ip = InteractiveShell(config=config)
    load_ipython_extension(ip)
    ip.user_ns.update(net=Net().eval(), x=torch.randn(2, 3, 8, 8), nn=nn, torch=torch)
    yield Shell(ip)
    unload_ipython_extension(ip)


@pytest.fixture
def analysed(shell: Shell) -> Shell:
    """The same, with ``net`` analysed."""
    shell("%spa_analyze net x;")
    return shell
