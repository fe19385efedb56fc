"""The commands; each is a thin skin over a method of `spa_kernel.session.Session`."""

from __future__ import annotations

import difflib
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Bool, Enum, Unicode, observe

import spa_kernel as spa
from spa_kernel import switch
from spa_kernel.errors import CaptureError, SpaError
from spa_kernel.importance import STATISTICS
from spa_kernel.magics import arguments as take
from spa_kernel.magics.cell import Score
from spa_kernel.magics.command import command
from spa_kernel.magics.names import Names
from spa_kernel.magics.options import DOING, LIMITS, MODEL, NUMBER, SCOPES, SCORES, TARGET
from spa_kernel.magics.outcome import Criteria, Written
from spa_kernel.plan.arguments import TARGETS
from spa_kernel.views import sides


@magics_class
class SPAMagics(Magics):
    """Structured pruning in the notebook; every command takes --help."""

    default_criterion = Unicode("l1", help="Criterion where --criterion is not given.").tag(
        config=True
    )
    default_scope = Enum(SCOPES, "global", help="Scope where --scope is not given.").tag(
        config=True
    )
    widgets = Bool(True, help="Whether views are live, where the notebook can show widgets.").tag(
        config=True
    )

    @observe("widgets")
    def _widgets_changed(self, change: Any) -> None:
        switch.allow(change["new"])

    def __init__(self, shell: InteractiveShell, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self.names = Names(shell)

    @line_magic
    @magic_arguments()
    @MODEL
    @argument("input", metavar="INPUT", nargs="?", help="example input: a variable, or x[:1]")
    @argument(
        "--shape", metavar="1,3,224,224", type=take.shape, action="append",
        help="shape of an example input instead; once per input",
    )  # fmt: skip
    @command
    def spa_analyze(self, args: Namespace) -> Any:
        """Find out which channels of a model hang together. Changes nothing.

        Examples::

            %spa_analyze net x
            %spa_analyze net --shape 1,3,224,224
        """
        if args.input is not None and args.shape:
            raise UsageError("give either an example INPUT or --shape, not both")
        inputs = None
        if args.input is not None:
            inputs = take.value(self.names.shell, args.input, "INPUT")
        elif args.shape:
            inputs = args.shape[0] if len(args.shape) == 1 else tuple(args.shape)
        return self._analyse(args.model, inputs)

    @line_magic
    @magic_arguments()
    @MODEL
    @argument("what", nargs="?", choices=["graph", "groups", "importance", "explorer", "history",
              "cost"], default="graph", help="graph if nothing is said")  # fmt: skip
    @SCORES
    @TARGET
    @argument("--against", metavar="NAME", help="importance: a criterion to compare with")
    @command
    def spa_show(self, args: Namespace) -> Any:
        """Show one side of an analysed model.

        graph: how groups of coupled channels feed each other. groups: as a table. importance: what
        a criterion says of every channel, and what a target such as --flops 2 would cut. explorer:
        try out prunes with a slider, and carry them out. history: the steps so far. cost: before
        and after.

        Examples::

            %spa_show net
            %spa_show net importance --criterion l2 --flops 2
            %spa_show net explorer
        """
        session = self._session(args.model)
        # What another session did to the same model would be shown as never having been.
        session.backend.check()
        match args.what:
            case "cost":
                return sides.Cost(session)
            case "history":
                return sides.Steps(session)
            case "groups":
                return sides.Groups(session)
            case "importance":
                return self._importance(session, args)
            case "explorer":
                expressions = take.plain(args, "data", "loss")
                given = take.given(self.names.shell, args, "data", "loss")
                criterion = args.criterion or self.default_criterion
                return sides.Explorer(session, criterion, **given, expressions=expressions)
            case _:
                return sides.Graph(session)

    def _importance(self, session: Any, args: Namespace) -> sides.Importance:
        criterion = args.criterion or self.default_criterion
        settings = take.plain(args, "agg", "norm")
        settings |= take.given(self.names.shell, args, "data", "loss")
        scores = session.importance(criterion, **settings)
        target, plan, other = take.plain(args, *TARGETS), None, None
        if target:
            plan = session.plan(
                criterion, scope=self.default_scope, scores=scores, **target, **settings
            )
        if args.against is not None:
            other = args.against, session.importance(args.against, **settings)
        return sides.Importance(session, criterion, scores, settings, plan, other)

    @line_magic
    @magic_arguments()
    @MODEL
    @argument("layer", metavar="LAYER", help="a layer's name, such as layer1.0.conv2")
    @command
    def spa_explain(self, args: Namespace) -> Any:
        """Say why the channels of a layer hang together, or why they cannot go.

        Example::

            %spa_explain net layer1.0.conv2
        """
        return self._session(args.model).explain(args.layer)

    @line_magic
    @magic_arguments()
    @MODEL
    @SCORES
    @TARGET
    @LIMITS
    @DOING
    @command
    def spa_prune(self, args: Namespace) -> Any:
        """Remove the least important channels of a model, in place. %spa_undo takes it back.

        Examples::

            %spa_prune net --flops 2 --dry-run
            %spa_prune net --criterion l2 --flops 2
            %spa_prune net --criterion obspa --flops 1.5 --data batches
            %spa_prune net --ratio g3=0.3,layer2*=0.5
            %spa_prune net --criterion taylor --data loader --loss loss --flops 4 --steps 4
            report = %spa_prune net --ratio 0.3 --scope local --exclude head
        """
        session = self._session(args.model)
        settings = take.plain(
            args, *TARGETS, "groups", "exclude", "round_to", "rounding", "max_ratio", "min_width",
            "cost_weight", "calibration",
            "agg", "norm", "seed",
        )  # fmt: skip
        if not settings.keys() & set(TARGETS):
            raise UsageError(
                "say how much is to go: --flops 2 (twice as cheap), --params 2 (half the size), "
                "--memory 2, --latency 2 or --ratio 0.3 (30 % of the channels)"
            )
        if args.dry_run and args.steps > 1:
            raise UsageError(
                "--dry-run shows one prune, and with --steps the later ones depend on it: leave "
                "one of the two out"
            )
        settings["criterion"] = args.criterion or self.default_criterion
        settings["scope"] = args.scope or self.default_scope
        settings |= take.given(self.names.shell, args, "data", "loss")
        if args.dry_run:
            return session.plan(**settings)
        optimizer = take.given(self.names.shell, args, "optimizer")
        return session.prune(steps=args.steps, verify=not args.no_verify, **optimizer, **settings)

    @line_magic
    @magic_arguments()
    @MODEL
    @NUMBER
    @command
    def spa_undo(self, args: Namespace) -> Any:
        """Take the last N prunes back, bit for bit."""
        session = self._known(args.model)
        session.undo(args.steps)
        return session.history

    @line_magic
    @magic_arguments()
    @MODEL
    @NUMBER
    @command
    def spa_redo(self, args: Namespace) -> Any:
        """Do N prunes again that were taken back."""
        session = self._known(args.model)
        session.redo(args.steps)
        return session.history

    @line_magic
    @magic_arguments()
    @MODEL
    @command
    def spa_reset(self, args: Namespace) -> Any:
        """Take all prunes back."""
        session = self._known(args.model)
        session.reset()
        return session.history

    @line_magic
    @magic_arguments()
    @MODEL
    @argument("--record", metavar="NAME=EXPR", action="append", default=[],
              help="keep a number of the model as it is now, top1=accuracy(net)")  # fmt: skip
    @command
    def spa_history(self, args: Namespace) -> Any:
        """List what was done to a model, and where it stands.

        Example::

            %spa_history net --record top1=accuracy(net)
        """
        history = self._known(args.model).history
        for text in args.record:
            name, found, expression = text.partition("=")
            if not (found and name.isidentifier()):
                raise UsageError(f"--record {text}: write it as name=value, top1=accuracy(net)")
            history.record(**{name: take.value(self.names.shell, expression, "--record")})
        return history

    @line_magic
    @magic_arguments()
    @MODEL
    @argument("file", metavar="FILE", help="small.onnx, .keras, or .pt2 for torch")
    @command
    def spa_export(self, args: Namespace) -> Any:
        """Write the model as it is now to a file of any framework, told by its ending."""
        path = take.file(args.file)
        with warnings.catch_warnings():
            # torch's exporter warns of its own internals, in red
            warnings.simplefilter("ignore", FutureWarning)
            self._session(args.model).export(path)
        return Written(path, "Model")

    @line_magic
    @magic_arguments()
    @MODEL
    @argument("file", metavar="FILE", help="work.spa")
    @command
    def spa_save(self, args: Namespace) -> Any:
        """Save the prunes of a model, to be continued with %spa_load."""
        path = take.file(args.file)
        self._known(args.model).save(path)
        return Written(path, "Session")

    @line_magic
    @magic_arguments()
    @argument("file", metavar="FILE", help="a file that %%spa_save wrote")
    @MODEL
    @command
    def spa_load(self, args: Namespace) -> Any:
        """Bring a fresh, unpruned model to where a saved session stood."""
        path = Path(args.file).expanduser()
        if not path.is_file():
            raise UsageError(f"there is no file {args.file}: the order is %spa_load FILE MODEL")
        session = spa.load(path, self.names.model(args.model))
        session.name = args.model
        self.names.keep(args.model, session)
        return session

    @line_magic
    @magic_arguments()
    @command
    def spa_criteria(self, args: Namespace) -> Any:
        """List the criteria that channels can be scored by."""
        return Criteria(spa.criteria())

    @cell_magic
    @magic_arguments()
    @argument("name", metavar="NAME", help="what to call it")
    @argument("--per", choices=["element", "channel"], default="element",
              help="what is scored: the elements of w, or the channels of group")  # fmt: skip
    @argument("--needs", metavar="gradient,flow", type=take.words, default=[],
              help="statistics that the score is computed from")  # fmt: skip
    @command
    def spa_criterion(self, args: Namespace, cell: str) -> Any:
        """Make a criterion: the last expression of the cell scores the weights ``w``.

        It sees ``w`` (the array of one parameter), its ``name``, ``np``, ``context``, what
        --needs asks for, and the notebook's variables. The least score goes first. A cell that is
        run again replaces its criterion.

        Example::

            %%spa_criterion saliency --needs gradient
            abs(w * gradient)
        """
        known = spa.criteria().get(args.name)
        if known is not None and known.function.__module__.startswith("spa_kernel.importance"):
            raise UsageError(f"{args.name} is one of the package's criteria: take another name")
        for need in args.needs:
            if need not in (*STATISTICS, "data", "loss"):
                near = difflib.get_close_matches(need, STATISTICS, n=1)
                did = f"did you mean {near[0]}? " if near else ""
                there = ", ".join(STATISTICS)
                raise UsageError(f"--needs: there is no {need!r}: {did}Use {there}, data or loss")
        variables = self.names.shell
        score = Score(args.name, cell, args.per, tuple(args.needs), lambda: variables.user_ns)
        score.try_out()

        def function(*given: Any) -> Any:
            return score(*given)

        function.__doc__ = score.summary
        spa.criterion(args.name, needs=args.needs, per=args.per)(function)
        return Criteria({args.name: spa.criteria()[args.name]})

    def _session(self, name: str) -> Any:
        """The session of a model, analysed on the spot where that needs no input."""
        session = self.names.session(name)
        if session is not None:
            return session
        try:
            return self._analyse(name, None)
        except CaptureError as error:
            raise UsageError(
                f"{name} has not been analysed yet, and that needs an example input: "
                f"%spa_analyze {name} --shape 1,3,224,224 (or a variable: "
                f"%spa_analyze {name} x). {error}"
            ) from None

    def _known(self, name: str) -> Any:
        """The session of a model that must have been analysed before."""
        session = self.names.session(name)
        if session is None:
            raise UsageError(f"{name} has no history: it has not been analysed or pruned yet")
        return session

    def _analyse(self, name: str, inputs: Any) -> Any:
        model = self.names.model(name)
        if isinstance(model, spa.Session):
            raise SpaError(f"{name} is a session, analysed already: %spa_show {name}")
        before = self.names.session(name)
        session = spa.analyze(model, inputs, name=name)
        self.names.keep(name, session)
        if before is not None and before.history.position:
            print(f"{name} is analysed anew; its earlier prunes cannot be undone any more.")
        return session
