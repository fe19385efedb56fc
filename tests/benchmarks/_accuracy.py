"""What the accuracy benchmarks share: results on disk, accuracy, and the peer at a target RF."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import spa_kernel as spa
from spa_kernel.importance import group_scores
from spa_kernel.importance.registry import wrap

Batches = Sequence[tuple[Any, torch.Tensor]]
"""Inputs are a tensor, or a dict of what is passed as keywords."""
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Row = dict[str, Any]
PEER, OURS = "Torch-Pruning", "spa_kernel"


class Results:
    """Rows on disk, one JSON object a line, so that a run that was broken off can go on.

    Parameters
    ----------
    path : Path
    keys : sequence of str
        The fields that say what was measured; the others are the outcome.
    """

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self.path, self.keys = path, keys
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: list[Row] = [json.loads(line) for line in lines]
        self.done = {self.key(row) for row in self.rows}

    def key(self, row: Row) -> str:
        return json.dumps([row.get(name) for name in self.keys])

    def known(self, row: Row) -> bool:
        return self.key(row) in self.done

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.done.add(self.key(row))
        print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def find(self, **fields: Any) -> list[Row]:
        return [r for r in self.rows if all(r.get(k) == v for k, v in fields.items())]


def correct(model: nn.Module, batches: Batches) -> float:
    """Share of pictures whose class is found, in eval mode; the model's mode is left as it is."""
    mode = model.training
    model.eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        hits = sum(int((model(x).argmax(1) == y).sum()) for x, y in batches)
    model.train(mode)
    return hits / sum(len(y) for _, y in batches)


def called(model: nn.Module, x: Any) -> torch.Tensor:
    return model(**x) if isinstance(x, dict) else model(x)


def flops(model: nn.Module, x: Any) -> int:
    model = copy.deepcopy(model)
    # Attention in plain operators: the fused one of the CPU is not counted.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        called(model, x)
    return counter.get_total_flops()


class Ours:
    """Prunes copies of a model by one criterion with many settings; statistics are made once."""

    def __init__(
        self, model: nn.Module, x: Any, criterion: str, data: Batches, seed: int = 0,
        loss: Loss = F.cross_entropy,
    ) -> None:  # fmt: skip
        self.session = spa.analyze(model, x)
        self.criterion, self.seed = criterion, seed
        self.given: dict[str, Any] = {"data": data, "loss": loss}
        for need in set(spa.criteria()[criterion].needs) - set(self.given):
            self.given[need] = self.session.backend.statistic(
                need, self.session.analysis.coupling, data, loss, seed
            )

    def plan(self, agg: str, norm: str, scope: str, cost: float, rf: float) -> spa.Plan:
        scores = group_scores(
            self.session.analysis.coupling, self.session.backend.array, self.criterion,
            agg, norm, self.seed, self.given,
        )  # fmt: skip
        ready = wrap(lambda context, group: scores.get(group.id), per="channel")
        return self.session.plan(ready, norm="none", scope=scope, cost_weight=cost, flops=rf)

    def pruned(self, plan: spa.Plan) -> nn.Module:
        self.session.prune(plan, verify=False)
        small = copy.deepcopy(self.session.model)
        self.session.undo()
        return small


def digest(plan: spa.Plan) -> str:
    """The same for plans that remove the same channels."""
    removed = {name: gone.tolist() for name, gone in sorted(plan.removed.items())}
    return hashlib.sha1(json.dumps(removed).encode()).hexdigest()


Gradients = list[torch.Tensor]


def gradients(model: nn.Module, data: Batches, loss: Loss = F.cross_entropy) -> Gradients:
    """Gradients summed over batches, as the peer's Taylor criterion wants them."""
    model = copy.deepcopy(model)
    for inputs, targets in data:
        loss(called(model, inputs), targets).backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def peer_pruned(
    model: nn.Module, x: Any, criterion: str, given: Gradients, scope: str, ratio: float,
    last: str | None = None,
) -> nn.Module:  # fmt: skip
    """A copy of a model, pruned by Torch-Pruning in one step.

    Outputs of the layer called ``last`` are left alone; of all linear layers, if none is named.
    """
    import torch_pruning as tp

    model = copy.deepcopy(model)
    for parameter, gradient in zip(model.parameters(), given, strict=True):
        parameter.grad = gradient.clone()
    importance = {
        "magnitude": tp.importance.GroupMagnitudeImportance,
        "taylor": tp.importance.GroupTaylorImportance,
        "fpgm": tp.importance.FPGMImportance,
    }[criterion]()
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    pruner = tp.pruner.BasePruner(
        model, x, importance=importance, pruning_ratio=ratio, global_pruning=scope != "local",
        isomorphic=scope == "isomorphic", num_heads=heads(model),
        ignored_layers=[model.get_submodule(last)] if last else linear,
    )  # fmt: skip
    pruner.step()
    follow(model)
    model.zero_grad()
    return model


def heads(model: nn.Module) -> dict[nn.Module, int]:
    """Number of heads for the projections of attention as timm and transformers write it."""
    found: dict[nn.Module, int] = {}
    for part in model.modules():
        if hasattr(part, "qkv"):
            found[part.qkv] = part.num_heads
        elif hasattr(part, "query"):
            found |= dict.fromkeys((part.query, part.key, part.value), part.num_attention_heads)
    return found


def follow(model: nn.Module) -> None:
    """Set the sizes of heads in attention that Torch-Pruning has cut, as its examples do."""
    for part in model.modules():
        if hasattr(part, "qkv"):
            part.attn_dim = part.qkv.out_features // 3
            part.head_dim = part.attn_dim // part.num_heads
        elif hasattr(part, "query"):
            part.all_head_size = part.query.out_features
            part.attention_head_size = part.all_head_size // part.num_attention_heads


def peer_at(
    rf: float, model: nn.Module, x: Any, *settings: Any, last: str | None = None
) -> nn.Module:
    """The peer's network at the smallest ratio that reaches an RF, found by bisection."""
    base, low, high = flops(model, x), 0.0, 1.0
    found: list[tuple[int, nn.Module]] = []
    for _ in range(9):
        ratio = (low + high) / 2
        small = peer_pruned(model, x, *settings, ratio, last)
        cost = flops(small, x)
        if base >= rf * cost:
            found.append((cost, small))
            high = ratio
        else:
            low = ratio
    if not found:
        raise ValueError(f"Torch-Pruning does not reach RF {rf}")
    return max(found, key=lambda pair: pair[0])[1]
