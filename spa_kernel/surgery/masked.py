"""Run a network in float64 with some weights masked and its normalisations taken out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from spa_kernel.frontends.torch.arguments import flat, substitute
from spa_kernel.frontends.torch.attributes import stored_tensors
from spa_kernel.frontends.torch.capture import quiet_eval, seeded, tensors_in
from spa_kernel.frontends.torch.decisions import Decisions
from spa_kernel.frontends.torch.literals import argument
from spa_kernel.frontends.torch.passes import Inputs

LOW = frozenset({torch.float32, torch.float16, torch.bfloat16})
LIVE = "_spa_live"
"""Marks tensors that depend on inputs or weights: what is asked of them is a decision."""
BATCH_NORMS = {"aten::native_batch_norm"}
"""Only where they take the statistics of their own input (standardised weights)."""
NORMS = {"aten::native_layer_norm", "aten::native_group_norm", "aten::_fused_rms_norm"}


class Double(TorchDispatchMode):
    """Carries every call out in float64 (or, with ``low`` empty, as it is).

    Norms whose statistics change when channels go are left out (the affine part stays), so
    that a masked network and a pruned one can be compared exactly. What values decide is taken
    over from the recording: without norms, values are others.
    """

    def __init__(
        self, low: frozenset[torch.dtype] = LOW, decisions: Decisions | None = None
    ) -> None:
        super().__init__()
        self.low = low
        self.decisions = decisions

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        live = self.decisions is not None and any(
            getattr(t, LIVE, False) for a in (*args, *kwargs.values()) for t in flat(a)
        )
        result = self._compute(func, args, kwargs, live)
        if live:
            for tensor in flat(result):
                setattr(tensor, LIVE, True)
        return result

    def _compute(self, func: Any, args: Any, kwargs: dict[str, Any], live: bool) -> Any:
        low = [t for a in (*args, *kwargs.values()) for t in flat(a) if t.dtype in self.low]
        if low:
            swap = {id(t): t.double() for t in low}
            args, kwargs = substitute(args, swap), substitute(kwargs, swap)
        if kwargs.get("dtype") in self.low:
            kwargs["dtype"] = torch.float64
        args = tuple(
            torch.float64 if isinstance(a, torch.dtype) and a in self.low else a for a in args
        )
        name = func._schema.name
        if name in NORMS or (name in BATCH_NORMS and args[5]):
            return self._affine(name, args)
        if live and self.decisions is not None:
            result, _ = self.decisions.run(func, args, kwargs)
        else:
            result = func(*args, **kwargs)
        if name in ("aten::div", "aten::mul"):
            return defined(result, *args)
        if name == "aten::_weight_norm_interface":
            # A row that is masked altogether has no direction: 0 / 0.
            return result[0].nan_to_num(), result[1]
        if isinstance(result, torch.Tensor) and result.dtype in self.low:
            result = result.double()
        return result

    def _affine(self, name: str, args: tuple[Any, ...]) -> Any:
        x, (weight, bias) = args[0], args[1:3]
        per_channel = name == "aten::native_group_norm" or name in BATCH_NORMS
        if not per_channel:
            weight, bias = args[2], args[3] if name == "aten::native_layer_norm" else None
        view = (-1,) + (1,) * (x.ndim - 2) if per_channel else None
        y = x.clone()
        if weight is not None:
            y = y * (weight.view(view) if view else weight)
        if bias is not None:
            y = y + (bias.view(view) if view else bias)
        spare = x.new_empty(0)
        return (y, spare) if name == "aten::_fused_rms_norm" else (y, spare, spare)


def defined(result: torch.Tensor, a: Any, b: Any, *_: Any) -> torch.Tensor:
    """0 / 0, and 0 times infinity, as 0: where a masked head is divided by its own length."""
    if result.is_floating_point() and bool(result.isnan().any()):
        # A factor of zero, or a dividend of zero: no entry was there to begin with.
        zero = torch.zeros((), dtype=torch.bool, device=result.device)
        for operand in (a, b):
            if isinstance(operand, torch.Tensor):
                zero = zero | (operand == 0)
        return torch.where(result.isnan() & zero, 0.0, result)
    return result


class WithoutRms(TorchFunctionMode):
    """Leaves out RMS norms, which reach a dispatch mode in parts on some devices."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.rms_norm, F.rms_norm):
            x = args[0] if args else kwargs["input"]
            weight = argument(args, kwargs, 2, "weight", None)
            return x.clone() if weight is None else x * weight
        return func(*args, **kwargs)


@contextmanager
def stored_as(
    model: nn.Module, masked: dict[str, torch.Tensor], low: frozenset[torch.dtype]
) -> Iterator[None]:
    """Stored tensors in float64 for a while where their type is in ``low``, some masked."""
    stored = {name: tensor for _, name, tensor in stored_tensors(model)}
    before = [(t, t.data) for t in stored.values()]
    try:
        for name, tensor in stored.items():
            if name in masked:
                tensor.data = masked[name] if low else masked[name].to(tensor.dtype)
            elif tensor.dtype in low:
                tensor.data = tensor.data.double()
        yield
    finally:
        for tensor, data in before:
            tensor.data = data


def run(
    model: nn.Module,
    inputs: Inputs,
    masked: dict[str, torch.Tensor],
    low: frozenset[torch.dtype] = LOW,
    earlier: Decisions | None = None,
) -> list[torch.Tensor]:
    """Outputs of the network in float64, with some stored tensors replaced by masked ones.

    Numbers that the code asks for count as outputs, where ``earlier`` decisions are taken over.
    """
    args, kwargs = (substitute(part, doubles(part, low)) for part in inputs)
    decisions = Decisions(earlier) if earlier is not None and earlier.taken else None
    stored = stored_as(model, masked, low)
    with quiet_eval(model), seeded(), stored, living(model, decisions), WithoutRms():
        if decisions is not None:
            args, kwargs = (substitute(p, marked(p)) for p in (args, kwargs))
        with Double(low, decisions):
            outputs = tensors_in(model(*args, **kwargs))
    found = [t.double() for t in outputs if t.is_floating_point()]
    numbers = decisions.numbers if decisions is not None else []
    return found + [torch.tensor([n], dtype=torch.float64) for n in numbers]


@contextmanager
def living(model: nn.Module, decisions: Decisions | None) -> Iterator[None]:
    """Mark the weights for a while: what is computed from them may decide."""
    weights = [t for _, _, t in stored_tensors(model) if t.is_floating_point()]
    weights = weights if decisions is not None else []
    try:
        for tensor in weights:
            setattr(tensor, LIVE, True)
        yield
    finally:
        for tensor in weights:
            delattr(tensor, LIVE)


def marked(inputs: Any) -> dict[int, torch.Tensor]:
    """Copies of inputs that carry the mark."""
    copies = {id(t): t.clone() for t in tensors_in(inputs)}
    for copy in copies.values():
        setattr(copy, LIVE, True)
    return copies


def doubles(value: Any, low: frozenset[torch.dtype]) -> dict[int, torch.Tensor]:
    """Float64 copies of the inputs of lower precision."""
    return {id(t): t.double() for t in tensors_in(value) if t.dtype in low}


def difference(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    """Largest difference over all outputs, relative to each output's standard deviation.

    Entries that are not finite in ``a`` say nothing; NaN where no entry is left to compare.
    """
    worst, compared = 0.0, False
    for x, y in zip(a, b, strict=True):
        finite = torch.isfinite(x)
        x, y = x[finite], y[finite]
        if x.numel():
            compared = True
            spread = float(x.std()) if x.numel() > 1 else 0.0
            scale = spread or float(x.abs().max()) or 1.0
            gap = float((x - y).abs().max()) / scale
            worst = max(worst, gap) if gap == gap else float("inf")
    return worst if compared else float("nan")
