"""The options of the commands, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.magic_arguments import argument

from spa_kernel.importance import AGGREGATIONS, NORMALISATIONS
from spa_kernel.magics import arguments as take

SCOPES = ["global", "local", "isomorphic"]

Decorator = Callable[[Any], Any]


def together(*options: Decorator) -> Decorator:
    """Several options as one decorator."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


MODEL = argument("model", metavar="MODEL", help="variable that holds the model, or trainer.net")
NUMBER = argument("steps", metavar="N", nargs="?", type=take.positive, default=1, help="how many")
SCORES = together(
    argument("--criterion", "-c", metavar="NAME", help="how channels are scored"),
    argument("--agg", choices=AGGREGATIONS, help="how scores of elements become a channel's"),
    argument("--norm", choices=NORMALISATIONS, help="what makes scores of groups comparable"),
    argument("--data", metavar="EXPR", help="batches, where the criterion needs them"),
    argument("--loss", metavar="EXPR", help="loss(output, target), where it is needed"),
)
TARGET = together(
    argument("--ratio", metavar="R", type=take.fractions,
             help="share of channels to remove, 0.5; or of some groups each, g3=0.3,layer2*=0.5"),
    argument("--flops", metavar="X", type=take.factor, help="make it X times cheaper, 2"),
    argument("--params", metavar="X", type=take.factor, help="make it X times smaller, 2"),
    argument("--memory", metavar="X", type=take.factor,
             help="make its activations take X times less memory, 1.5"),
    argument("--latency", metavar="X", type=take.factor, help="make it X times faster, 1.5"),
)  # fmt: skip
LIMITS = together(
    argument("--scope", choices=SCOPES,
             help="compare all channels, those of each group, or those of groups built alike"),
    argument("--groups", metavar="g3,g7", type=take.words, help="only these groups"),
    argument("--exclude", metavar="PATTERN", type=take.words, help="leave these layers whole"),
    argument("--round-to", metavar="N", type=take.positive, help="keep multiples of N channels"),
    argument("--rounding", choices=["nearest", "up", "down"], help="to which multiple"),
    argument("--max-ratio", metavar="R", type=take.fractions,
             help="most that a group may lose, 0.9; or some groups, g3=0.3"),
    argument("--min-width", metavar="N", type=take.positive, help="leave a group N channels"),
    argument("--cost-weight", metavar="W", type=take.weight,
             help="0 ranks channels by score, 1 by score per FLOP (or what the target counts)"),
    argument("--calibration", choices=["data", "ood", "none"],
             help="what --data is to the network, for obspa: what it was trained on, or of another "
             "distribution; or there is none"),
    argument("--seed", metavar="N", type=int, help="for criteria that draw random numbers"),
)  # fmt: skip
DOING = together(
    argument("--steps", metavar="N", type=take.positive, default=1,
             help="come there in N prunes, with scores worked out anew before each"),
    argument("--optimizer", metavar="EXPR", help="its state is cut along with the weights"),
    argument("--dry-run", action="store_true", help="only show what would go"),
    argument("--no-verify", action="store_true", help="do not compare with the masked original"),
)  # fmt: skip
