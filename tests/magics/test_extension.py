"""Loading, loading again, unloading."""

import subprocess
import sys

from spa_kernel.magics import load_ipython_extension, unload_ipython_extension


def traces(ip):
    magics = ip.magics_manager.magics["line"]
    return {
        "magics": sorted(name for name in magics if name.startswith("spa_")),
        "cells": [name for name in ip.magics_manager.magics["cell"] if name.startswith("spa_")],
        "matchers": len(ip.Completer.custom_matchers),
        "events": len(ip.events.callbacks["post_run_cell"]),
        "configurables": len(ip.configurables),
        "registry": "SPAMagics" in ip.magics_manager.registry,
    }


def test_loading_twice_changes_nothing(shell):
    loaded = traces(shell.ip)
    assert len(loaded["magics"]) == 12
    load_ipython_extension(shell.ip)
    assert traces(shell.ip) == loaded


def test_unloading_leaves_nothing(shell):
    loaded = traces(shell.ip)
    unload_ipython_extension(shell.ip)
    bare = traces(shell.ip)
    assert loaded["cells"] == ["spa_criterion"]
    assert bare["magics"] == bare["cells"] == []
    assert not bare["registry"]
    for key in ("matchers", "events", "configurables"):
        assert bare[key] == loaded[key] - 1
    unload_ipython_extension(shell.ip)
    assert traces(shell.ip) == bare
    load_ipython_extension(shell.ip)
    assert traces(shell.ip) == loaded


def test_the_package_is_the_extension(shell):
    shell("%reload_ext spa_kernel")
    assert len(traces(shell.ip)["magics"]) == 12


def test_the_engine_does_without_ipython():
    code = "import sys, spa_kernel as spa; spa.analyze; assert 'IPython' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
