"""What channels carry: sizes, zeros and ranks of activations, one number per coupled channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import CaptureError, InfeasibleTarget
from spa_kernel.frontends.torch.statistics.observe import Observer, observe
from spa_kernel.frontends.torch.statistics.run import Run, statistic, wide
from spa_kernel.graph.ir import Axis, Graph, Node, Value
from spa_kernel.products.uses import CONVOLUTIONS, letters

KINDS = {
    "Conv": "a convolution", "ConvTranspose": "a convolution", "Gemm": "a product",
    "MatMul": "a product", "Einsum": "a product",
}  # fmt: skip
"""Operators that read channels; torch takes one or the other product by how tensors lie."""
RECTIFIERS = frozenset("Relu Clip ThresholdedRelu Shrink HardSwish HardSigmoid".split())
"""Entry by entry, and exactly zero for a range of inputs (Clip: where a limit is zero)."""
PICTURES = 32
"""Most pictures whose feature maps have their rank worked out."""

Measure = Callable[[torch.Tensor, int, int], tuple[torch.Tensor, int]]
"""From an activation, an axis, and over how many was summed before: sums over all other axes,
one per index, and over how many."""
Reading = tuple[Value | None, tuple[int, ...]]
"""An activation, and which of its axes are looked at."""
Profile = tuple[np.ndarray, np.ndarray]
"""Labels (n, k) of an axis of an activation, and means (n,) for its indices."""


def anchors(graph: Graph) -> list[Node]:
    """The operators at which a forward on a batch is matched with the recorded one."""
    nodes = graph.nodes[: graph.evaluated] if graph.evaluated is not None else graph.nodes
    return [n for n in nodes if n.op in KINDS or n.op in RECTIFIERS]


def read(node: Node) -> list[Reading]:
    """The channels that a convolution takes, and the axes that a product sums over."""
    if node.op in CONVOLUTIONS:
        return [(node.inputs[0], (1,))]
    if node.op not in KINDS:
        return []
    terms, out = letters(node)
    return [
        (value, tuple(i for i, c in enumerate(term) if c not in out))
        for value, term in zip(node.inputs, terms, strict=False)
    ]


def made(node: Node) -> list[Reading]:
    """The channels that a convolution or a product makes of its input."""
    out = node.outputs[0]
    if node.op in CONVOLUTIONS:
        return [(out, (1,))]
    return [(out, (out.ndim - 1,))] if node.op in KINDS and out.ndim else []


def rectified(node: Node) -> list[Reading]:
    """What comes out of a rectifier."""
    if node.op not in RECTIFIERS or (node.op == "Clip" and 0 not in limits(node)):
        return []
    return [(v, tuple(range(v.ndim))) for v in node.outputs]


def limits(node: Node) -> tuple[Any, Any]:
    """The least and the largest number that a Clip lets through."""
    return node.attrs.get("min"), node.attrs.get("max")


class Profiler:
    """Sums over batches for each axis that can lose channels of each chosen activation.

    Parameters
    ----------
    coupling : Coupling
    chosen : callable
    measure : callable
    """

    def __init__(
        self, coupling: Coupling, chosen: Callable[[Node], list[Reading]], measure: Measure
    ) -> None:
        self.coupling, self.chosen, self.measure = coupling, chosen, measure
        self.recorded = anchors(coupling.graph)
        self.totals: dict[Axis, torch.Tensor] = {}
        self.counts: dict[Axis, int] = {}
        own = np.arange(coupling.count)
        self._source = own if coupling.source is None else coupling.source
        self._several = self._source == own
        self._several &= np.bincount(self._source, minlength=coupling.count) > 1
        self._at = 0
        self._seen: set[Axis] = set()

    def see(self, observer: Observer, node: Node, given: Any) -> None:
        """Match an operator with the recorded one, and look at its activations."""
        if node.op not in KINDS and node.op not in RECTIFIERS:
            return
        old = self.recorded[self._at] if self._at < len(self.recorded) else None
        self._at += 1
        if old is None or kind(old) != kind(node) or old.name != node.name:
            raise differs(node, old)
        for (value, axes), (now, _) in zip(self.chosen(old), self.chosen(node), strict=False):
            weight = now is None or now.stored or now in observer.weights
            x = observer.tensor(now) if now is not None and not weight else None
            if value is not None and x is not None:
                for axis in axes:
                    # Axes in front may have been merged; those behind are the same.
                    place = axis - value.ndim
                    if self._wanted((value, axis)):
                        if x.ndim + place < 0 or x.shape[place] != value.shape[axis]:
                            raise differs(node, old)
                        self._add((value, axis), x, place % x.ndim)

    def _wanted(self, key: Axis) -> bool:
        labels = self.coupling.axes.get(key)
        if labels is None or key in self._seen or self.coupling.frozen[labels].all():
            return False
        if self._several[labels].any() and not self._all_blocks(labels):
            return False
        self._seen.add(key)
        return True

    def _all_blocks(self, labels: np.ndarray) -> bool:
        """Whether an axis with labels of the first block has those of all others, too.

        Where blocks choose apart, an axis that they share has the first block's labels.
        """
        first = labels[self._several[labels]]
        blocks = np.isin(self._source, first)
        return bool(np.isin(np.flatnonzero(blocks), labels).all())

    def _add(self, key: Axis, x: torch.Tensor, axis: int) -> None:
        if x.is_floating_point():
            total, count = self.measure(x, axis, self.counts.get(key, 0))
            if count:
                self.totals[key] = self.totals[key] + total if key in self.totals else total
                self.counts[key] = self.counts.get(key, 0) + count

    def end(self) -> None:
        """A batch is through."""
        if self._at < len(self.recorded):
            raise differs(None, self.recorded[self._at])
        self._at = 0
        self._seen.clear()


def profiles(
    run: Run, chosen: Callable[[Node], list[Reading]], measure: Measure
) -> Iterator[Profile]:
    """Means over all batches for each axis that can lose channels of each chosen activation.

    Raises
    ------
    CaptureError
        On a batch the forward goes another way than on the example input.
    InfeasibleTarget
        Activations are not finite.
    """
    profiler = Profiler(run.coupling, chosen, measure)
    observe(run, profiler.see, profiler.end, alike=True)
    for key, total in profiler.totals.items():
        if not total.isfinite().all():
            raise InfeasibleTarget(
                f"activations of shape {list(key[0].shape)} are not finite: look for NaN or "
                "infinity in the data and the weights"
            )
        yield run.coupling.axes[key], (total / profiler.counts[key]).cpu().numpy()


def kind(node: Node) -> str:
    """What an operator is called when two forwards are compared."""
    return KINDS.get(node.op, node.op)


def differs(node: Node | None, old: Node | None) -> CaptureError:
    """The error where two forwards part."""
    now = f"comes to {node.where}" if node is not None else "ends"
    then = f"came to {old.where}" if old is not None else "had ended"
    return CaptureError(
        f"on a batch of the data the forward {now}, where it {then} on the example input: analyse "
        "the model with an example input like the batches, or choose a criterion that does not "
        "look at activations"
    )


def others(x: torch.Tensor, axis: int) -> list[int]:
    """All axes but one."""
    return [i for i in range(x.ndim) if i != axis]


def squares(x: torch.Tensor, axis: int, _: int) -> tuple[torch.Tensor, int]:
    """Sums of squares."""
    x = wide(x)
    norms = torch.linalg.vector_norm(x, dim=others(x, axis)) if x.ndim > 1 else x.abs()
    return norms.double().square(), x.numel() // max(x.shape[axis], 1)


def zeros(x: torch.Tensor, axis: int, _: int) -> tuple[torch.Tensor, int]:
    """Numbers of zeros."""
    count = x.numel() // max(x.shape[axis], 1)
    found = torch.count_nonzero(x, dim=others(x, axis)) if x.ndim > 1 else (x != 0).long()
    return count - found.double(), count


def ranks(x: torch.Tensor, axis: int, before: int) -> tuple[torch.Tensor, int]:
    """Ranks of the feature maps of the first few pictures, summed; only where there are maps."""
    if x.ndim != 4 or axis != 1 or min(x.shape[2:]) < 2:
        return x.new_zeros(0), 0
    few = wide(x[: max(0, PICTURES - before)])
    return torch.linalg.matrix_rank(few).sum(0).double(), len(few)


def per_label(run: Run, found: Iterable[Profile]) -> np.ndarray:
    """Means over the activations that carry a coupled channel: float64 (labels,).

    Within an activation over the indices that go with the channel; NaN where none carries it.
    """
    size = run.coupling.count
    total, number = np.zeros(size), np.zeros(size)
    for labels, values in found:
        each = np.repeat(values, labels.shape[1])
        times = np.bincount(labels.ravel(), minlength=size)
        own = np.bincount(labels.ravel(), each, minlength=size)
        total += own / np.maximum(times, 1)
        number += times > 0
    return np.divide(total, number, out=np.full(size, np.nan), where=number > 0)


def relative(run: Run, chosen: Callable[[Node], list[Reading]]) -> np.ndarray:
    """Root mean squares per coupled channel, each as a multiple of the mean over its axis."""
    sizes = ((labels, np.sqrt(mean)) for labels, mean in profiles(run, chosen, squares))
    return per_label(run, ((labels, size / (size.mean() or 1.0)) for labels, size in sizes))


@statistic("activation_size")
def activation_size(run: Run) -> np.ndarray:
    run.again()
    sizes = relative(run, read)
    missing = [g for g in run.coupling.groups if g.prunable and np.isnan(sizes[g.labels]).any()]
    return np.where(np.isnan(sizes), relative(run, made), sizes) if missing else sizes


@statistic("zero_share")
def zero_share(run: Run) -> np.ndarray:
    return per_label(run, profiles(run, rectified, zeros))


@statistic("feature_rank")
def feature_rank(run: Run) -> np.ndarray:
    return per_label(run, profiles(run, read, ranks))
