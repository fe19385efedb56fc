"""Where a node stands in the model's source, as far as its exporter wrote it down."""

from __future__ import annotations

import ast
import re

import onnx

FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def place(node: onnx.NodeProto) -> tuple[str, str]:
    """Module path (or the node's own name) and source line of a node.

    Notes
    -----
    ``torch.onnx.export(dynamo=True)`` keeps both in the node's metadata.
    """
    meta = {entry.key: entry.value for entry in node.metadata_props}
    name = module_path(meta.get("pkg.torch.onnx.name_scopes", ""))
    name = name or node.name or next((o for o in node.output if o), "")
    return name, source_line(meta.get("pkg.torch.onnx.stack_trace", ""))


def module_path(scopes: str) -> str:
    """The innermost module of a list of scopes; the last scope is the operator itself."""
    try:
        names = ast.literal_eval(scopes) if scopes else []
    except (SyntaxError, ValueError):
        return ""
    return str(names[-2]) if len(names) > 1 else ""


def source_line(trace: str) -> str:
    """The innermost frame outside of the torch package, as ``file.py:12``."""
    frames = FRAME.findall(trace)
    own = [f for f in frames if "/torch/" not in f[0].replace("\\", "/")] or frames
    if not own:
        return ""
    path, line = own[-1]
    return f"{re.split(r'[/]', path)[-1]}:{line}"
