"""The commands; each is a thin skin over a method of `spa_kernel.session.Session`."""

from __future__ import annotations

import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Enum, Unicode

import spa_kernel as spa
from spa_kernel.errors import CaptureError, SpaError
from spa_kernel.magics import arguments as take
from spa_kernel.magics.command import command
from spa_kernel.magics.names import Names
from spa_kernel.magics.outcome import Cost, Criteria, Groups, Importance, Written

MODEL = argument("model", metavar="MODEL", help="variable that holds the model, or trainer.net")
CRITERION = argument("--criterion", "-c", metavar="NAME", help="how channels are scored")
DATA = argument("--data", metavar="EXPR", help="batches, where the criterion needs them")
LOSS = argument("--loss", metavar="EXPR", help="loss(output, target), where it is needed")
STEPS = argument("steps", metavar="N", nargs="?", type=take.positive, default=1, help="how many")


@magics_class
class SPAMagics(Magics):
    """Structured pruning in the notebook; every command takes --help."""

    default_criterion = Unicode("l1", help="Criterion where --criterion is not given.").tag(
        config=True
    )
    default_scope = Enum(
        ["global", "local"], "global", help="Scope where --scope is not given."
    ).tag(config=True)

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
    @argument("what", nargs="?", choices=["groups", "cost", "history", "importance"],
              default="groups", help="groups if nothing is said")  # fmt: skip
    @CRITERION
    @DATA
    @LOSS
    @command
    def spa_show(self, args: Namespace) -> Any:
        """Show one side of an analysed model.

        Examples::

            %spa_show net groups
            %spa_show net importance --criterion l2
        """
        session = self._session(args.model)
        match args.what:
            case "cost":
                return Cost(session)
            case "history":
                return session.history
            case "importance":
                criterion = args.criterion or self.default_criterion
                given = take.given(self.names.shell, args, "data", "loss")
                return Importance(session, criterion, session.importance(criterion, **given))
            case _:
                return Groups(session)

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
    @CRITERION
    @argument("--ratio", metavar="R", type=take.fraction, help="share of channels to remove, 0.5")
    @argument("--flops", metavar="X", type=take.factor, help="make it X times cheaper, 2")
    @argument("--params", metavar="X", type=take.factor, help="make it X times smaller, 2")
    @argument("--latency", metavar="X", type=take.factor, help="make it X times faster, 1.5")
    @argument("--scope", choices=["global", "local"], help="share over all groups, or in each")
    @argument("--groups", metavar="g3,g7", type=take.words, help="only these groups")
    @argument("--exclude", metavar="PATTERN", type=take.words, help="leave these layers whole")
    @argument("--round-to", metavar="N", type=take.positive, help="keep multiples of N channels")
    @argument("--max-ratio", metavar="R", type=take.fraction, help="most that a group may lose")
    @argument("--seed", metavar="N", type=int, help="for criteria that draw random numbers")
    @DATA
    @LOSS
    @argument("--optimizer", metavar="EXPR", help="its state is cut along with the weights")
    @argument("--dry-run", action="store_true", help="only show what would go")
    @argument("--no-verify", action="store_true", help="do not compare with the masked original")
    @command
    def spa_prune(self, args: Namespace) -> Any:
        """Remove the least important channels of a model, in place. %spa_undo takes it back.

        Examples::

            %spa_prune net --flops 2 --dry-run
            %spa_prune net --criterion l2 --flops 2
            report = %spa_prune net --ratio 0.3 --scope local --exclude head
        """
        session = self._session(args.model)
        plain = ("ratio", "flops", "params", "latency", "groups", "exclude", "round_to",
                 "max_ratio", "seed")  # fmt: skip
        settings = {name: getattr(args, name) for name in plain if getattr(args, name) is not None}
        if not settings.keys() & {"ratio", "flops", "params", "latency"}:
            raise UsageError(
                "say how much is to go: --flops 2 (twice as cheap), --params 2 (half the size) "
                "or --ratio 0.3 (30 % of the channels)"
            )
        settings["criterion"] = args.criterion or self.default_criterion
        settings["scope"] = args.scope or self.default_scope
        plan = session.plan(**settings, **take.given(self.names.shell, args, "data", "loss"))
        if args.dry_run:
            return plan
        optimizer = take.given(self.names.shell, args, "optimizer")
        return session.prune(plan, verify=not args.no_verify, **optimizer)

    @line_magic
    @magic_arguments()
    @MODEL
    @STEPS
    @command
    def spa_undo(self, args: Namespace) -> Any:
        """Take the last N prunes back, bit for bit."""
        session = self._known(args.model)
        session.undo(args.steps)
        return session.history

    @line_magic
    @magic_arguments()
    @MODEL
    @STEPS
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
    @command
    def spa_history(self, args: Namespace) -> Any:
        """List what was done to a model, and where it stands."""
        return self._known(args.model).history

    @line_magic
    @magic_arguments()
    @MODEL
    @argument("file", metavar="FILE", help="small.onnx")
    @command
    def spa_export(self, args: Namespace) -> Any:
        """Write the model as it is now to an ONNX file."""
        path = take.file(args.file)
        with warnings.catch_warnings():
            # torch's exporter warns of its own internals, in red
            warnings.simplefilter("ignore", FutureWarning)
            self._session(args.model).export(path)
        return Written(path, "ONNX model")

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
        self.names.keep(args.model, session)
        return session

    @line_magic
    @magic_arguments()
    @command
    def spa_criteria(self, args: Namespace) -> Any:
        """List the criteria that channels can be scored by."""
        return Criteria(spa.criteria())

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
