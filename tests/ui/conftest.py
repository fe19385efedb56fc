"""A JupyterLab and a Notebook on this machine, and a browser to drive them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TOKEN = "for-tests-only"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@dataclass
class Lab:
    """A running server; ``folder`` is what it shows."""

    address: str
    folder: Path
    application: str

    def page(self, notebook: str, workspace: str) -> str:
        """The address that opens a notebook, in the lab in a workspace of its own."""
        if self.application == "notebook":
            return f"{self.address}/notebooks/{notebook}?token={TOKEN}"
        return f"{self.address}/lab/workspaces/{workspace}/tree/{notebook}?token={TOKEN}&reset"


@pytest.fixture(scope="session")
def browser() -> Iterator[playwright.Browser]:
    if CHROMIUM is None:
        # A person may lack it; where everything must be tested, its absence is a failure.
        missing = pytest.fail if os.environ.get("SPA_BROWSER") == "required" else pytest.skip
        missing("chromium is not installed (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab on a free port, with copies of the notebooks."""
    with _served("jupyterlab", tmp_path_factory) as lab:
        yield lab


@pytest.fixture(scope="session")
def notebook7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Jupyter Notebook, likewise."""
    with _served("notebook", tmp_path_factory) as lab:
        yield lab


@contextmanager
def _served(application: str, made: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, home = made.mktemp(application), made.mktemp("home")
    shutil.copy(NOTEBOOKS / "tutorials" / "01-quickstart.ipynb", folder)
    _settings(home)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [
        *(sys.executable, "-m", application, "--no-browser", *root),
        "--expose-app-in-browser",  # tests give it commands
        *(f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"),
    ]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        lab = Lab(f"http://127.0.0.1:{port}", folder, application)
        _wait(lab, server, home / "log")
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _settings(home: Path) -> None:
    for plugin, value in {
        # no question about news, no look-up of it
        "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
        # all cells are in the page, not only those on the screen
        "notebook-extension/tracker": {"windowingMode": "none"},
    }.items():
        path = home / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))


def _wait(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{lab.address}/api?token={TOKEN}", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    pytest.fail(f"{lab.application} did not start:\n{log.read_text()[-3000:]}")
