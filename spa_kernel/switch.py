"""Whether widgets may be used at all; looked up by whoever would show one."""

from __future__ import annotations

import os

NAME = "SPA_KERNEL_NO_WIDGETS"
"""Environment variable: anything but nothing or 0 leaves static views and text only."""

_allowed = True


def allow(value: bool) -> None:
    """Switch widgets on or off for this process (``%config SPAMagics.widgets``)."""
    global _allowed
    _allowed = value


def allowed() -> bool:
    """Whether nobody has switched them off."""
    return _allowed and os.environ.get(NAME, "0") in ("", "0")
