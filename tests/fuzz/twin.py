"""The same network read by both front ends: from torch, and from its export as ONNX.

Both must find the same coupled channels, each a set of entries (parameter, axis, index) that go
together. One front end may know less than the other and freeze a channel, with a reason: Python
code holds sizes that cannot be rewritten, an exporter takes operators apart into ones that hide
what they did. But where both say that an entry may go, they must agree on what goes with it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

import spa_kernel as spa
from spa_kernel.coupling.result import Coupling

Entry = tuple[str, int, int]
Channel = frozenset[Entry]

ACROSS = "it chooses by another of the merged axes"
"""An index of merged axes has a label for each of them; one side may lack one."""

TOGETHER = "it lets go together, or apart, what the other does not"
"""A stride in Python code keeps its meaning only if its indices go together."""


def exported(model: nn.Module, inputs: Any) -> onnx.ModelProto:
    """The model as ONNX, not optimised, so that all names stay."""
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (inputs, None)
    logging.getLogger("torch.onnx").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        program = torch.onnx.export(
            model,
            args if isinstance(args, tuple) else (args,),
            kwargs=kwargs,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@dataclass
class Side:
    """What one front end says of the parameters that both know."""

    channels: dict[Channel, int] = field(default_factory=dict)
    of: dict[Entry, list[Channel]] = field(default_factory=lambda: defaultdict(list))
    reasons: dict[Entry, str] = field(default_factory=dict)


def read(coupling: Coupling, names: set[str]) -> Side:
    """Coupled channels that may go, and why the others may not."""
    entries: dict[int, set[Entry]] = defaultdict(set)
    side = Side()
    for (value, axis), labels in coupling.axes.items():
        if value.name in names and value.stored:
            for index, row in enumerate(labels):
                for label in np.unique(row):
                    if coupling.frozen[label]:
                        side.reasons[value.name, axis, index] = coupling.reasons[int(label)]
                    else:
                        entries[int(label)].add((value.name, axis, index))
    for label, found in entries.items():
        channel = frozenset(found)
        side.channels[channel] = label
        for entry in channel:
            side.of[entry].append(channel)
    return side


@dataclass
class Twins:
    """How two readings of one network compare."""

    common: int = 0
    only: dict[str, int] = field(default_factory=dict)
    """Channels that may go according to one side, while the other says why not."""
    contradictions: list[tuple[Channel, list[Channel]]] = field(default_factory=list)
    """Channels that both let go, but not with the same entries: torch's, and ONNX's."""


def crossing(mine: Side, across: set[Channel]) -> bool:
    """Whether both sides divide the same entries, one by rows and the other by columns."""
    ours = {c for there in across for entry in there for c in mine.of[entry]}
    return all(a & b for a in ours for b in across)


def compared(model: nn.Module, inputs: Any) -> Twins:
    """Read a network twice."""
    proto = exported(model, inputs)
    couplings = [
        spa.analyze(subject, given).analysis.coupling
        for subject, given in ((model, inputs), (proto, None))
    ]
    names = {t.name for t in proto.graph.initializer} & {n for n, _ in model.named_parameters()}
    ours, theirs = (read(coupling, names) for coupling in couplings)
    result = Twins(common=len(ours.channels.keys() & theirs.channels.keys()))
    for mine, other, name in ((ours, theirs, "torch"), (theirs, ours, "onnx")):
        for channel in mine.channels:
            if channel in other.channels:
                continue
            reasons = {other.reasons[entry] for entry in channel if entry in other.reasons}
            across = {c for entry in channel for c in other.of[entry]}
            plain = all(len(side.of[e]) == 1 for e in channel for side in (mine, other))
            whole = all(c <= channel or channel <= c for c in across)
            if plain and not reasons and not whole and not crossing(mine, across):
                if mine is ours:
                    result.contradictions.append((channel, sorted(across, key=sorted)))
                continue
            why = min(reasons) if reasons else ACROSS if not whole or not plain else TOGETHER
            said = f"only {name}: {why}"
            result.only[said] = result.only.get(said, 0) + 1
    return result
