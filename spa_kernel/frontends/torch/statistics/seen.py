"""The uses of weights by an operator that was just carried out."""

from __future__ import annotations

from collections.abc import Iterator

from spa_kernel.frontends.torch.statistics.observe import Observer
from spa_kernel.frontends.torch.statistics.run import wide
from spa_kernel.graph.ir import Node
from spa_kernel.products.uses import CONVOLUTIONS, PRODUCTS, Use, convolved, letters, multiplied
from spa_kernel.products.ways import Way, ways


def uses(observer: Observer, node: Node) -> Iterator[tuple[Way, Use]]:
    """The uses of weights, each with how it is made of a parameter.

    Not those inside of recurrent layers, of deformable convolutions, and of experts that are
    chosen at run time: they are no such product, or X is not seen.
    """
    if node.op in CONVOLUTIONS:
        weight = node.inputs[1]
        found = list(ways(weight, observer.weights)) if weight is not None else []
        x = observer.tensor(node.inputs[0]) if node.inputs[0] is not None else None
        if found and x is not None:
            assert weight is not None
            for way in found:
                yield way, convolved(wide(x), weight.shape, node.attrs["geometry"])
    elif node.op in PRODUCTS:
        terms, out = letters(node)
        for position in range(len(terms)):
            operand = node.inputs[position]
            assert operand is not None
            for way in ways(operand, observer.weights):
                others = [v for i, v in enumerate(node.inputs[: len(terms)]) if i != position]
                tensors = [observer.tensor(v) for v in others if v is not None]
                known = [wide(t) for t in tensors if t is not None]
                rest = terms[:position] + terms[position + 1 :]
                if len(known) == len(rest):
                    yield way, multiplied(known, operand.shape, terms[position], rest, out)
