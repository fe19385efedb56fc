"""A session: one model, what is known of it, and what was done to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from spa_kernel import progress
from spa_kernel.coupling.result import UNUSED, Group
from spa_kernel.errors import InfeasibleTarget, VerificationFailed
from spa_kernel.frontends import backend_for
from spa_kernel.importance import group_scores
from spa_kernel.plan import Plan, make_plan
from spa_kernel.plan.target import Spread
from spa_kernel.session import persist
from spa_kernel.session.analysis import Analysis
from spa_kernel.session.explain import Explanation, explain, relied_on
from spa_kernel.session.history import History
from spa_kernel.session.hypotheses import culprits
from spa_kernel.session.report import Frozen, Report
from spa_kernel.views.rich import Rich

TARGETS = "ratio", "flops", "params"


class Session(Rich):
    """Everything that can be done with one model; made by `spa_kernel.analyze`."""

    def __init__(self, model: Any, inputs: Any = None, *, name: str | None = None) -> None:
        self.backend = backend_for(model)(model, inputs)
        self.name = name or type(self.model).__name__
        self._history = History(Analysis.of(self.backend))

    @property
    def model(self) -> Any:
        """The current model; for torch the very object that was passed in."""
        return self.backend.model

    @property
    def framework(self) -> str:
        """``"torch"`` or ``"onnx"``."""
        return self.backend.framework

    @property
    def history(self) -> History:
        """The steps taken, and where among them the model stands."""
        return self._history

    @property
    def analysis(self) -> Analysis:
        """Graph, coupling and cost of the model as it is now."""
        return self._history.current.analysis

    @property
    def groups(self) -> list[Group]:
        """Groups of coupled channels of the current model."""
        return self.analysis.coupling.groups

    @property
    def cost(self) -> tuple[int, int]:
        """FLOPs and parameters of the current model."""
        return self.analysis.cost.base

    @property
    def notes(self) -> list[str]:
        """What to know of the analysis, such as what the example input decided."""
        return self.analysis.graph.notes

    @property
    def frozen(self) -> list[Frozen]:
        """What cannot go, and why; what holds most parameters in place comes first."""
        coupling, found = self.analysis.coupling, []
        parameters = {v.name: v for v in coupling.graph.parameters}
        for group in self.groups:
            if not group.prunable:
                removed = np.zeros(coupling.count, dtype=bool)
                removed[group.labels] = True
                values = {parameters[n] for n, _ in group.members if n in parameters}
                held = sum(prod(v.shape) - prod(coupling.shape(v, removed)) for v in values)
                found.append(Frozen(group.id, group.name, group.size, group.reason, held))
        for value in coupling.graph.parameters:
            if coupling.fixed.get((value, 0)) == UNUSED:
                size = prod(value.shape)
                found.append(Frozen("", value.name, value.shape[0], UNUSED, size))
        return sorted(found, key=lambda f: -f.params)

    def explain(self, layer: str) -> Explanation:
        """Why a layer's channels hang together, or why they cannot go.

        Parameters
        ----------
        layer : str
            Name of a module, parameter or buffer.

        Raises
        ------
        InfeasibleTarget
            There is no such layer.
        """
        return explain(self.analysis.coupling, layer)

    def importance(
        self,
        criterion: Any = "l1",
        data: Any = None,
        loss: Any = None,
        agg: str = "mean",
        norm: str = "mean",
        seed: int = 0,
    ) -> dict[str, np.ndarray]:
        """Score every coupled channel.

        Parameters
        ----------
        criterion : str or callable
            See `spa_kernel.criteria`.
        data, loss
            For criteria that need them.
        agg : {"mean", "sum", "max", "prod"}
            How element scores become one score per coupled channel.
        norm : {"mean", "sum", "max", "minmax", "gaussian", "none"}
            How scores are made comparable between groups.
        seed : int
            For criteria that draw at random.

        Returns
        -------
        dict of str to numpy.ndarray
            Group id to float64 scores, one per coupled channel.

        Raises
        ------
        InfeasibleTarget, DataNeeded
        """
        progress.report("scoring")
        return group_scores(
            self.analysis.coupling,
            self.backend.array,
            criterion,
            agg=agg,
            norm=norm,
            seed=seed,
            given={"data": data, "loss": loss},
        )

    def plan(
        self,
        criterion: Any = "l1",
        *,
        ratio: float | None = None,
        flops: float | None = None,
        params: float | None = None,
        latency: float | None = None,
        memory: float | None = None,
        scope: Spread = "global",
        groups: Any = None,
        exclude: Any = None,
        round_to: int | None = None,
        max_ratio: float = 0.9,
        data: Any = None,
        loss: Any = None,
        agg: str = "mean",
        norm: str = "mean",
        seed: int = 0,
    ) -> Plan:
        """Choose what goes; nothing is changed.

        Give exactly one of ``ratio``, ``flops`` and ``params``.

        Parameters
        ----------
        criterion, data, loss, agg, norm, seed
            As for `importance`.
        ratio : float
            Fraction of coupled channels that go: of every prunable group for
            ``scope="local"``, of all together for ``scope="global"``.
        flops, params : float
            How many times fewer FLOPs or parameters than the model has now, at least. FLOPs are
            counted as ``torch.utils.flop_counter`` does, attention products included.
        scope : {"global", "local"}
        groups, exclude : str or list of str
            Only these groups, or all but these: ids, names, layers or globs.
        round_to : int
            Widths become multiples of this.
        max_ratio : float
            No group loses more than this fraction.

        Returns
        -------
        Plan

        Raises
        ------
        InfeasibleTarget, DataNeeded, StaleSession
        """
        for name, value in {"latency": latency, "memory": memory}.items():
            if value is not None:
                raise InfeasibleTarget(
                    f"{name}= is not available yet: give ratio=, flops= or params="
                )
        self.backend.check()
        scores = self.importance(criterion, data, loss, agg, norm, seed)
        progress.report("planning")
        called = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", "own")
        return make_plan(
            self.analysis.graph,
            self.analysis.coupling,
            self.analysis.cost,
            scores,
            ratio=ratio,
            flops=flops,
            params=params,
            scope=scope,
            groups=groups,
            exclude=exclude,
            round_to=round_to,
            max_ratio=max_ratio,
            settings={"criterion": called, "agg": agg, "norm": norm, "seed": seed},
        )

    def prune(
        self,
        plan: Plan | None = None,
        *,
        optimizer: Any = None,
        verify: bool = True,
        **wishes: Any,
    ) -> Report:
        """Carry a plan out: all of it, or nothing.

        Parameters
        ----------
        plan : Plan, optional
            From `plan`; or give the arguments of `plan` here.
        optimizer : torch.optim.Optimizer, optional
            Its state is cut together with the parameters, also by undo.
        verify : bool
            Check the pruned model against the plan and against the masked original.

        Returns
        -------
        Report

        Raises
        ------
        InfeasibleTarget, DataNeeded, StaleSession, VerificationFailed
            The model is bit for bit what it was.
        """
        if plan is not None and wishes:
            raise InfeasibleTarget(
                f"give a plan or {', '.join(wishes)}, not both: a plan holds its own settings"
            )
        if plan is not None and not isinstance(plan, Plan):
            raise InfeasibleTarget(
                f"a plan is needed, not {type(plan).__name__}: session.prune(session.plan(...)), "
                "or session.prune(ratio=0.5)"
            )
        start = time.perf_counter()
        self.backend.check()
        notes: list[str] = []
        while True:
            chosen = self.plan(**wishes) if plan is None else plan
            coupling = self.analysis.coupling
            removed = chosen.mask(coupling)
            progress.report("applying")
            try:
                change, verification = self.backend.apply(
                    coupling, removed, verify=verify, optimizer=optimizer
                )
                break
            except VerificationFailed as error:
                # What cannot follow a prune stays, and the rest is planned anew.
                reason = f"a prune was tried, and {error}"
                if self.analysis.hold(error.nodes, reason):
                    what = error.nodes[0].where
                else:
                    losing = [g for g in coupling.groups if len(set(chosen.widths[g.id])) > 1]
                    held = culprits(self.backend, coupling, losing)
                    if not held:
                        raise
                    self.analysis.hold_groups(held, reason)
                    what = ", ".join(f"{group.id} ({group.name})" for group in held)
                if plan is not None:
                    raise
                notes.append(f"{what} could not follow; its channels stay")
        plan = chosen
        try:
            analysis = Analysis.of(self.backend)
            if lost := self._history.undone:
                notes.append(f"{lost} undone steps can no longer be redone")
            notes += relied_on(coupling, removed)
            seconds = time.perf_counter() - start
            report = Report(plan, verification, self._history.position + 1, seconds, notes)
            self._history.add(label(plan), analysis, plan, change, seconds)
        except BaseException:
            change.undo()
            raise
        return report

    def undo(self, steps: int = 1) -> None:
        """Take back the last steps: every tensor is bit for bit what it was before them.

        Raises
        ------
        InfeasibleTarget, StaleSession
        """
        self.backend.check()
        self._history.undo(steps)

    def redo(self, steps: int = 1) -> None:
        """Do undone steps again, weights as they were when they were undone.

        Raises
        ------
        InfeasibleTarget, StaleSession
        """
        self.backend.check()
        self._history.redo(steps)

    def reset(self) -> None:
        """Take back all steps."""
        if self._history.position:
            self.undo(self._history.position)

    def export(self, path: str | Path) -> Path:
        """Write the current model as an ONNX file.

        Raises
        ------
        SpaError
            Where the model cannot be exported.
        """
        path = Path(path)
        self.backend.export(path)
        return path

    def save(self, path: str | Path) -> Path:
        """Write plans and tensors of all steps up to this one, for `spa_kernel.load`."""
        self.backend.check()
        persist.save(self, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        flops, params = self.cost
        return (
            f"Session({self.name!r}, {self.framework}, {flops:,} FLOPs, {params:,} parameters, "
            f"{sum(g.prunable for g in self.groups)} prunable groups)"
        )


def label(plan: Plan) -> str:
    """What a plan does, in a few words."""
    settings: Mapping[str, Any] = plan.settings
    wish = next((f"{k} {settings[k]:g}" for k in TARGETS if settings.get(k)), "")
    lost = sum(before - after for before, after in plan.widths.values())
    return f"pruned {lost:,} channels ({settings.get('criterion', 'own plan')}, {wish})"


def analyze(model: Any, inputs: Any = None, *, name: str | None = None) -> Session:
    """Read a model and find its coupled channels; the model is left as it is.

    Parameters
    ----------
    model : torch.nn.Module, onnx.ModelProto or path of an .onnx file
    inputs : tensor, tuple, dict or shape
        An example input: a tensor or array, a tuple (positional), a dict (keywords), or a shape
        such as ``(1, 3, 224, 224)``. Not needed where the model states its inputs.
    name : str, optional
        What to call the model in tables.

    Returns
    -------
    Session

    Raises
    ------
    CaptureError
        Where this is no model, or its forward fails on these inputs.
    """
    return Session(model, inputs, name=name)


def load(path: str | Path, model: Any) -> Session:
    """Bring a fresh model to where a saved session stood, history included.

    Parameters
    ----------
    path : str or Path
        A file that `Session.save` wrote.
    model : torch.nn.Module or onnx.ModelProto
        Built as the saved one was, before any prune; it takes over the saved tensors.

    Raises
    ------
    SpaError
        The file holds no session or does not fit the model, which is left as it is.
    """
    return persist.load(Session, Path(path), model)
