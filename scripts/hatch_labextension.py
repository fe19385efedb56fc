"""Puts the side panel of JupyterLab into the wheel, and builds it first where it is not fresh."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))
import labextension


class LabExtension(BuildHookInterface):
    """Needs nothing where the bundle is fresh, and brings a Node along where there is none."""

    def dependencies(self) -> list[str]:
        if labextension.is_fresh():
            return []
        return ["jupyter-builder>=1.2,<2"] + [labextension.NODE] * (not labextension.has_node())

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        try:
            if not labextension.is_fresh():
                labextension.build()
        except (OSError, subprocess.CalledProcessError) as error:
            if version != "editable":
                raise
            # Everything but the panel works without it.
            self.app.display_warning(f"The side panel of JupyterLab could not be built: {error}")
            return
        build_data["shared_data"] |= {
            str(labextension.BUNDLE): labextension.SHARED,
            str(labextension.SOURCES / "install.json"): f"{labextension.SHARED}/install.json",
        }
