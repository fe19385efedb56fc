"""An independent judge of prunes: what is left must compute what the masked original computes.

Nothing here is shared with the engine's own verification. Of the engine only the plan is read:
the indices that stay, by tensor name and axis. Everything runs in float64.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree
from torch.utils.flop_counter import FlopCounterMode

import spa_kernel as spa

Kept = dict[str, dict[int, np.ndarray]]


def masked_copy(model: nn.Module, kept: Kept, factor: float = 0.0) -> nn.Module:
    """A copy with every removed index of every parameter and buffer set to zero.

    Or almost so: a ``factor`` of 1e-12 is for networks that divide by the length of a weight.
    """
    model = copy.deepcopy(model)
    # Tied tensors go by one name in a plan; they are one tensor in the copy as well.
    tensors = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    with torch.no_grad():
        for name, axes in kept.items():
            tensor = tensors[name]
            for axis, indices in axes.items() if tensor.is_floating_point() else ():
                gone = np.setdiff1d(np.arange(tensor.shape[axis]), indices)
                scale = torch.ones(tensor.shape[axis], dtype=torch.float64)
                scale[torch.from_numpy(gone)] = factor
                shape = [-1 if a == axis else 1 for a in range(tensor.ndim)]
                tensor.copy_(tensor.double() * scale.view(shape))
    return model


def affine(x: torch.Tensor, weight: Any, bias: Any, axis_first: bool) -> torch.Tensor:
    """A norm without its statistics; ``axis_first``: the channels are axis 1, not the last."""
    shape = (-1,) + (1,) * (x.ndim - 2) if axis_first else None
    for term, combine in ((weight, torch.mul), (bias, torch.add)):
        if term is not None:
            x = combine(x, term.view(shape) if shape else term)
    return x


@contextmanager
def plain_float64() -> Iterator[None]:
    """Float64 throughout, no fused shortcuts, and norms reduced to their affine part.

    They normalise over axes that get shorter, so their statistics are another matter.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    dtype = torch.get_default_dtype()
    patches = {
        "layer_norm": lambda x, _, weight=None, bias=None, eps=0: affine(x, weight, bias, False),
        "rms_norm": lambda x, _, weight=None, eps=None: affine(x, weight, None, False),
        "group_norm": lambda x, _, weight=None, bias=None, eps=0: affine(x, weight, bias, True),
    }
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        torch.set_default_dtype(torch.float64)
        with mock.patch.multiple(torch.nn.functional, **patches), torch.no_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.backends.mha.set_fastpath_enabled(fast)


def fresh_inputs(inputs: Any, seed: int) -> Any:
    """Other random inputs of the same structure; whole numbers and masks stay as they are."""
    generator = torch.Generator().manual_seed(seed)

    def draw(x: Any) -> Any:
        if isinstance(x, torch.Tensor) and x.is_floating_point():
            return torch.randn(x.shape, generator=generator, dtype=torch.float64)
        return x

    return _pytree.tree_map(draw, inputs)


def call(model: nn.Module, inputs: Any) -> Any:
    """The model's output for a tensor, a tuple of arguments or a dictionary of keywords."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def outputs(model: nn.Module, inputs: Any, seed: int = 1) -> list[torch.Tensor]:
    """All output tensors of a float64 copy in eval mode."""
    with plain_float64():
        model = copy.deepcopy(model).double().eval()
        torch.manual_seed(seed)
        out = call(model, fresh_inputs(inputs, seed))
    return [t for t in _pytree.tree_leaves(out) if isinstance(t, torch.Tensor)]


def error(original: nn.Module, kept: Kept, pruned: nn.Module, inputs: Any) -> float:
    """Largest difference of the pruned model from the masked original, per output spread."""
    original = copy.deepcopy(original).double()
    wanted, got = outputs(masked_copy(original, kept), inputs), outputs(pruned, inputs)
    if not all(bool(torch.isfinite(t).all()) for t in wanted):
        wanted = outputs(masked_copy(original, kept, 1e-12), inputs)
    assert [t.shape for t in wanted] == [t.shape for t in got], "an output has another shape"
    worst = 0.0
    for x, y in zip(wanted, got, strict=True):
        if not x.is_floating_point():
            worst = max(worst, float((x != y).any()))
            continue
        assert bool(torch.isfinite(x).all()), "the masked original overflows: no test of anything"
        spread = float(x.std()) if x.numel() > 1 else float(x.abs().max())
        assert spread > 1e-9, "the masked original is constant: no test of anything"
        worst = max(worst, float((x - y).abs().max()) / spread)
    return worst


def ordinary(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of ordinary size and BatchNorm statistics that are not 0 and 1.

    A layer scale of 1e-6 or a branch that starts at zero would hide any error.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator).to(tensor)

    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.is_floating_point():
                fan_in = max(1, p[0].numel()) if p.ndim > 1 else 1
                scale = fan_in**-0.5 if p.ndim > 1 else 0.3
                offset = 1.0 if p.ndim == 1 and not name.endswith("bias") else 0.0
                p.copy_(offset + scale * noise(p))
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.copy_(0.3 * noise(module.running_mean))
                module.running_var.copy_(0.5 + noise(module.running_var).abs())
    return model


PLAIN = (bool, int, float, str, type(None))


def plain(value: Any) -> Any:
    """A value with its exact types, where it consists of plain ones; else only its identity."""
    if isinstance(value, tuple | list):
        return type(value), [plain(v) for v in value]
    return (type(value), value) if isinstance(value, PLAIN) else (type(value), id(value))


def state(model: nn.Module) -> dict[str, Any]:
    """Everything that a prune and its undo must bring back, to be compared with ``==``.

    Tensors with their identity, bytes, strides and flags; attributes with their exact types;
    modes and hooks.
    """
    found: dict[str, Any] = {}
    for kind, tensors in (
        ("parameter", model.named_parameters(remove_duplicate=False)),
        ("buffer", model.named_buffers(remove_duplicate=False)),
    ):
        for name, t in tensors:
            raw = t.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            shape = tuple(t.shape), t.stride(), t.dtype, t.device, t.requires_grad, type(t)
            found[f"{kind} {name}"] = id(t), shape, raw
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if key not in ("_parameters", "_buffers", "_modules"):
                hooks = isinstance(value, dict)
                found[f"{name}.{key}"] = list(value.items()) if hooks else plain(value)
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not the same in two states."""
    return [k for k in {**before, **after} if before.get(k, ...) != after.get(k, ...)]


def counted_flops(model: nn.Module, inputs: Any) -> int:
    """As torch counts them. On a CPU its counter does not know the fused attention kernel."""
    model = copy.deepcopy(model).eval()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            call(model, inputs)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())


def counted_params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@dataclass
class Outcome:
    """What came of a prune: ``refused`` holds the message where there was none."""

    refused: str = ""
    error: float = 0.0
    rf: float = 1.0
    lost: float = 0.0
    """Fraction of the parameters that went."""


def judge(
    model: nn.Module,
    inputs: Any,
    *,
    verify: bool = True,
    session: spa.Session | None = None,
    also: Callable[[spa.Session, spa.Report], None] | None = None,
    **wishes: Any,
) -> Outcome:
    """Prune, compare with the masked original, undo, compare bit for bit.

    Whatever happens, the model must be what it was. ``verify=False`` leaves out the engine's own
    check, so that what its analysis got wrong shows.
    """
    before, original = state(model), copy.deepcopy(model)
    try:
        session = session or spa.analyze(model, inputs)
        report = session.prune(verify=verify, **wishes)
    except spa.SpaError as problem:
        assert not differences(before, state(model)), "a refused prune left something behind"
        return Outcome(refused=f"{type(problem).__name__}: {problem}")
    plan = report.plan
    assert session.model is model
    assert counted_params(model) == plan.params[1], "the parameters were predicted wrongly"
    outcome = Outcome(
        error=error(original, plan.kept, model, inputs),
        rf=plan.rf,
        lost=1 - plan.params[1] / plan.params[0],
    )
    if also is not None:
        also(session, report)
    session.undo()
    assert not differences(before, state(model)), "undo did not bring everything back"
    return outcome
