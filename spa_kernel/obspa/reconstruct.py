"""Give what is left of a network the weights that make up best for what has gone.

Layer by layer in the order of the network: the inputs of each are those that come out of the layers
before, which are pruned and mended already; the targets are what the dense network makes there
(asymmetric, as in Frantar and Alistarh's "Optimal Brain Compression", arXiv 2208.11580, and Li et
al., "GPTAQ", arXiv 2504.02692), and where a layer adds to a stream, what is wrong with the stream
so far is added to its targets.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
import torch

from spa_kernel import progress
from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.graph.ir import Graph, Node
from spa_kernel.obspa.batchnorm import Channels, Statistics, matched
from spa_kernel.obspa.costs import positions
from spa_kernel.obspa.moments import Moments
from spa_kernel.obspa.neighbours import Neighbours, Norm, Surroundings, scale, turned_back
from spa_kernel.obspa.products import NONE, Product, column_labels, products, row_labels, use_of
from spa_kernel.obspa.program import Program, State
from spa_kernel.obspa.shelf import Shelf
from spa_kernel.obspa.solve import fitted
from spa_kernel.products.uses import Use, matrix_of, weight_of
from spa_kernel.products.ways import back, forth


class Layer(NamedTuple):
    """A product whose weights are to be found anew."""

    product: Product
    own: Product
    near: Neighbours
    rows: torch.Tensor


class Reconstruction:
    """Of one pruned network.

    Parameters
    ----------
    dense, pruned : Program
        The network before and after; the tensors of the latter are written to.
    coupling : Coupling
        Of the dense network.
    removed : numpy.ndarray
        bool, one per label.
    shelf : Shelf
        For each batch its states in both programs, before the first operator.
    least : float
        Least damping, as for `spa_kernel.obspa.solve.fitted`.

    Attributes
    ----------
    changed : set of str
        Names of the tensors that have new content.
    left : list of str
        Names of weights that lost inputs and could not be fitted anew.
    """

    def __init__(
        self,
        dense: Program,
        pruned: Program,
        coupling: Coupling,
        removed: np.ndarray,
        shelf: Shelf,
        least: float = 0.0,
    ) -> None:
        self.dense, self.pruned, self.coupling = dense, pruned, coupling
        self.removed, self.shelf, self.least = removed, shelf, least
        self.changed: set[str] = set()
        self.left: list[str] = []

    def run(self) -> None:
        """Go through the network once."""
        layers, norms = self._plan()
        stops = [*layers, *norms]
        heapify(stops)
        total = len(stops)
        while stops:
            progress.report("reconstructing, layer", total - len(stops) + 1, total)
            index = heappop(stops)
            if index in norms:
                self._match(norms[index])
            elif not self._solve(layers[index]):
                self._leave(layers[index].product)
                norm = layers[index].near.norm
                if norm is not None:
                    norms[norm.index] = norm
                    heappush(stops, norm.index)

    def _plan(self) -> tuple[dict[int, Layer], dict[int, Norm]]:
        """The layers that can be solved, and the norms that none of them leads to."""
        graph: Graph = self.coupling.graph
        around = Surroundings(graph)
        of_pruned = in_turn(products(self.pruned.graph))
        layers: dict[int, Layer] = {}
        for turn, product in in_turn(products(graph)).items():
            own = of_pruned.get(turn)
            node = product.node
            if not product.alone or own is None or node.attrs.get("alpha", 1) != 1:
                self._leave(product)
                continue
            labels = row_labels(product, self.coupling)
            gone = (self.removed[labels] & (labels != NONE)).any(2)
            rows = torch.from_numpy(~gone.reshape(-1)).nonzero().flatten()
            # Positions are those of the dense network, as copies may be made in one of them alone.
            own = replace(own, index=product.index)
            layers[product.index] = Layer(product, own, around.of(node, gone.size), rows)
        led = {layer.near.norm.index for layer in layers.values() if layer.near.norm}
        norms = {
            i: norm
            for i, node in enumerate(graph.nodes[: graph.evaluated])
            if node.op == "BatchNormalization" and i not in led and (norm := around.norm(i, node))
        }
        return layers, norms

    def _leave(self, product: Product) -> None:
        labels = column_labels(product, self.coupling)
        if (self.removed[labels] & (labels != NONE)).any():
            self.left.append(product.way.parameter)

    def _solve(self, layer: Layer) -> bool:
        """New weights for a layer; whether that could be done."""
        index = layer.product.index
        moments = Moments(min(2, len(self.shelf)))
        included = False
        for number in range(len(self.shelf)):
            with self.shelf.taken(number) as (dense, pruned):
                self.dense.run(dense, index, through=False)
                self.pruned.run(pruned, index, through=False)
                before = use_of(self.dense, dense, layer.product)
                use = use_of(self.pruned, pruned, layer.own)
                if before is None or use is None or not use.whole or not use.shape[2]:
                    return False
                if before.shape[2] != use.shape[2]:
                    # It mixes tokens, say, and the channels that have gone are its positions.
                    return False
                one, other = (
                    adds_bias(program.node(state, index)[0])
                    for program, state in ((self.dense, dense), (self.pruned, pruned))
                )
                included = one
                if one != other or (included and not layer.near.bias):
                    return False
                factors = self._factors(layer, pruned, use)
                if factors is None:
                    return False
                lacking = self._lacking(layer, dense, pruned, before, use, factors)
                if number == 0 and lacking is None and self._alike(layer, dense, pruned):
                    # Nothing before this layer has changed.
                    return True
                self.dense.run(dense, index, through=True)
                y = self.dense.result(dense, index)
                if y is None:
                    return False
                target = before.outputs(y).flatten(0, 1)[layer.rows.to(y.device)] * factors.to(y)
                if lacking is not None:
                    target = target + lacking
                target = target.unflatten(0, (use.shape[0], -1))
                for x, beside in use.pieces(target, positions(use.shape[1], len(self.shelf))):
                    moments.add(x, beside, number % moments.folds)
        self._assign(layer, moments, included)
        return True

    def _factors(self, layer: Layer, pruned: State, use: Use) -> torch.Tensor | None:
        """By what a layer's outputs are to be larger than the dense network's.

        A prune may do so to make up for a size that is smaller, such as the one whose root
        attention divides by. Broadcasts to the layout of targets; ``None`` if it is not known.
        """
        found = self.pruned.graph.factors.get(layer.own.node.outputs[0])
        if found is None:
            return torch.ones(1)
        shape = self.pruned.node(pruned, layer.product.index)[0].outputs[0].shape
        if any(n not in (1, m) for n, m in zip(found.shape[::-1], shape[::-1], strict=False)):
            return None
        whole = torch.from_numpy(np.broadcast_to(found, shape).copy())
        return use.outputs(whole).flatten(0, 1)

    def _lacking(
        self,
        layer: Layer,
        dense: State,
        pruned: State,
        before: Use,
        use: Use,
        factors: torch.Tensor,
    ) -> torch.Tensor | None:
        """What the stream that a layer adds to lacks, in the layer's own units.

        (G R, pictures, n / pictures), or ``None`` where it adds to none, or nothing is lacking.
        """
        total = layer.near.total
        if total is None:
            return None
        found = []
        for program, state, product in (
            (self.dense, dense, layer.product),
            (self.pruned, pruned, layer.own),
        ):
            stream = program.operand(state, total.index, total.position)
            if stream is None:
                return None
            turned = turned_back(program, state, total, product.index, stream)
            if turned is None:
                return None
            found.append(turned)
        wanted = before.outputs(found[0]).flatten(0, 1)[layer.rows.to(found[0].device)]
        there = use.outputs(found[1]).flatten(0, 1)
        if torch.equal(wanted, there):
            return None
        one = scale(layer.near, self.dense.stored, layer.rows)
        other = scale(layer.near, self.pruned.stored, torch.arange(len(layer.rows)))
        one, other = (s.to(wanted)[:, None, None] for s in (one, other))
        lacking = wanted * factors.to(wanted) / one - there / other
        return torch.where((one != 0) & (other != 0), lacking, 0.0)

    def _alike(self, layer: Layer, dense: State, pruned: State) -> bool:
        """Whether a layer has the same inputs in both networks."""
        index = layer.product.index
        for position, value in enumerate(layer.product.node.inputs):
            if value is None or value.stored or position == layer.product.position:
                continue
            one = self.dense.operand(dense, index, position)
            other = self.pruned.operand(pruned, index, position)
            if one is not None and other is not None and not torch.equal(one, other):
                return False
        return True

    def _assign(self, layer: Layer, moments: Moments, included: bool) -> None:
        """Write the weights, bias and BatchNorm statistics that the moments ask for.

        ``included``: whether the bias is part of the targets.
        """
        own, near, stored = layer.own, layer.near, self.pruned.stored
        used = forth(stored[own.way.parameter], own.way)
        prior = matrix_of(own.node, own.position, used).double()
        fit = fitted(moments, prior, bool(near.bias or near.norm), self.least)
        new = weight_of(own.node, own.position, fit.weight, tuple(used.shape))
        # Entry by entry: other rows of the parameter may belong to other products.
        change = back(new - used.double(), own.way)
        self._write(own.way.parameter, stored[own.way.parameter].double() + change)
        target, offset = fit.moments.y.flatten(), fit.offset.flatten()
        reached = target - offset
        if near.bias:
            bias = stored[near.bias].double().flatten()
            self._write(near.bias, offset if included else bias + offset)
            # What comes after the bias has the mean that it had in the dense network.
            target = reached = target if included else target + bias
        if near.norm:
            wanted = Statistics(target, fit.moments.yy.flatten())
            self._renew(near.norm, wanted, Statistics(reached, fit.variance.flatten()))

    def _match(self, norm: Norm) -> None:
        """New statistics for a BatchNorm that no layer leads to."""
        channels = Channels(), Channels()
        value = self.coupling.graph.nodes[norm.index].inputs[0]
        assert value is not None
        kept = torch.from_numpy(self.coupling.kept((value, 1), self.removed)).nonzero().flatten()
        before = self.dense.stored[norm.mean]
        if not torch.equal(before[kept.to(before.device)], self.pruned.stored[norm.mean]):
            # It took up a factor.
            return
        for number in range(len(self.shelf)):
            with self.shelf.taken(number) as (dense, pruned):
                self.dense.run(dense, norm.index, through=False)
                self.pruned.run(pruned, norm.index, through=False)
                one = self.dense.operand(dense, norm.index, 0)
                other = self.pruned.operand(pruned, norm.index, 0)
                if one is None or other is None:
                    return
                one = one.index_select(1, kept.to(one.device))
                if number == 0 and torch.equal(one, other):
                    return
                channels[0].add(one)
                channels[1].add(other)
        self._renew(norm, channels[0].get(), channels[1].get())

    def _renew(self, norm: Norm, wanted: Statistics, there: Statistics) -> None:
        mean, variance = (self.pruned.stored[n].double() for n in (norm.mean, norm.variance))
        new = matched(Statistics(mean, variance), wanted, there, norm.epsilon)
        self._write(norm.mean, new.mean)
        self._write(norm.variance, new.variance)

    def _write(self, name: str, content: torch.Tensor) -> None:
        tensor = self.pruned.stored[name]
        new = content.reshape(tensor.shape).to(tensor)
        if not new.isfinite().all():
            raise InfeasibleTarget(
                f"what {name!r} is to become is not finite: look for NaN, infinity or very large "
                "numbers in the data and the weights"
            )
        tensor.copy_(new)
        self.changed.add(name)


def in_turn(found: list[Product]) -> dict[tuple[str, int], Product]:
    """Products by their parameter, and how many products it had before."""
    turns = Counter[str]()
    named = {}
    for product in found:
        name = product.way.parameter
        named[name, turns[name]] = product
        turns[name] += 1
    return named


def adds_bias(node: Node) -> bool:
    """Whether an operator adds a bias to its product."""
    return len(node.inputs) > 2 and node.op != "Einsum" and node.inputs[2] is not None
