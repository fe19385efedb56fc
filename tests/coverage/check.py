"""Exactness of a prune: the pruned network computes what the masked original computes.

Of the engine only the indices that stay are read. Both networks run in float64 with the
statistics of their normalisations taken out: these are over axes that got shorter.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

LOW = {torch.float32, torch.float16, torch.bfloat16}
CASTS = {torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16}
GROUPED = {getattr(torch, "_grouped_mm", None), getattr(F, "grouped_mm", None)} - {None}
OPERANDS = "offs", "bias"
KNOWN_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


class Wrong(Exception):
    """A prune that was carried out is not what it should be."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise Wrong(message)


def signature(*names: str) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(n, kind, default=None) for n in names])


LAST = signature("input", "normalized_shape", "weight", "bias", "eps", "cudnn_enable")
RMS = signature("input", "normalized_shape", "weight", "eps")
GROUP = signature("input", "num_groups", "weight", "bias", "eps", "cudnn_enabled")
STORED = "running_mean", "running_var"
BATCH = signature("input", *STORED, "weight", "bias", "training", "momentum", "eps")
INSTANCE = signature("input", *STORED, "weight", "bias", "use_input_stats", "momentum", "eps")
FLAT = signature("input", "weight", "bias", *STORED, "training", "momentum", "eps", "cudnn_enabled")
# Statistics over a whole map: with these one can standardise the rows of a weight.
WHOLE = {
    F.batch_norm: BATCH,
    F.instance_norm: INSTANCE,
    torch.batch_norm: FLAT,
}
NORMS = {
    F.layer_norm: LAST,
    torch.layer_norm: LAST,
    F.rms_norm: RMS,
    torch.rms_norm: RMS,
    F.group_norm: GROUP,
    torch.group_norm: GROUP,
}


class Statistics:
    """One number per normalisation in place of its statistics, the same in both networks.

    A deep network without any normalisation overflows. The first network sets the numbers, the
    second one takes them over.
    """

    def __init__(self) -> None:
        self.sizes: list[torch.Tensor] = []
        self.replay: Iterator[torch.Tensor] | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.replay is not None:
            return next(self.replay)
        size = x.square().mean().sqrt() if x.numel() else x.new_ones(())
        self.sizes.append(size if size > 0 else x.new_ones(()))
        return self.sizes[-1]

    def again(self) -> None:
        self.replay = iter(self.sizes)


def affine(x: torch.Tensor, size: torch.Tensor, weight: Any, bias: Any, axis: int) -> torch.Tensor:
    """What is left of a norm: a fixed factor, the scale and the shift."""
    x = x / size
    shape = (-1,) + (1,) * (x.ndim - 2) if axis == 1 else None
    if weight is not None:
        x = x * (weight.view(shape) if shape else weight)
    if bias is not None:
        x = x + (bias.view(shape) if shape else bias)
    return x


def grouped_product(
    a: torch.Tensor, b: torch.Tensor, offs: torch.Tensor, bias: Any = None
) -> torch.Tensor:
    """``torch._grouped_mm`` (rows up to each offset by a matrix each), which has no float64."""
    out, start = a.new_zeros(a.shape[0], b.shape[-1]), 0
    for i, stop in enumerate(offs.tolist()):
        out[start:stop] = a[start:stop] @ b[i] + (0 if bias is None else bias[i])
        start = stop
    return out


def weight_norm(v: torch.Tensor, g: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """``torch._weight_norm``, with rows of zeros where all of a row is masked (not 0 / 0)."""
    length = torch.norm_except_dim(v, 2, dim)
    return v * (g / torch.where(length == 0, 1.0, length))


class Judging(TorchFunctionMode):
    """Float64 even where the code asks for less, and norms reduced to their affine part."""

    def __init__(self, statistics: Statistics, whole: bool) -> None:
        super().__init__()
        self.statistics = statistics
        self.whole = whole

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in NORMS:
            a = NORMS[func].bind_partial(*args, **kwargs).arguments
            axis = 1 if NORMS[func] is GROUP else -1
            size = self.statistics(a["input"])
            return affine(a["input"], size, a.get("weight"), a.get("bias"), axis)
        if self.whole and func in WHOLE:
            a = WHOLE[func].bind_partial(*args, **kwargs).arguments
            if a.get("training") or a.get("running_mean") is None:
                size = self.statistics(a["input"])
                return affine(a["input"], size, a.get("weight"), a.get("bias"), 1)
        if func is torch._weight_norm:
            return weight_norm(*args, **kwargs)
        if func in GROUPED and args[0].ndim == 2 and args[1].ndim == 3:
            return grouped_product(*args, **{k: v for k, v in kwargs.items() if k in OPERANDS})
        if func in CASTS:
            return args[0].double()
        if kwargs.get("dtype") in LOW:
            kwargs["dtype"] = torch.float64
        if any(isinstance(a, torch.dtype) for a in args):
            args = tuple(
                torch.float64 if isinstance(a, torch.dtype) and a in LOW else a for a in args
            )
        return func(*args, **kwargs)


def written_out_norms(model: nn.Module) -> list[nn.Module]:
    """Modules that are norms by name and compute one themselves."""
    return [
        m
        for m in model.modules()
        if "norm" in type(m).__name__.lower()
        and not isinstance(m, KNOWN_NORMS)
        and not list(m.children())
        and not hasattr(m, "running_mean")
        and all(p.ndim == 1 for p in m.parameters())
    ]


def plain_norm(module: nn.Module, statistics: Statistics) -> Callable[..., Any]:
    """A stand-in for the forward of a norm that is written out in Python."""
    forward = module.forward
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)

    def run(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, torch.Tensor) for a in (*args, *kwargs.values())):
            return forward(x, *args, **kwargs)
        size = next((p.numel() for p in module.parameters()), x.shape[-1])
        return affine(x, statistics(x), weight, bias, -1 if x.shape[-1] == size else 1)

    return run


@contextmanager
def float64() -> Iterator[None]:
    """Float64 by default, without the fused shortcuts of attention layers."""
    fast, dtype = torch.backends.mha.get_fastpath_enabled(), torch.get_default_dtype()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        torch.set_default_dtype(torch.float64)
        with torch.no_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.backends.mha.set_fastpath_enabled(fast)


def leaves(value: Any) -> list[torch.Tensor]:
    """All tensors in an output: tuples, dictionaries, dataclasses, caches left out."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in leaves(v)]
    if isinstance(value, list | tuple):
        return [t for v in value for t in leaves(v)]
    if hasattr(value, "__dataclass_fields__"):
        return [t for name in value.__dataclass_fields__ for t in leaves(getattr(value, name))]
    return []


def structure(value: Any) -> Any:
    """Types, keys and shapes of an output."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, Mapping):
        return type(value).__name__, [(k, structure(v)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, [structure(v) for v in value]
    return type(value).__name__


def mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Inputs with every tensor changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: mapped(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mapped(v, change) for v in value)
    return value


def call(model: nn.Module, inputs: Any) -> Any:
    """The model's output for a tensor, a tuple of arguments or a dictionary of keywords."""
    torch.manual_seed(0)
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def masked(model: nn.Module, kept: Mapping[str, Mapping[int, np.ndarray]], buffers: bool) -> None:
    """Set every removed index of every parameter to zero; ``buffers``: of those as well."""
    tensors = dict(model.named_parameters(remove_duplicate=False))
    if buffers:
        tensors |= dict(model.named_buffers(remove_duplicate=False))
    with torch.no_grad():
        for name, axes in kept.items():
            tensor = tensors.get(name)
            if tensor is not None and tensor.is_floating_point():
                for axis, indices in axes.items():
                    gone = np.setdiff1d(np.arange(tensor.shape[axis]), indices)
                    tensor.index_fill_(axis, torch.from_numpy(gone), 0)


def run(model: nn.Module, inputs: Any, statistics: Statistics, every: bool) -> list[torch.Tensor]:
    """Float64 outputs, norms taken out; ``every``: also maps' and those written out in Python."""
    model = copy.deepcopy(model).double().eval()
    inputs = mapped(inputs, lambda x: x.double() if x.is_floating_point() else x.clone())
    with ExitStack() as stack:
        if every:
            for module in written_out_norms(model):
                stand_in = plain_norm(module, statistics)
                stack.enter_context(mock.patch.object(module, "forward", stand_in))
        stack.enter_context(float64())
        stack.enter_context(Judging(statistics, every))
        return leaves(call(model, inputs))


def difference(wanted: list[torch.Tensor], got: list[torch.Tensor]) -> float:
    """Largest difference per spread of the output; NaN where no output could show one."""
    worst, tested = 0.0, False
    require(len(wanted) == len(got), f"{len(got)} output tensors, not {len(wanted)}")
    for x, y in zip(wanted, got, strict=True):
        require(x.shape == y.shape, f"an output has shape {tuple(y.shape)}, not {tuple(x.shape)}")
        if not x.is_floating_point():
            worst = max(worst, float((x != y).any()) if x.numel() else 0.0)
        elif x.numel():
            finite = torch.isfinite(x)
            if not torch.equal(finite, torch.isfinite(y)):
                return float("inf")
            x, y = x[finite], y[finite]
            spread = float(x.std()) if x.numel() > 1 else float(x.abs().sum())
            tested |= spread > 1e-9
            error = float((x - y).abs().max()) if x.numel() else 0.0
            worst = max(worst, error / spread if spread > 1e-9 else error)
    return worst if tested else float("nan")


class Untested(Exception):
    """All outputs are constant: no error could show."""


def error(
    original: nn.Module, kept: Any, pruned: nn.Module, inputs: Any, tolerance: float
) -> tuple[float, str]:
    """Error of a pruned network, and what else had to be set aside to bring it under tolerance."""
    found: list[tuple[float, str]] = []
    for buffers, every, note in (
        (False, False, ""),
        (True, False, "buffers masked too"),
        (True, True, "norms of whole maps and norms written out in Python taken out as well"),
    ):
        reference = copy.deepcopy(original).double()
        masked(reference, kept, buffers)
        statistics = Statistics()
        wanted = run(reference, inputs, statistics, every)
        statistics.again()
        found.append((difference(wanted, run(pruned, inputs, statistics, every)), note))
        if found[-1][0] != found[-1][0]:
            raise Untested("all outputs of the masked original are constant")
        if found[-1][0] < tolerance:
            return found[-1]
    return min(found)
