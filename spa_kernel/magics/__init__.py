"""The IPython commands: ``%load_ext spa_kernel``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_ATTRIBUTE = "_spa_magics"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the commands and their completion; a second call changes nothing."""
    from spa_kernel.magics.commands import SPAMagics
    from spa_kernel.magics.completion import Completion
    from spa_kernel.panel.comm import Panels

    if hasattr(shell, _ATTRIBUTE):
        return
    magics = SPAMagics(shell)
    completion = Completion(magics)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(completion.matcher)
    shell.events.register("post_run_cell", magics.names.let_go)
    panels = Panels(magics)
    panels.open()
    setattr(shell, _ATTRIBUTE, (magics, completion, panels))


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take back everything that `load_ipython_extension` did."""
    if not hasattr(shell, _ATTRIBUTE):
        return
    magics, completion, panels = getattr(shell, _ATTRIBUTE)
    delattr(shell, _ATTRIBUTE)
    panels.close()
    shell.Completer.custom_matchers.remove(completion.matcher)
    shell.events.unregister("post_run_cell", magics.names.let_go)
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop(type(magics).__name__, None)
    shell.configurables.remove(magics)
