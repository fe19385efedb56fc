"""Whether a result is shown as a live view, with widgets, and which one.

Live views are taught in `spa_kernel.views.widgets.results`, which is loaded only when one is
wanted, so that a terminal and a script never import widgets.
"""

from __future__ import annotations

import sys
from functools import cache, singledispatch
from importlib import import_module
from typing import Any

from spa_kernel import switch

WIDGET = "application/vnd.jupyter.widget-view+json"


def wanted() -> bool:
    """Whether there is a notebook to show live views in, and nobody has switched them off."""
    if not switch.allowed():
        return False
    # Who has not imported IPython does not run in it.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


@singledispatch
def live(result: Any) -> Any:
    """The widget that shows a result, or ``None`` where the static view says it all.

    Register more kinds with ``@live.register``.
    """
    return None


def data(result: Any) -> dict[str, Any]:
    """What a notebook needs besides the static view to show a result live; may be nothing."""
    if not wanted():
        return {}
    _teach()
    widget = live(result)
    if widget is None:
        return {}
    return {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


@cache
def _teach() -> None:
    import_module("spa_kernel.views.widgets.results")
    if "google.colab" in sys.modules:
        # Colab shows widgets of third parties only when asked to.
        import_module("google.colab.output").enable_custom_widget_manager()
