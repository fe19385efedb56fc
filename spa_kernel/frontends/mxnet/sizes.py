"""New sizes for a Gluon block, which stays the same object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from spa_kernel.frontends.mxnet import mx

SIZES = {
    "Convolution": "num_filter",
    "Deconvolution": "num_filter",
    "FullyConnected": "num_hidden",
    "Embedding": "output_dim",
}
"""By operator of MXNet, the attribute that says how many channels come out."""


class Swaps:
    """Attributes that got another value, and the one that each has not at the moment."""

    def __init__(self) -> None:
        self._held: list[tuple[dict[str, Any], str, Any]] = []

    def put(self, holder: Any, name: str, value: Any) -> None:
        """Give an attribute another value."""
        attributes = vars(holder)
        self._held.append((attributes, name, attributes[name]))
        attributes[name] = value

    def swap(self) -> None:
        """Exchange the values that the attributes have and those that they have not."""
        turned = []
        for attributes, name, value in reversed(self._held):
            turned.append((attributes, name, attributes[name]))
            attributes[name] = value
        self._held = turned

    @property
    def nbytes(self) -> int:
        arrays = (
            a for _, name, held in self._held if name in ("_data", "_grad") for a in held or []
        )
        return sum(array.size * np.dtype(array.dtype).itemsize for array in arrays)


def resize(
    block: Any, contents: Mapping[str, np.ndarray], groups: Mapping[str, int], swaps: Swaps
) -> None:
    """Give parameters other contents, and layers the sizes that follow.

    Parameters
    ----------
    block : mxnet.gluon.Block
    contents : dict of str to numpy.ndarray
        By parameter name.
    groups : dict of str to int
        By the name of a convolution's weight, how many groups it has.
    swaps : Swaps
        Keeps what was there before.
    """
    parameters = block.collect_params()
    for name, content in contents.items():
        fill(parameters[name], content, swaps)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    for layer in layers(block):
        if isinstance(layer, mx.gluon.SymbolBlock):
            inputs, symbol = layer._cached_graph
            swaps.put(layer, "_cached_graph", (inputs, resized(symbol, shapes, groups)))
            continue
        for name, value in attributes(layer, groups).items():
            if vars(layer).get(name, value) != value:
                swaps.put(layer, name, value)
    forget(block)


def fill(parameter: Any, content: np.ndarray, swaps: Swaps) -> None:
    """Give a parameter other content, of any shape."""
    contexts = parameter.list_ctx()
    # Its symbol knows the old shape.
    for name, value in ("_shape", content.shape), ("_var", None), ("_data", None), ("_grad", None):
        swaps.put(parameter, name, value)
    with mx.autograd.pause():
        parameter._init_impl(mx.nd.array(content, dtype=content.dtype), contexts)


def layers(block: Any) -> Iterator[Any]:
    """A block and all that is in it, each once."""
    found: dict[int, Any] = {}
    block.apply(lambda layer: found.setdefault(id(layer), layer))
    yield from found.values()


def attributes(layer: Any, groups: Mapping[str, int]) -> dict[str, Any]:
    """What a layer of Gluon knows of its sizes, as its parameters are now."""
    nn = mx.gluon.nn
    if isinstance(layer, nn.conv_layers._Conv):
        kwargs, weight = layer._kwargs, layer.weight
        count = groups.get(weight.name, kwargs["num_group"])
        ends = [weight.shape[0], weight.shape[kwargs["layout"].find("C")] * count]
        if layer._op_name == "Convolution":
            ends.reverse()
        kwargs = {**kwargs, "num_filter": ends[1], "num_group": count}
        known = {"_in_channels": ends[0]} if layer._in_channels else {}
        return {"_channels": ends[1], "_kwargs": kwargs, **known}
    if isinstance(layer, nn.Dense):
        units, inputs = layer.weight.shape
        return {"_units": units, "_in_units": inputs}
    if isinstance(layer, nn.Embedding):
        count, width = layer.weight.shape
        kwargs = {**layer._kwargs, "input_dim": count, "output_dim": width}
        return {"_input_dim": count, "_output_dim": width, "_kwargs": kwargs}
    if isinstance(layer, nn.basic_layers._BatchNorm) and "in_channels" in vars(layer):
        return {"in_channels": layer.gamma.shape[0]}
    return {}


def resized(symbol: Any, shapes: Mapping[str, tuple[int, ...]], groups: Mapping[str, int]) -> Any:
    """A symbol whose operators have the sizes that these shapes of parameters ask for."""
    graph = json.loads(symbol.tojson())
    nodes = graph["nodes"]
    for node in nodes:
        attrs = node.get("attrs", {})
        if node["name"] in shapes and "__shape__" in attrs:
            attrs["__shape__"] = str(tuple(shapes[node["name"]]))
        if node["op"] not in SIZES:
            continue
        weight = nodes[node["inputs"][1][0]]["name"]
        if weight not in shapes:
            continue
        count = groups.get(weight, int(attrs.get("num_group", 1)))
        if "num_group" in attrs:
            attrs["num_group"] = str(count)
        shape = shapes[weight]
        if node["op"] == "Deconvolution":
            width = shape[(attrs.get("layout") or "NC").find("C")] * count
        else:
            width = shape[-1] if node["op"] == "Embedding" else shape[0]
        attrs[SIZES[node["op"]]] = str(width)
        if node["op"] == "Embedding":
            attrs["input_dim"] = str(shape[0])
    return mx.sym.load_json(json.dumps(graph))


def forget(block: Any) -> None:
    """Let a block compile its forward anew."""
    for layer in layers(block):
        if isinstance(layer, mx.gluon.HybridBlock):
            layer._clear_cached_op()
