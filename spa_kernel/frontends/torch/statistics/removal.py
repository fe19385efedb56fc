"""What removing channels costs, in squared change of the network's output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.frontends.torch.batches import parts
from spa_kernel.frontends.torch.capture import tensors_in
from spa_kernel.frontends.torch.program import TorchProgram
from spa_kernel.frontends.torch.statistics.gate import gated, gates
from spa_kernel.frontends.torch.statistics.gradient import Tensors, derivatives
from spa_kernel.frontends.torch.statistics.kept import Kept
from spa_kernel.frontends.torch.statistics.run import Run, statistic, wide
from spa_kernel.obspa.costs import costs
from spa_kernel.obspa.foreign import adapt
from spa_kernel.obspa.moments import Second
from spa_kernel.obspa.products import Product, products
from spa_kernel.obspa.program import State
from spa_kernel.obspa.shelf import Shelf
from spa_kernel.products.uses import matrix_of
from spa_kernel.products.ways import forth


@statistic("removal_cost")
def removal_cost(run: Run) -> dict[str, np.ndarray]:
    """By the Gauss-Newton matrix of the output: no labels are asked for.

    For a product with the inputs X, and with g the derivative of a random projection of the
    network's output by its weight, ``E[(g · dW)^2]`` is taken as ``tr(G dW H dW^T)``, where
    ``G = E[g g^T] / tr(H)`` (Kronecker-factored, with row factors of full size, as in Wang et al.,
    "EigenDamage", arXiv 1905.05934).
    """
    run.again()
    run.model.eval()
    program, graph = TorchProgram(run.model, run.recorder), run.coupling.graph

    def begin() -> Iterator[State]:
        for inputs, _ in run.batches():
            for part in parts(inputs, run.inputs):
                yield program.begin(part)

    if run.foreign:
        shelf = Shelf()
        for state in begin():
            shelf.add(state)
        for adapted in adapt(program, shelf):
            for name in (adapted.norm.mean, adapted.norm.variance):
                run.model.get_buffer(name).copy_(program.stored[name])
        shelf.close()
        # Until the end it is this state that is put back after each batch.
        run.kept = Kept(run.model)
    every = products(graph)
    weighed: dict[tuple[int, int], torch.Tensor] = {}
    marked, gate, batches = gated(run.coupling), np.zeros(run.coupling.count), 0
    for parameters, found in projections(run):
        batches += 1
        gate += np.square(gates(parameters, found, marked, run.coupling.count))
        for product in every:
            if product.way.parameter in found:
                g = as_matrix(product, found[product.way.parameter])
                w = as_matrix(product, parameters[product.way.parameter].detach())
                one = g @ (g.transpose(1, 2) @ w)
                if product.place in weighed:
                    weighed[product.place] += one
                else:
                    weighed[product.place] = one

    def weigh(product: Product, weight: torch.Tensor, moments: Second) -> torch.Tensor:
        energy = moments.about_zero().xx.diagonal(dim1=1, dim2=2).sum(1).clamp(min=1e-30)
        if product.place not in weighed:
            return torch.zeros_like(weight)
        return weighed[product.place].double() / (batches * energy[:, None, None])

    found_costs, factor = costs(program, run.coupling, begin, batches, weigh)
    gate *= factor / batches
    for group in run.coupling.groups:
        if group.id in found_costs:
            own = found_costs[group.id]
            found_costs[group.id] = np.where(np.isnan(own), gate[group.labels], own)
    return found_costs


def as_matrix(product: Product, parameter: torch.Tensor) -> torch.Tensor:
    """(G, R, D) of a parameter, or of something of its shape."""
    return matrix_of(product.node, product.position, forth(wide(parameter), product.way))


def projections(run: Run) -> Iterator[tuple[Tensors, Tensors]]:
    """For each batch the parameters, and the derivatives by them of a random projection.

    Each number of the output counts with a random sign, so that what different numbers say adds up
    in the mean of the squares alone.
    """
    generator = torch.Generator().manual_seed(run.seed)
    with run.parameters() as parameters:
        for inputs in (part for batch, _ in run.batches() for part in parts(batch, run.inputs)):
            outputs = [t for t in tensors_in(run.forward(inputs)) if t.requires_grad]
            if not outputs:
                raise InfeasibleTarget(
                    f"no output of {type(run.model).__name__} can be differentiated by its "
                    "weights: choose another criterion, such as l1"
                )
            value = sum(projected(tensor, generator) for tensor in outputs)
            assert isinstance(value, torch.Tensor)
            yield {**parameters}, derivatives([value], parameters)


def projected(output: torch.Tensor, generator: torch.Generator) -> Any:
    """Sum of the output's numbers with random signs, as a multiple of their deviation."""
    signs = torch.randint(0, 2, output.shape, generator=generator) * 2.0 - 1
    wide_output = wide(output)
    deviation = wide_output.detach().std(correction=0).clamp(min=1e-12)
    return (wide_output * signs.to(wide_output)).sum() / (deviation * output.numel() ** 0.5)
