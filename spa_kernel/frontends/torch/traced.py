"""A copy of a module whose written-in sizes can be changed, by tracing its forward."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import fx, nn

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.torch.literals import READERS


def traced(model: nn.Module) -> fx.GraphModule:
    """A copy of a module in which sizes that are written in the code can follow a prune.

    For forwards such as ``x.view(-1, 16 * 5 * 5)``: a number in the code cannot be changed in
    place, so it holds its channels. In the copy every such number is an attribute. What the
    Python code decides (``if self.training``, loops) is settled as it is now. Better, where the
    code is yours, is to write ``x.flatten(1)``.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is; the copy has weights of its own, under the same names.

    Returns
    -------
    torch.fx.GraphModule

    Raises
    ------
    CaptureError
        Where the forward cannot be traced, such as where it branches on values.
    """
    try:
        graph = fx.symbolic_trace(copy.deepcopy(model))
    except Exception as error:
        raise CaptureError(
            f"the forward of {type(model).__name__} cannot be traced: {type(error).__name__}: "
            f"{error}. Replace the sizes that are written in its code by x.shape[...], -1 or "
            "x.flatten(1), and analyse the model itself"
        ) from error
    graph.train(model.training)
    for node in list(graph.graph.nodes):
        if takes_sizes(node):
            node.args = lifted(graph, node, node.args)
            node.kwargs = lifted(graph, node, node.kwargs)
    graph.recompile()
    return graph


def takes_sizes(node: fx.Node) -> bool:
    """Whether a call's whole numbers may be sizes, or positions along an axis."""
    if node.op == "call_method":
        return getattr(torch.Tensor, str(node.target), None) in READERS
    return node.op == "call_function" and (
        node.target in READERS or node.target is operator.getitem
    )


def lifted(graph: fx.GraphModule, node: fx.Node, value: Any) -> Any:
    """The same arguments with every number that could be a size read from an attribute."""
    if type(value) is int and value > 1:
        name = f"size{sum(key.startswith('size') for key in vars(graph))}"
        setattr(graph, name, value)
        with graph.graph.inserting_before(node):
            return graph.graph.create_node("get_attr", name)
    if isinstance(value, tuple | list):
        return type(value)(lifted(graph, node, v) for v in value)
    if isinstance(value, dict):
        return {key: lifted(graph, node, v) for key, v in value.items()}
    if isinstance(value, slice):
        return slice(*(lifted(graph, node, v) for v in (value.start, value.stop, value.step)))
    return value
