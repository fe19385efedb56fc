"""Prune a model in JAX: all of it, verified, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from spa_kernel import progress
from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import CaptureError, SpaError, VerificationFailed
from spa_kernel.frontends.backend import Change, Verification
from spa_kernel.frontends.jax.capture import Captured
from spa_kernel.frontends.jax.inputs import Inputs
from spa_kernel.frontends.jax.model import JaxModel
from spa_kernel.graph.ir import Value
from spa_kernel.interrupts import uninterrupted
from spa_kernel.plan.cost import CostModel
from spa_kernel.surgery.compare import ScalarChange, structure
from spa_kernel.surgery.jax_verify import agreement, run, run_as_is
from spa_kernel.surgery.scale import compensated

AFFORDABLE = 5e10
"""FLOPs up to which a prune is also verified by running the network."""


class JaxChange(Change):
    """Arrays and attributes that were exchanged; arrays themselves never change."""

    def __init__(self) -> None:
        self.guard: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None
        self._arrays: list[tuple[Any, Any, Any]] = []
        """Variable, the array that is to come back, and a copy in case it was given away."""
        self._attributes: list[tuple[Any, str, Any]] = []

    def keep(self, variable: Any) -> None:
        """Note what a variable holds."""
        array = variable.get_raw_value()
        self._arrays.append((variable, array, array.copy()))

    def put(self, variable: Any, array: Any) -> None:
        """Give a variable, whose content was noted, another one."""
        variable.set_raw_value(array)

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Give an attribute another value."""
        self._attributes.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def undo(self) -> None:
        self._swap()

    def redo(self) -> None:
        self._swap()

    def _swap(self) -> None:
        if self.guard is not None:
            self.guard()
        with uninterrupted():
            self.swap()
            if self.after is not None:
                self.after()

    def swap(self) -> None:
        """Exchange what is held here with what is in the model."""
        arrays, self._arrays = self._arrays, []
        for variable, array, copy in arrays:
            self.keep(variable)
            # A training step may take over the memory of the arrays that it is given.
            gone = isinstance(array, jax.Array) and array.is_deleted()
            variable.set_raw_value(copy if gone else array)
        attributes, self._attributes = self._attributes[::-1], []
        for owner, name, value in attributes:
            self.set(owner, name, value)

    @property
    def nbytes(self) -> int:
        return sum(copy.nbytes for _, _, copy in self._arrays)


class Surgery:
    """One prune of one model.

    Parameters
    ----------
    model : JaxModel
    captured : Captured
        Of the model as it is.
    coupling : Coupling
    removed : numpy.ndarray
        bool, one per label.
    """

    def __init__(
        self, model: JaxModel, captured: Captured, coupling: Coupling, removed: np.ndarray
    ) -> None:
        self.model, self.captured = model, captured
        self.coupling, self.removed = coupling, removed
        self.change = JaxChange()

    def kept(self) -> dict[str, dict[int, np.ndarray]]:
        """Per tensor and axis that loses something, the mask of what stays."""
        found: dict[str, dict[int, np.ndarray]] = {}
        for name, value in self.coupling.graph.stored.items():
            for axis in range(value.ndim):
                mask = self.coupling.kept((value, axis), self.removed)
                if not mask.all():
                    found.setdefault(name, {})[axis] = mask
        return found

    def masked(self) -> dict[str, Any]:
        """The original's tensors, with the removed indices set to zero."""
        arrays = self.model.arrays()
        for name, axes in self.kept().items():
            content = np.array(arrays[name])
            for axis, mask in axes.items():
                content[(slice(None),) * axis + (~mask,)] = 0
            arrays[name] = content
        return arrays

    def cut(self) -> None:
        """Replace tensors by smaller ones, and sizes in attributes by what they are now."""
        kept = self.kept()
        for name, variable in self.model.variables.items():
            self.change.keep(variable)
            if name in kept:
                content = np.asarray(variable.get_raw_value())
                for axis, mask in kept[name].items():
                    content = np.compress(mask, content, axis=axis)
                self.change.put(variable, beside(content, variable.get_raw_value()))
        for owner, name, true in self.model.sizes(self.groups()):
            if getattr(owner, name) != true:
                self.change.set(owner, name, true)

    def groups(self) -> dict[str, int]:
        """By path, how many groups each convolution keeps that has several."""
        made = {out: node for node in self.captured.graph.nodes for out in node.outputs}
        found: dict[str, int] = {}
        for node in self.captured.graph.nodes:
            virtual = node.attrs.get("groups")
            if virtual is None:
                continue
            weight: Value | None = node.inputs[1]
            while weight in made and made[weight].op in ("Transpose", "Cast", "Identity"):
                weight = made[weight].inputs[0]
            if weight is not None and weight.stored:
                count = self.coupling.size((virtual, 0), self.removed)
                found[weight.name.rpartition(".")[0]] = count
        return found

    def read(self, inputs: Inputs) -> tuple[Captured, list[ScalarChange]]:
        """The model as it is after the cut, and the numbers that changed.

        Raises
        ------
        VerificationFailed
        """
        before = self.captured
        try:
            after = Captured(self.model, inputs)
            changes = structure(
                self.coupling, self.removed, before.scalars, after.graph, after.scalars
            )
        except (CaptureError, VerificationFailed) as error:
            # Which of the channels at an operator are in the way is found by trying.
            raise VerificationFailed(
                f"the pruned model does not follow, so it was put back as it was. {error}"
            ) from error
        if after.results != before.results:
            raise VerificationFailed(
                f"the outputs would have the shapes {after.results[:4]}, not {before.results[:4]}"
            )
        return after, changes

    def compensate(self, after: Captured, changes: list[ScalarChange]) -> dict[str, Any]:
        """Fold factors that came out differently into weights; these before rounding."""
        if not changes:
            return {}
        stored = {
            name: torch.from_numpy(np.asarray(self.model.arrays()[name]).astype(np.float64))
            for name, value in after.graph.stored.items()
            if jnp.issubdtype(value.dtype, jnp.floating)
        }
        folded = {n: t.numpy() for n, t in compensated(after.graph, changes, stored).items()}
        for name, exact in folded.items():
            variable = self.model.variables[name]
            held = variable.get_raw_value()
            self.change.put(variable, beside(exact.astype(held.dtype), held))
        return folded


def beside(content: np.ndarray, array: Any) -> Any:
    """An array of the kind of another one, and on its device."""
    if isinstance(array, jax.Array):
        return jax.device_put(content, next(iter(array.devices())))
    return content


def operate(
    model: JaxModel, inputs: Inputs, captured: Captured, coupling: Coupling, removed: np.ndarray,
    *, verify: bool,
) -> tuple[JaxChange, Verification, Captured]:  # fmt: skip
    """Prune, read anew, compensate, verify; on any failure everything is put back.

    Raises
    ------
    VerificationFailed
    """
    surgery = Surgery(model, captured, coupling, removed)
    affordable = CostModel(coupling.graph, coupling).base[0] <= AFFORDABLE
    expected, how_run = None, run
    if verify and affordable:
        progress.report("verifying")
        masked = surgery.masked()
        try:
            try:
                expected = run(model, masked, inputs)
            except TypeError:
                # It has numbers of a fixed precision, such as the first state of a scan.
                how_run = run_as_is
                expected = run_as_is(model, masked, inputs)
        except Exception as error:
            raise VerificationFailed(
                f"{model.title} does not run on its example input, so a prune "
                f"cannot be checked: {type(error).__name__}: {error}. Analyse it with an input "
                "that it accepts, or prune with verify=False"
            ) from error
    try:
        surgery.cut()
        after, changes = surgery.read(inputs)
        folded = surgery.compensate(after, changes)
        if expected is None:
            how = "operators and shapes, call by call" if verify else "not checked"
            return surgery.change, Verification(verify, None, how), after
        progress.report("verifying")
        found = how_run(model, {**model.arrays(), **folded}, inputs)
        return surgery.change, agreement(*expected, *found), after
    except BaseException as error:
        surgery.change.swap()
        if isinstance(error, VerificationFailed) or not isinstance(error, Exception):
            raise
        if isinstance(error, SpaError):
            raise VerificationFailed(f"{error}; the model was put back as it was") from error
        if isinstance(error, RuntimeError | ValueError | IndexError | TypeError):
            raise VerificationFailed(
                "the pruned model does not run with these numbers, so it was put back as it was: "
                f"{type(error).__name__}: {error}"
            ) from error
        raise


def follows(
    model: JaxModel, inputs: Inputs, captured: Captured, coupling: Coupling, removed: np.ndarray
) -> SpaError | None:
    """What would be in the way of a prune, weights aside; the model is left as it is."""
    surgery = Surgery(model, captured, coupling, removed)
    try:
        surgery.cut()
        surgery.read(inputs)
    except SpaError as error:
        return error
    finally:
        surgery.change.swap()
    return None
