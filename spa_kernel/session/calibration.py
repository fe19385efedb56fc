"""What scores and new weights are calibrated on: data, or inputs made from the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from spa_kernel.errors import DataNeeded, InfeasibleTarget
from spa_kernel.plan import Plan

if TYPE_CHECKING:
    from spa_kernel.session.session import Session

KINDS = "data", "ood", "none"


class Calibration(NamedTuple):
    """Batches of inputs, and what they are to the network (`KINDS`) where that matters."""

    batches: Any
    kind: str | None = None

    @property
    def foreign(self) -> bool:
        """Whether they are not what the network was trained on."""
        return self.kind in ("ood", "none")


def calibrated(
    session: Session, needed: bool, data: Any, calibration: str | None, seed: int
) -> Calibration:
    """The batches to calibrate on, and what kind they are; a `Calibration` is taken as it is.

    Parameters
    ----------
    session : Session
    needed : bool
        Whether anything is calibrated that can do without data.
    data : iterable or None
    calibration : {"data", "ood", "none"} or None
        As for `Session.plan`.
    seed : int

    Raises
    ------
    InfeasibleTarget, DataNeeded
    """
    if isinstance(data, Calibration):
        return data
    if calibration is not None and calibration not in KINDS:
        raise InfeasibleTarget(
            f"calibration={calibration!r} does not exist: use {', '.join(KINDS)}"
        )
    if not needed:
        if calibration is not None:
            raise InfeasibleTarget(
                f"calibration={calibration!r} says nothing here, as no weights are reconstructed: "
                'use criterion="obspa", or reconstruct=True'
            )
        return Calibration(data)
    kind = calibration or ("none" if data is None else "data")
    if kind == "none":
        if data is not None:
            raise InfeasibleTarget('calibration="none" does without data: leave data out')
        return Calibration(session.backend.synthetic(session.analysis.coupling, seed), kind)
    if data is None:
        raise DataNeeded(
            f"calibration={kind!r} needs data: give data=, an iterable of batches of inputs (no "
            'labels are looked at), or use calibration="none"'
        )
    return Calibration(data, kind)


def batches(session: Session, plan: Plan) -> Any:
    """What a plan's weights are reconstructed on.

    Raises
    ------
    DataNeeded
        The plan was read from a file, where no data is.
    """
    if plan.batches is not None:
        return plan.batches
    if plan.settings.get("calibration") == "none":
        seed = int(plan.settings.get("seed") or 0)
        return session.backend.synthetic(session.analysis.coupling, seed)
    raise DataNeeded(
        "this plan's weights are to be reconstructed on data, and a saved plan holds none: give "
        "it here, session.prune(plan, data=batches)"
    )
