"""Where in the model's source a call is made."""

from __future__ import annotations

import linecache
import os
import sys
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

import torch
from torch import nn

TORCH = os.path.dirname(torch.__file__) + os.sep
INSTALLED = {"site-packages", "dist-packages"}
HERE = os.path.dirname(__file__) + os.sep


class Places:
    """Finds the line of the model's code that is running.

    Parameters
    ----------
    model : torch.nn.Module
    """

    def __init__(self, model: nn.Module) -> None:
        forwards = {getattr(type(m), "forward", None) for m in model.modules()}
        codes = {getattr(f, "__code__", None) for f in forwards}
        self._files = {c.co_filename for c in codes if c and not c.co_filename.startswith(TORCH)}
        self._known: dict[CodeType, int] = {}

    def source(self) -> str:
        """File and line of the innermost frame that the person would look for.

        That is one of code that is not installed, or of a file that defines modules of the
        model. If there is none, it is the innermost one that is not torch's.
        """
        frame: FrameType | None = sys._getframe(2)
        second: FrameType | None = None
        while frame is not None:
            code = frame.f_code
            kind = self._known.get(code)
            if kind is None:
                path = code.co_filename
                outside = path.startswith((TORCH, HERE, "<frozen"))
                installed = outside or INSTALLED.intersection(Path(path).parts)
                own = path in self._files or not installed
                kind = self._known[code] = 2 if own else 0 if outside else 1
            if kind == 2:
                return place(code.co_filename, frame.f_lineno)
            if kind == 1 and second is None:
                second = frame
            frame = frame.f_back
        return place(second.f_code.co_filename, second.f_lineno) if second is not None else ""


@cache
def place(path: str, line: int) -> str:
    """A line of code in words; one of a notebook's cells by its text, as its file has no name."""
    text = "" if os.path.exists(path) else linecache.getline(path, line).strip()
    return f"{text!r} in a cell" if text else f"{os.path.basename(path)}:{line}"
