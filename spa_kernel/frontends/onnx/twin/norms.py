"""BatchNormalization nodes as torch's own layers, which others look for and may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.twin.names import free, owner_of

LAYERS: dict[int, type[_BatchNorm]] = {
    2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d
}  # fmt: skip
"""By the number of axes of what is normalised."""


def norms(
    nodes: list[onnx.NodeProto], stored: Mapping[str, torch.Tensor], ranks: Mapping[str, int]
) -> Iterator[onnx.NodeProto]:
    """The nodes that can be such a layer: all of their operands are stored.

    Parameters
    ----------
    nodes : list of onnx.NodeProto
    stored : mapping
        The tensors that are weights, by name.
    ranks : mapping
        The number of axes of each node's input, by name.
    """
    uses = Counter(name for node in nodes for name in (*node.input, *infer.outer_names(node)))
    found = [
        node for node in nodes
        if node.op_type == "BatchNormalization" and node.domain in ("", "ai.onnx")
        and all(name in stored for name in node.input[1:])
        and ranks.get(node.input[0]) in LAYERS
        and not any(node.output[1:])
        and not any(a.name == "training_mode" and a.i for a in node.attribute)
    ]  # fmt: skip
    of_norms = Counter(name for node in found for name in node.input[3:])
    for node in found:
        # Statistics that something else computes with are weights of their own.
        if all(uses[name] == of_norms[name] for name in node.input[3:]):
            yield node


def layer(
    root: nn.Module,
    node: onnx.NodeProto,
    rank: int,
    tensors: Mapping[str, Any],
    number: int,
) -> str:
    """Add a layer for a node; its path.

    Where the statistics' name says, if nothing is there yet.
    """
    scale, bias, mean, variance = node.input[1:]
    attributes = {a.name: a.f for a in node.attribute}
    made = LAYERS[rank](
        len(tensors[mean]), attributes.get("epsilon", 1e-5), 1 - attributes.get("momentum", 0.9)
    )
    made.weight, made.bias = tensors[scale], tensors[bias]
    made.running_mean, made.running_var = tensors[mean], tensors[variance]
    path = mean.split(".")[:-1]
    module = root
    for part in path:
        inner = module._modules.get(part)
        if inner is None and not free(module, part):
            path = []
            break
        module = inner if inner is not None else nn.Module()
    if not path or path[-1] in owner_of(root, path[:-1])._modules:
        path = ["norms", str(number)]
        while "norms" not in root._modules and not free(root, path[0]):
            path[0] += "_"
    owner_of(root, path[:-1]).add_module(path[-1], made)
    return ".".join(path)
