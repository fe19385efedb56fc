"""What a person calls a model, so that the lines that are shown for copying work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spa_kernel.session import Session


def called(session: Session) -> str:
    """The variable that holds the model or its session; the session's own name without one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    variables = {
        name: value
        for name, value in list(getattr(shell, "user_ns", {}).items())
        if not name.startswith("_") and (value is session or value is session.model)
    }
    if session.name in variables or not variables:
        return session.name
    # The model before the session: that is what the commands are about.
    return next((n for n, v in variables.items() if v is not session), next(iter(variables)))
