"""What criteria can ask for besides weights: statistics of a model on data.

A criterion names a statistic in its ``needs`` and finds it in ``context.given[name]``. Each
framework computes them in its own way (`spa_kernel.frontends.backend.Backend.statistic`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Asks = Literal["nothing", "data", "labels"]
"""What a person must give: nothing, batches of inputs, or batches with targets and a loss."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A statistic that criteria can ask for.

    Attributes
    ----------
    asks : {"nothing", "data", "labels"}
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
        "float64 (batches, labels): the sum of weight times gradient over all elements of a "
        "coupled channel, which is the derivative of the loss by a gate on all of them",
    ),
    "hessian_gradient": Statistic(
        "labels", "parameter name to the Hessian times the gradient, of its shape"
    ),
    "flow": Statistic(
        "nothing",
        "parameter name to the derivative of the summed output of the network with absolute "
        "weights on an input of ones",
    ),
    "activity": Statistic(
        "data",
        "value name to `Activity` of an activation: root mean square, share of zeros and mean "
        "rank of each index of each axis that can lose channels",
    ),
    "input_norm": Statistic(
        "data",
        "parameter name to the root mean square of what each element is multiplied by, of a "
        "shape that broadcasts to the parameter's",
    ),
    "inverse_hessian_diagonal": Statistic(
        "data",
        "parameter name to the diagonal of the inverse of H = 2 X X^T / n over the inputs X of "
        "its layer, of a shape that broadcasts to the parameter's",
    ),
}


def asks(need: str) -> Asks:
    """What a person must give for a need of a criterion."""
    if need in STATISTICS:
        return STATISTICS[need].asks
    return "labels" if need == "loss" else "data"
