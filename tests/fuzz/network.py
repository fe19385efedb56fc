"""A list of numbers becomes a network: steps that add layers to a growing set of tensors."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from . import attention_parts, image_parts, token_parts
from .parts import MAKERS, WIDTHS, Choice, Kind

__all__ = ["INPUTS", "OUTPUTS", "WISHES", "Program", "RandomNetwork", "inputs", "program"]

PARTS = attention_parts, image_parts, token_parts
SIDE, LENGTH, WORDS = 4, 8, 11
INPUTS = "image", "image", "tokens", "tokens", "words", "both", "keywords"
OUTPUTS = "classes", "classes", "tuple", "dictionary", "features"
WISHES: tuple[dict[str, Any], ...] = (
    {"ratio": 0.5, "scope": "local", "criterion": "l1"},
    {"ratio": 0.2, "scope": "local", "criterion": "l2"},
    {"ratio": 0.8, "scope": "local", "criterion": "random"},
    {"ratio": 0.5, "scope": "global", "criterion": "l1"},
    {"ratio": 0.3, "scope": "global", "criterion": "random", "seed": 1},
    {"flops": 1.3},
    {"params": 1.3},
    {"params": 2.0},
)

Step = tuple[str, int, int, int]
"""What to add, which tensor to add it to (the latest is 0), and two numbers for options."""


@dataclass(frozen=True)
class Program:
    """All that a random network is made from, and how it is to be pruned."""

    steps: list[Step]
    inputs: str = "image"
    outputs: str = "classes"
    ends: int = 0
    wishes: dict[str, Any] = field(default_factory=lambda: dict(WISHES[0]))


def program(seed: int) -> Program:
    """The program with this number."""
    draw = random.Random(seed)
    given = draw.choice(INPUTS)
    form = {"words": "tokens", "both": "image", "keywords": "image"}.get(given, given)
    liked = [name for name, (of, _) in MAKERS.items() if of == form]
    steps = [
        (draw.choice(liked if draw.random() < 0.6 else sorted(MAKERS)),
         draw.choice((0, 0, 0, 1, 2, 3)), draw.randrange(8), draw.randrange(12))
        for _ in range(draw.randint(1, 10))
    ]  # fmt: skip
    return Program(steps, given, draw.choice(OUTPUTS), draw.randrange(8), dict(draw.choice(WISHES)))


def inputs(given: str, batch: int = 2) -> Any:
    """Example inputs of each kind that a network may have."""
    generator = torch.Generator().manual_seed(batch)
    image = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    tokens = torch.randn(batch, LENGTH, 5, generator=generator)
    match given:
        case "image":
            return image
        case "tokens":
            return tokens
        case "words":
            return torch.randint(0, WORDS, (batch, LENGTH), generator=generator)
        case "both":
            return image, tokens
    return {"tokens": tokens, "image": image}


class RandomNetwork(nn.Module):
    """Layers by the steps of a program; every tensor made so far can be an operand."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        width = WIDTHS[program.ends % len(WIDTHS)]
        kinds: list[Kind] = []
        self.stems = nn.ModuleDict()
        if program.inputs not in ("tokens", "words"):
            self.stems["image"] = nn.Conv2d(3, width, 3, padding=1)
            kinds.append(Kind("image", SIDE, width))
        if program.inputs != "image":
            words = program.inputs == "words"
            self.stems["tokens"] = nn.Embedding(WORDS, width) if words else nn.Linear(5, width)
            kinds.append(Kind("tokens", LENGTH, width))
        self.layers = nn.ModuleList()
        self.wires: list[list[str]] = []
        self.names: list[str] = []
        for name, back, b, c in program.steps:
            form, make = MAKERS[name]
            fit = [i for i, kind in enumerate(kinds) if kind.form == form]
            made = make(Choice(kinds, fit[-1 - back % len(fit)], b, c)) if fit else None
            if made is not None:
                layer, operands, new = made
                self.layers.append(layer)
                self.names.append(name)
                # Words, because whole numbers are what an engine may repair.
                self.wires.append([str(i) for i in operands])
                kinds += new
        count = min(len(kinds), 1 + program.ends % 3)
        self.ends = [str(len(kinds) - 1 - i) for i in range(count)]
        self.outputs = program.outputs
        widths = [kinds[int(i)].width for i in self.ends]
        self.heads = nn.ModuleList()
        if program.outputs == "classes":
            layers = nn.Linear(sum(widths), 6), nn.ReLU(), nn.Linear(6, 4)
            self.heads.append(nn.Sequential(*layers))
        elif program.outputs != "features":
            self.heads.extend(nn.Linear(w, 3) for w in widths)

    def forward(
        self, *given: torch.Tensor, image: Any = None, tokens: Any = None
    ) -> torch.Tensor | tuple[torch.Tensor, ...] | dict[str, torch.Tensor]:
        known = {"image": image, "tokens": tokens}
        known |= dict(zip(self.stems, given, strict=False))
        tensors = [stem(known[name]) for name, stem in self.stems.items()]
        for layer, wires in zip(self.layers, self.wires, strict=True):
            out = layer(*(tensors[int(i)] for i in wires))
            tensors.extend(out if isinstance(out, tuple | list) else [out])
        ends = [tensors[int(i)] for i in self.ends]
        if self.outputs == "features":
            return tuple(ends)
        pooled = [x.mean((2, 3)) if x.ndim == 4 else x.mean(1) if x.ndim == 3 else x for x in ends]
        if self.outputs == "classes":
            result: torch.Tensor = self.heads[0](torch.cat(pooled, 1))
            return result
        results = [head(x) for head, x in zip(self.heads, pooled, strict=True)]
        if self.outputs == "tuple":
            return tuple(results)
        return {f"result {i}": x for i, x in enumerate(results)}


def shortened(program: Program) -> Sequence[Program]:
    """Programs that are a little simpler, simplest first."""
    found = [
        replace(program, steps=program.steps[:i] + program.steps[i + 1 :])
        for i in range(len(program.steps))
    ]
    for i, (name, *numbers) in enumerate(program.steps):
        for j, number in enumerate(numbers):
            for less in {0, number // 2, number - 1} if number else ():
                first, second, third = (less if k == j else n for k, n in enumerate(numbers))
                steps = [*program.steps]
                steps[i] = name, first, second, third
                found.append(replace(program, steps=steps))
    if program.outputs != "classes":
        found.append(replace(program, outputs="classes"))
    if program.inputs not in ("image", "tokens"):
        found += [replace(program, inputs=given) for given in ("image", "tokens")]
    if program.wishes != WISHES[0]:
        found.append(replace(program, wishes=dict(WISHES[0])))
    if program.ends:
        found += [replace(program, ends=n) for n in {0, program.ends - 1}]
    return found
