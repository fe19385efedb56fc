"""What criteria can ask for besides weights: statistics of a model on data.

A criterion names a statistic in its ``needs`` and finds it in ``context.given[name]``. Each
framework computes them in its own way (`spa_kernel.frontends.backend.Backend.statistic`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Asks = Literal["nothing", "inputs", "data", "labels"]
"""What a person must give: nothing, batches of inputs or nothing (then they are made from the
network alone), batches of inputs, or batches with targets and a loss."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic that criteria can ask for.

    Attributes
    ----------
    asks : {"nothing", "inputs", "data", "labels"}
    content : str
        What `Context.given` then holds: keys, shapes, units.
    """

    asks: Asks
    content: str


STATISTICS: dict[str, Statistic] = {
    "gradient": Statistic(
        "labels", "parameter name to the derivative of the loss, mean over batches, of its shape"
    ),
    "squared_gradient": Statistic(
        "labels", "parameter name to the square of each batch's gradient, mean over batches"
    ),
    "gate_gradient": Statistic(
        "labels",
        "float64 (batches, labels): the derivative of the loss by a gate on all that is read of a "
        "coupled channel, which is the sum of weight times gradient over the elements that "
        "products multiply it by; for a channel that no product reads, over all its elements",
    ),
    "hessian_gradient": Statistic(
        "labels",
        "parameter name to the Hessian times the gradient, both of the loss as a mean over "
        "batches, of its shape",
    ),
    "tempered_hessian_gradient": Statistic(
        "labels", "the same, with an output that is a tensor divided by a temperature of 200"
    ),
    "flow": Statistic(
        "nothing",
        "parameter name to the derivative of the summed output of the network with absolute "
        "weights on an input of ones, by the absolute weight; float64",
    ),
    "activation_size": Statistic(
        "data",
        "float64 (labels,): a coupled channel's root mean square, as a multiple of the mean over "
        "all channels of the activation, mean over the activations that convolutions and matrix "
        "products sum over; for a channel that none of these carries, over those that they make; "
        "NaN where there is none either",
    ),
    "zero_share": Statistic(
        "data",
        "float64 (labels,): share of zeros, 0 ... 1, in what comes out of rectifiers (Relu, Clip "
        "at zero, HardSwish, ...), mean over those that carry the coupled channel; NaN where none "
        "does",
    ),
    "feature_rank": Statistic(
        "data",
        "float64 (labels,): mean rank of the feature maps (height, width) that convolutions read "
        "of a coupled channel, over the first 32 pictures; NaN where there are no such maps",
    ),
    "input_norm": Statistic(
        "data",
        "parameter name to the root mean square of what each element is multiplied by in "
        "convolutions and matrix products, of a shape that broadcasts to the parameter's; 1 for "
        "elements, and no entry for parameters, that take part in none",
    ),
    "inverse_hessian_diagonal": Statistic(
        "data",
        "parameter name to the diagonal of the inverse of H = 2 X X^T / n over the n inputs X of "
        "its layer, damped by 1 % of the mean diagonal, of a shape that broadcasts to the "
        "parameter's; infinite for inputs that are always zero, 1/2 (an input that is always 1) "
        "for elements, and no entry for parameters, that are in no convolution or matrix product",
    ),
    "removal_cost": Statistic(
        "inputs",
        "group id to float64 (group.size,): mean square of the change of a random projection of "
        "the network's output, relative to the output's deviation, that removing a channel brings "
        "about when the columns that are left make up for it; at its turn, the cheapest first",
    ),
}


def asks(need: str) -> Asks:
    """What a person must give for a need of a criterion."""
    if need in STATISTICS:
        return STATISTICS[need].asks
    return "labels" if need == "loss" else "data"
