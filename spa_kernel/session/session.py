"""A session: one model, what is known of it, and what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spa_kernel import progress
from spa_kernel.coupling.result import Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.frontends import backend_for
from spa_kernel.frontends.exporting import export
from spa_kernel.importance import STATISTICS, find, group_scores
from spa_kernel.plan import Plan, make_plan
from spa_kernel.plan.target import Rounding, Spread
from spa_kernel.session import persist
from spa_kernel.session.analysis import Analysis
from spa_kernel.session.calibration import calibrated
from spa_kernel.session.explain import Explanation, explain
from spa_kernel.session.frozen import Frozen, frozen
from spa_kernel.session.history import History
from spa_kernel.session.latency import measured_plan
from spa_kernel.session.pruning import carry_out, in_steps
from spa_kernel.session.report import Report
from spa_kernel.session.turns import Turn, in_turn
from spa_kernel.views.rich import Rich


class Session(Rich):
    """Everything that can be done with one model; made by `spa_kernel.analyze`."""

    def __init__(self, model: Any, inputs: Any = None, *, name: str | None = None) -> None:
        self.backend = backend_for(model)(model, inputs)
        self.name = str(name or getattr(self.model, "__name__", type(self.model).__name__))
        self.turn = Turn()
        with self.turn.taken(self):
            self._history = History(Analysis.of(self.backend), self.backend.check)

    @property
    def model(self) -> Any:
        """The current model; for torch the very object that was passed in."""
        return self.backend.model

    @property
    def framework(self) -> str:
        """``"torch"``, ``"onnx"`` (TensorFlow too), ``"keras"``, ``"jax"`` or ``"mxnet"``."""
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
        return frozen(self.analysis.coupling)

    @in_turn
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

    @progress.watched
    @in_turn
    def importance(
        self,
        criterion: Any = "l1",
        data: Any = None,
        loss: Any = None,
        agg: str = "mean",
        norm: str | None = None,
        seed: int = 0,
        calibration: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Score every coupled channel.

        Parameters
        ----------
        criterion : str or callable
            See `spa_kernel.criteria`.
        data : iterable, optional
            Batches ``(inputs, targets)``, or inputs alone for criteria that need no targets; a
            tuple of inputs is passed as positional arguments, a dict as keywords.
        loss : callable, optional
            ``loss(output, targets)``, a scalar; for criteria that need gradients.
        agg : {"mean", "sum", "max", "prod", "median", "first"}
            How element scores become one score per coupled channel.
        norm : {"mean", "sum", "max", "minmax", "gaussian", "none"}
            How scores are made comparable between groups; by default as suits the criterion,
            ``"mean"`` for most.
        seed : int
            For criteria that draw at random.
        calibration : {"data", "ood", "none"}
            As for `plan`.

        Returns
        -------
        dict of str to numpy.ndarray
            Group id to float64 scores, one per coupled channel; the least important first to go.
            A group that the criterion says nothing of (no BatchNorm, for ``"bn_scale"``) is left
            out, and stays whole in a plan.

        Raises
        ------
        InfeasibleTarget, DataNeeded
        """
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
            raise InfeasibleTarget(f"seed={seed!r}: use a whole number of 0 or more")
        chosen, coupling = find(criterion), self.analysis.coupling
        progress.report("scoring")
        found = calibrated(self, chosen.asks == "inputs", data, calibration, seed)
        data = found.batches
        norm = norm or chosen.norm
        if len(chosen.needs) > 1 and isinstance(data, Iterator):
            # Each statistic goes through it.
            data = list(data)
        given = {"data": data, "loss": loss}
        for need in chosen.needs:
            if need in STATISTICS:
                given[need] = self.backend.statistic(
                    need, coupling, data, loss, seed, found.foreign
                )
        progress.report("scoring")
        return group_scores(
            coupling, self.backend.array, chosen, agg=agg, norm=norm, seed=seed, given=given
        )

    @progress.watched
    @in_turn
    def plan(
        self,
        criterion: Any = "l1",
        *,
        ratio: float | Mapping[str, float] | None = None,
        flops: float | None = None,
        params: float | None = None,
        latency: float | None = None,
        memory: float | None = None,
        scope: Spread = "global",
        groups: Any = None,
        exclude: Any = None,
        round_to: int | None = None,
        rounding: Rounding | None = None,
        max_ratio: float | Mapping[str, float] = 0.9,
        min_width: int = 1,
        cost_weight: float | None = None,
        data: Any = None,
        loss: Any = None,
        calibration: str | None = None,
        reconstruct: bool | None = None,
        agg: str = "mean",
        norm: str | None = None,
        seed: int = 0,
        earlier: Mapping[str, int] | None = None,
        scores: Mapping[str, np.ndarray] | None = None,
    ) -> Plan:
        """Choose what goes; nothing is changed.

        Give exactly one of ``ratio``, ``flops``, ``params``, ``memory`` and ``latency``.

        Parameters
        ----------
        criterion, data, loss, agg, norm, seed
            As for `importance`.
        ratio : float or mapping of str to float
            Fraction of coupled channels that go, of each ``scope``. A mapping gives groups their
            own by id, name or glob: ``{"g3": 0.3, "layer2*": 0.5}``, ``"*"`` for all others;
            groups that it does not name stay whole.
        flops, params : float
            How many times fewer FLOPs or parameters than the model has now, at least. FLOPs are
            counted as ``torch.utils.flop_counter`` does, attention products included.
        memory : float
            How many times fewer bytes of activations at the worst moment of one forward with the
            example input, at least. Inputs count until they are read for the last time;
            parameters, buffers and what an operator needs inside do not count.
        latency : float
            How many times faster one forward on the example input is, as measured on this
            machine: pruned copies are timed in turns with the model itself, until one is at least
            so much faster and at most 1 % more, as far as the machine is quiet enough to tell
            (``Plan.latency`` is what was measured, ``settings["latency_spread"]`` its standard
            error). This takes up to a minute or two, and the plan is not the same every time.
        scope : {"global", "local", "isomorphic"} or mapping
            Whose channels compete with each other: all, those of each group, those of groups of
            equal structure, or those of groups that are put together by name:
            ``{"early": ["layer1*", "layer2*"], "late": "layer[34]*"}`` (others stay whole). All
            of these lose the same fraction, the lowest scores first.
        groups, exclude : str or list of str
            Only these groups, or all but these: ids, names, layers or globs.
        round_to : int
            Widths become multiples of this.
        rounding : {"nearest", "up", "down"}
            To which multiple: for ``ratio`` the nearest width (the default), the next above or
            the next below; for other targets widths that reach it (``"down"``, the default), that
            stop short of it, or those of the two that come closer.
        max_ratio : float or mapping of str to float
            No group loses more than this fraction; a mapping as for ``ratio``, where groups that
            it does not name keep 0.9.
        min_width : int
            No group keeps fewer channels.
        cost_weight : float
            With targets other than ``ratio``: channels are ranked by
            ``score / cost ** cost_weight``, with the cost of a channel in what the target counts.
            0 is by score alone; 1 suits scores that estimate the loss of accuracy (``"taylor"``,
            ``"obd"``), with ``norm="none"``. By default as suits the criterion: 1 for
            ``"obspa"``, 0 for others.
        calibration : {"data", "ood", "none"}
            For ``"obspa"`` and ``reconstruct``: ``data`` is like what the network was trained on;
            it is of another distribution; or there is none, and inputs are made from the network
            alone. By default the first or the last, as data is given or not.
        reconstruct : bool
            Give what is left the weights that make up best for what has gone, by least squares
            on the calibration inputs, when the plan is carried out; by default with ``"obspa"``.
        earlier : mapping of str to int, optional
            Group id to the number of channels that it has lost already: ``ratio`` and
            ``max_ratio`` then count from before that.
        scores : mapping of str to numpy.ndarray, optional
            What `importance` found with the same criterion, data and seed, so that it need not be
            worked out again.

        Returns
        -------
        Plan

        Raises
        ------
        InfeasibleTarget, DataNeeded, StaleSession
        VerificationFailed
            With ``latency``: a pruned copy that was to be timed does not run, and the error says
            why. `prune` lets such channels stay, and plans anew.
        """
        self.backend.check()
        chosen = find(criterion)
        mending = chosen.reconstruct if reconstruct is None else bool(reconstruct)
        needed = mending or chosen.asks == "inputs"
        found = calibrated(self, needed, data, calibration, seed)
        if needed and isinstance(found.batches, Iterator):
            # Scores and reconstruction go through it.
            found = found._replace(batches=list(found.batches))
        norm = norm or chosen.norm
        if cost_weight is None:
            cost_weight = chosen.cost_weight if ratio is None else 0.0
        if scores is None:
            scores = self.importance(chosen, found, loss, agg, norm, seed)
        progress.report("planning")
        called = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", "own")
        make = partial(
            make_plan,
            self.analysis.graph,
            self.analysis.coupling,
            self.analysis.cost,
            scores,
            scope=scope,
            groups=groups,
            exclude=exclude,
            round_to=round_to,
            rounding=rounding,
            max_ratio=max_ratio,
            min_width=min_width,
            cost_weight=cost_weight,
            earlier=earlier,
            settings={
                "criterion": called, "agg": agg, "norm": norm, "seed": seed,
                **({"calibration": found.kind, "reconstruct": mending} if needed else {}),
            },
        )  # fmt: skip
        if latency is not None and ratio is flops is params is memory is None:
            made = measured_plan(self, make, latency)
        else:
            made = make(ratio=ratio, flops=flops, params=params, latency=latency, memory=memory)
        return replace(made, batches=found.batches) if mending else made

    @progress.watched
    @in_turn
    def prune(
        self,
        plan: Plan | None = None,
        *,
        optimizer: Any = None,
        verify: bool = True,
        steps: int = 1,
        between: Callable[[Session], Any] | None = None,
        **wishes: Any,
    ) -> Report:
        """Carry a plan out: all of it, or nothing.

        Parameters
        ----------
        plan : Plan, optional
            From `plan`; or give the arguments of `plan` here. With a plan that was read from a
            file, ``data`` can be given for reconstructing weights.
        optimizer : torch.optim.Optimizer, optional
            Its state is cut together with the parameters, also by undo.
        verify : bool
            Check the pruned model against the plan and against the masked original.
        steps : int
            Come to the target in so many prunes, with scores worked out anew before each; each
            is a step of the history.
        between : callable, optional
            Called with the session after every step but the last, to train a little, say.

        Returns
        -------
        Report
            Of the last step; ``rf`` and ``rp`` count from before the first one.

        Raises
        ------
        InfeasibleTarget, DataNeeded, StaleSession, VerificationFailed
            The model is bit for bit what it was.
        """
        if plan is not None and not isinstance(plan, Plan):
            raise InfeasibleTarget(
                f"a plan is needed, not {type(plan).__name__}: session.prune(session.plan(...)), "
                'or session.prune(criterion="l1", ratio=0.5)'
            )
        if plan is not None and wishes.keys() == {"data"} and plan.settings.get("reconstruct"):
            plan = replace(plan, batches=wishes.pop("data"))
        if plan is not None and (wishes or steps != 1):
            wishes = wishes or {"steps": steps}
            raise InfeasibleTarget(
                f"give a plan or {', '.join(wishes)}, not both: a plan holds its own settings"
            )
        if isinstance(wishes.get("data"), Iterator):
            # What cannot follow a prune stays, and the rest is scored anew, as in each step.
            wishes["data"] = list(wishes["data"])
        if steps != 1 or between is not None:
            return in_steps(self, wishes, steps, between, optimizer=optimizer, verify=verify)
        chosen = partial(self.plan, **wishes) if plan is None else plan
        return carry_out(self, chosen, optimizer=optimizer, verify=verify)

    @in_turn
    def undo(self, steps: int = 1) -> None:
        """Take back the last steps: every tensor is bit for bit what it was before them.

        Raises
        ------
        InfeasibleTarget, StaleSession
        """
        self._history.undo(steps)

    @in_turn
    def redo(self, steps: int = 1) -> None:
        """Do undone steps again, weights as they were when they were undone.

        Raises
        ------
        InfeasibleTarget, StaleSession
        """
        self._history.redo(steps)

    def reset(self) -> None:
        """Take back all steps."""
        if self._history.position:
            self.undo(self._history.position)

    @progress.watched
    @in_turn
    def export(self, path: str | Path) -> Path:
        """Write the current model as a file of any framework.

        Parameters
        ----------
        path : str or Path
            ``.onnx``; ``.keras``; ``.pt2`` for a program that `torch.export.load` reads without the
            model's code; ``-symbol.json`` for a Gluon block, with its parameters beside it. From
            another framework than the file's, the model goes by way of ONNX, and what comes out
            is compared with it on the example.

        Raises
        ------
        SpaError
            The model cannot be written so; nothing is written.
        """
        path = Path(path)
        export(self.backend, path)
        return path

    @progress.watched
    @in_turn
    def to_torch(self) -> Any:
        """The current model as a torch.nn.Module: of a torch model itself, of others a new one.

        Its parameters are those of the model, by the same names but for characters that torch
        does not allow in names (``module.names`` tells), and can be trained.

        Raises
        ------
        SpaError
            Torch has no like of a part of the model.
        """
        return self.backend.as_torch()

    @progress.watched
    @in_turn
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


@progress.watched
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


@progress.watched
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
