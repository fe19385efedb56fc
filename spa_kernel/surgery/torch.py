"""Prune a torch module in place: all of it, verified, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from spa_kernel import progress
from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import CaptureError, SpaError, VerificationFailed
from spa_kernel.frontends.backend import Verification
from spa_kernel.frontends.torch.attributes import assign, stored_tensors
from spa_kernel.surgery import masked
from spa_kernel.surgery.compare import ScalarChange, structure
from spa_kernel.surgery.descriptors import descriptors
from spa_kernel.surgery.journal import Journal
from spa_kernel.surgery.optimizers import check_optimizer, losing
from spa_kernel.surgery.renumber import renumbered
from spa_kernel.surgery.scale import compensated

if TYPE_CHECKING:
    from spa_kernel.frontends.torch.decisions import Decisions
    from spa_kernel.frontends.torch.recorder import Recorder

EXACT = 1e-6
"""Largest allowed difference in float64, relative to the output's standard deviation."""

ROUGH = 1e-3
"""The same where the model cannot be run in float64."""

AFFORDABLE = 5e10
"""FLOPs up to which a prune is also verified by running the network (seconds on a laptop)."""

ROOM = 2e8
"""Stored numbers up to which it is: all of them are held once more, in float64."""


Copies = WeakValueDictionary[int, torch.Tensor]


class Surgery:
    """One prune of one module.

    Parameters
    ----------
    model : torch.nn.Module
    coupling : Coupling
    removed : numpy.ndarray
        bool, one per label.
    copies : WeakValueDictionary
        Copies that earlier steps hold, by the identity of the tensor.
    """

    def __init__(
        self, model: nn.Module, coupling: Coupling, removed: np.ndarray, copies: Copies
    ) -> None:
        self.copies = copies
        self.model = model
        self.coupling = coupling
        self.removed = removed
        self.journal = Journal()
        self.folded: dict[str, torch.Tensor] = {}
        """Weights that took a factor, before they are rounded to their own precision."""
        self.stored = {name: tensor for _, name, tensor in stored_tensors(model)}

    def masks(self) -> dict[str, dict[int, torch.Tensor]]:
        """Per stored tensor and axis that loses something, the indices that stay."""
        found: dict[str, dict[int, torch.Tensor]] = {}
        for name, value in self.coupling.graph.stored.items():
            for axis in range(value.ndim):
                kept = self.coupling.kept((value, axis), self.removed)
                if not kept.all():
                    index = torch.from_numpy(np.flatnonzero(kept)).to(self.stored[name].device)
                    found.setdefault(name, {})[axis] = index
        return found

    def cut(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Slice tensors, gradients and optimizer state; copy what keeps its shape."""
        masks = self.masks()
        state: Any = {}
        if optimizer is not None:
            state = optimizer.state
            self.journal.remember(state)
        for name, tensor in self.stored.items():
            axes = masks.get(name)
            for key, entry in list(state.get(tensor, {}).items()):
                if cut := losing(entry, axes or {}):
                    state[tensor][key] = slice_tensor(entry, cut)
                elif isinstance(entry, torch.Tensor):
                    self.journal.keep(entry, self.copy(entry))
            if axes is None:
                self.journal.keep(tensor, self.copy(tensor))
            else:
                grad = tensor.grad
                new_grad = slice_tensor(grad, axes) if grad is not None else None
                self.journal.replace(tensor, slice_tensor(tensor.detach(), axes), new_grad)

        self._renumber()

    def shorten(self) -> None:
        """Slice tensors and nothing else, to see whether the forward follows."""
        for name, axes in self.masks().items():
            tensor = self.stored[name]
            self.journal.replace(tensor, slice_tensor(tensor.detach(), axes), None)
        self._renumber()

    def _renumber(self) -> None:
        for name, content in renumbered(self.coupling, self.removed).items():
            tensor = self.stored[name]
            self.journal.replace(tensor, content.to(tensor), None)

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy of a tensor's content, shared with earlier steps while it is the same."""
        known = self.copies.get(id(tensor))
        if known is None or known.dtype != tensor.dtype or not torch.equal(known, tensor):
            known = self.copies[id(tensor)] = tensor.detach().clone()
        return known

    def repair(self) -> None:
        """Give attributes that sizes are computed from, or described by, their new values."""
        modules = dict(self.model.named_modules())
        assert self.coupling.repairs is not None
        for attr, value in self.coupling.repairs.values(self.removed).items():
            if value.denominator != 1:
                raise VerificationFailed(
                    f"{attr.owner}.{attr.name} would have to be {value}, which is no whole number"
                )
            assign(modules[attr.owner], attr, int(value), self.journal)
        for module in modules.values():
            # A parametrised weight is computed when it is read, and may change in train mode.
            if is_parametrized(module, "weight"):
                continue
            for name, true in descriptors(module):
                if module.__dict__.get(name, true) != true:
                    self.journal.set(module.__dict__, name, true)

    def compensate(self, recorder: Recorder, changes: list[ScalarChange]) -> None:
        """Fold factors that came out differently into weights."""
        self.folded.update(compensated(recorder.graph, changes, self.stored))
        for name, exact in self.folded.items():
            self.stored[name].data.copy_(exact)

    def masked(self) -> dict[str, torch.Tensor]:
        """The original's stored tensors in float64, with the removed indices set to zero."""
        masks, found = self.masks(), {}
        for name, axes in masks.items():
            tensor = self.stored[name]
            if tensor.is_floating_point():
                double = tensor.detach().double()
                for axis, index in axes.items():
                    gone = torch.ones(tensor.shape[axis], dtype=torch.bool, device=tensor.device)
                    gone[index] = False
                    double = double.index_fill(axis, gone.nonzero().flatten(), 0.0)
                found[name] = double
        return found


def slice_tensor(tensor: torch.Tensor, axes: dict[int, torch.Tensor]) -> torch.Tensor:
    """The entries that stay, with the tensor's memory format."""
    new = tensor
    for axis, index in axes.items():
        new = new.index_select(axis, index)
    if new.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return new.contiguous(memory_format=torch.channels_last)
    return new.contiguous()


def operate(
    model: nn.Module,
    inputs: Any,
    recorder: Recorder,
    coupling: Coupling,
    removed: np.ndarray,
    *,
    verify: bool,
    flops: int,
    copies: Copies,
    optimizer: torch.optim.Optimizer | None,
) -> tuple[Journal, Verification, Recorder]:
    """Prune, record anew, compensate, verify; on any failure everything is put back.

    Raises
    ------
    VerificationFailed
    InfeasibleTarget
        The optimizer's state cannot be cut.
    """
    from spa_kernel.frontends.torch.capture import record

    if optimizer is not None:
        check_optimizer(optimizer, model)
    surgery = Surgery(model, coupling, removed, copies)
    numbers = sum(tensor.numel() for tensor in surgery.stored.values())
    numeric = verify and flops <= AFFORDABLE and numbers <= ROOM
    try:
        decisions = recorder.decisions
        reference = Reference(model, inputs, surgery.masked(), decisions) if numeric else None
    except Exception as error:
        raise VerificationFailed(
            f"{type(model).__name__} does not run on its example input, so a prune cannot be "
            f"checked: {type(error).__name__}: {error}. Analyse it with an input that it accepts, "
            "or prune with verify=False"
        ) from error
    try:
        with torch.no_grad():
            surgery.cut(optimizer)
            surgery.repair()
        after = record(model, inputs, recorder)
        verification = Verification(True, None, "operators and shapes, call by call")
        changes = compared(coupling, removed, recorder, after)
        surgery.compensate(after, changes)
        if reference is not None:
            verification = reference.verification(surgery.folded)
    except BaseException as error:
        surgery.journal.undo()
        if isinstance(error, CaptureError):
            raise VerificationFailed(
                f"the pruned model does not run, so it was put back as it was. {error}"
            ) from error
        if isinstance(error, SpaError):
            nodes = error.nodes if isinstance(error, VerificationFailed) else ()
            message = f"{error}; the model was put back as it was"
            raise VerificationFailed(message, nodes) from error
        if isinstance(error, RuntimeError | ValueError | IndexError | TypeError | AssertionError):
            raise VerificationFailed(
                "the pruned model does not run with these numbers, so it was put back as it was: "
                f"{type(error).__name__}: {error}"
            ) from error
        raise
    return surgery.journal, verification, after


def compared(
    coupling: Coupling, removed: np.ndarray, before: Recorder, after: Recorder
) -> list[ScalarChange]:
    """Check what was recorded after a prune; the numbers that changed.

    Raises
    ------
    VerificationFailed
    """
    changes = structure(coupling, removed, before.scalars, after.graph, after.scalars)
    if after.results != before.results:
        raise VerificationFailed(
            f"the outputs would have the shapes {after.results[:4]}, not {before.results[:4]}"
        )
    return changes


def follows(
    model: nn.Module, inputs: Any, recorder: Recorder, coupling: Coupling, removed: np.ndarray
) -> SpaError | None:
    """Whether the forward would go the same way after a prune; the model is left as it is.

    Returns
    -------
    SpaError or None
        What is in the way.
    """
    from spa_kernel.frontends.torch.capture import record

    surgery = Surgery(model, coupling, removed, WeakValueDictionary())
    try:
        with torch.no_grad():
            surgery.shorten()
            surgery.repair()
        after = record(model, inputs, recorder)
        compared(coupling, removed, recorder, after)
    except SpaError as error:
        return error
    finally:
        surgery.journal.undo()
    return None


class Reference:
    """The masked original's outputs, to compare the pruned model's with.

    In float64 where all operators have it, otherwise in the model's own precision.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        masks: dict[str, torch.Tensor],
        decisions: Decisions | None,
    ) -> None:
        self.model, self.inputs, self.decisions = model, inputs, decisions
        self.low, self.allowed = masked.LOW, EXACT
        progress.report("verifying")
        try:
            self.outputs = masked.run(model, inputs, masks, self.low, decisions)
        except (RuntimeError, NotImplementedError):
            self.low, self.allowed = frozenset(), ROUGH
            self.outputs = masked.run(model, inputs, masks, self.low, decisions)

    def verification(self, folded: dict[str, torch.Tensor]) -> Verification:
        """Accept the pruned model, or raise `VerificationFailed`.

        Folded weights are taken as they are before rounding: that the rounding of a weight is
        magnified by a network without its norms says nothing about the prune.
        """
        progress.report("verifying")
        outputs = masked.run(self.model, self.inputs, folded, self.low, self.decisions)
        error = masked.difference(self.outputs, outputs)
        if error != error:
            how = "operators and shapes, call by call (outputs are empty or overflow without norms)"
            return Verification(True, None, how)
        if error > self.allowed:
            raise VerificationFailed(
                f"the pruned model differs from the masked original by {error:.2g} of the "
                "output's standard deviation"
            )
        precision = "in float64" if self.low else "in the model's own precision"
        return Verification(
            True, error, f"against the masked original {precision}, norms taken out"
        )
