"""Further forwards in one recording, for parts that the first one does not use.

Training mode has heads of its own; where values decide, other inputs go other ways (to the
experts that the example did not choose).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from spa_kernel.graph.ir import Graph, Node, Value

OTHERS = 12
"""Other inputs that are tried at most."""

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Pass:
    """One further forward: in training mode, or on other inputs (a seed)."""

    training: bool = False
    seed: int = 0

    def inputs(self, example: Inputs) -> Inputs:
        """The inputs of this pass, made from the example."""
        if self.training:
            return twice(example)
        generator = torch.Generator().manual_seed(self.seed)
        scale = 2.0 ** (self.seed % 4 - 1)
        made: Inputs = mapped(example, lambda x: other(x, generator, scale))
        return made


def candidates(decided: bool) -> Iterator[Pass]:
    """The passes to try; ``decided``: values decided in the first forward."""
    yield Pass(training=True)
    for seed in range(1, OTHERS + 1) if decided else ():
        yield Pass(seed=seed)


def training(model: nn.Module) -> Callable[[], None]:
    """Put all modules in training mode; returns what takes that back."""
    modules = [m for m in model.modules() if not m.training]
    for module in modules:
        module.training = True

    def back() -> None:
        for module in modules:
            module.training = False

    return back


def twice(inputs: Inputs) -> Inputs:
    """Inputs with two of everything in the batch: statistics of one alone may not be defined."""
    sizes: set[torch.Size] = set()

    def note(x: torch.Tensor) -> torch.Tensor:
        sizes.add(x.shape[:1])
        return x

    mapped(inputs, note)
    if len(sizes) != 1 or not next(iter(sizes)):
        return inputs
    doubled: Inputs = mapped(inputs, lambda x: torch.cat([x, x]))
    return doubled


def other(x: torch.Tensor, generator: torch.Generator, scale: float) -> torch.Tensor:
    """Another tensor of the same kind: noise is added, or whole numbers in the same range.

    Truth values, and numbers that are all equal or only 0 and 1 (masks), stay as they are.
    """
    if x.is_floating_point():
        spread = float(x.std()) if x.numel() > 1 else 0.0
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        return x + (scale * (spread or 1.0) * noise).to(x)
    if x.dtype == torch.bool or x.dtype.is_complex or not x.numel() or int(x.max()) < 2:
        return x
    low, high = int(x.min()), int(x.max())
    return torch.randint(low, high + 1, x.shape, generator=generator).to(x)


def mapped(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """Inputs with every tensor changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {k: mapped(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mapped(v, change) for v in value)
    return value


def ways_not_taken(graph: Graph, unused: list[str]) -> Iterator[Node]:
    """What other inputs may bring to parameters that no pass has reached, as operators.

    Everything that was computed in the module around such a parameter may flow into it, or be
    joined with what comes out of it.
    """
    names = {node.name for node in graph.nodes}
    around: dict[str, str] = {}
    for parameter in unused:
        owner = parameter.rpartition(".")[0]
        while owner and not any(n == owner or n.startswith(f"{owner}.") for n in names):
            owner = owner.rpartition(".")[0]
        around.setdefault(owner, parameter)
    for owner, parameter in around.items():
        near = [n for n in graph.nodes if n.name == owner or n.name.startswith(f"{owner}.")]
        if not owner:
            near = [n for n in graph.nodes if not n.name]
        values: dict[Value, None] = {}
        for node in near:
            values.update(dict.fromkeys(v for v in (*node.inputs, *node.outputs) if v is not None))
        stored = graph.stored[parameter]
        yield Node("NotReached", (stored, *values), (), {"parameter": parameter}, owner)
