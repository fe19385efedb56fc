"""Where networks come from: the lists of this tool, or files of the same form."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from . import timm_networks, torchvision_networks, transformers_networks

Build = Callable[[str], tuple[nn.Module, Any]]
TESTS = Path(__file__).resolve().parent.parent
KINDS = "ops", "transformers", "timm", "torchvision"
LISTED = {
    "transformers": transformers_networks,
    "timm": timm_networks,
    "torchvision": torchvision_networks,
}
NEEDED = {"transformers": ["transformers"], "timm": ["timm"], "torchvision": ["torchvision.models"]}


@dataclass(frozen=True)
class Source:
    """Networks of one kind: their names, and how one is made."""

    kind: str
    names: list[str]
    build: Build


def load(path: Path) -> ModuleType:
    """A Python file as a module, whatever its name."""
    spec = importlib.util.spec_from_file_location(f"zoo_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def source(kind: str, zoo: Path | None = None) -> Source:
    """The networks of a kind; a zoo file has ``ZOO[name]() -> (model, inputs)``."""
    if zoo is not None:
        table = load(zoo).ZOO
    elif kind == "ops":
        # Tests import each other without the folder's name.
        sys.path.append(str(TESTS))
        importlib.import_module("structure_networks")
        table = importlib.import_module("structures").STRUCTURES
    else:
        return Source(kind, LISTED[kind].NAMES, LISTED[kind].build)
    return Source(kind, list(table), lambda name: table[name]())
