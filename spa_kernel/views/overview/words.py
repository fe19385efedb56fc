"""What operators do to channels, in words."""

from __future__ import annotations

from spa_kernel.graph.ir import Node, Value
from spa_kernel.graph.ops_probed import tried_out

LINKS = {
    "Add": "residual add", "Sum": "residual add", "Sub": "difference", "Mul": "gate",
    "Div": "quotient",
    "Concat": "concat", "Split": "split", "Slice": "slice", "Reshape": "reshape",
    "Flatten": "flatten", "MatMul": "product", "Einsum": "product", "Where": "choice",
    "Attention": "attention",
}  # fmt: skip
"""Short names of operators that tie channels together."""

_SENTENCES = {
    "Add": "A residual add: index i of one summand is added to index i of the other",
    "Sum": "A residual add: index i of one summand is added to index i of the other",
    "Sub": "A difference: index i is taken from index i",
    "Mul": "A gate: index i of one is multiplied by index i of the other",
    "Div": "A quotient: index i is divided by index i",
    "Concat": "A concat: what is joined here is read as one by the layers behind it",
    "Split": "A split: the parts are parts of the same channels",
    "Reshape": "A reshape: the channels are cut into blocks, such as heads, or put together",
    "Flatten": "A flatten: a channel becomes a run of features, which go with it",
    "MatMul": "A product: index i of one factor meets index i of the other",
    "Einsum": "A product: index i of one factor meets index i of the other",
    "Attention": "Attention: index i of a query meets index i of a key",
}

_NORMS = {
    "BatchNormalization": "batch norm",
    "LayerNormalization": "layer norm",
    "GroupNormalization": "group norm",
    "InstanceNormalization": "instance norm",
    "RMSNormalization": "RMS norm",
}


def link_words(node: Node) -> str:
    """Why an operator ties channels together."""
    known = _SENTENCES.get(node.op)
    if known is None:
        known = f"{node.op}: channels of several values meet index by index"
    return f"{known} (found by trying it out)" if tried_out(node) else known


def role(node: Node, cut: list[tuple[Value, int]], reads: bool, writes: bool) -> str:
    """What an operator's tensors have the channels for.

    Parameters
    ----------
    node : Node
    cut : list of (Value, int)
        Tensors, and the axes that have the channels.
    reads, writes : bool
        Whether its data has them, and its result.
    """
    if node.op in _NORMS:
        return _NORMS[node.op]
    value = max((v for v, _ in cut), key=lambda v: v.ndim)
    both = len({a for v, a in cut if v is value}) > 1
    if node.op in ("Add", "Sub", "Mul", "Div"):
        return "bias per channel" if node.op in ("Add", "Sub") else "scale per channel"
    if node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum"):
        if both:
            return "input and output channels"
        if reads and writes:
            return "each channel by itself"
        return "input channels" if reads else "output channels"
    if node.op in ("Gather", "Embedding") and writes and not reads:
        return "output channels of a table"
    if writes and not reads:
        return "output channels"
    return "input channels" if reads and not writes else "channels"
