"""Answers to the questions of a panel; all of them only look."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spa_kernel import __version__, progress
from spa_kernel.errors import InfeasibleTarget, SpaError
from spa_kernel.importance import find
from spa_kernel.magics.line import prune_line
from spa_kernel.panel.candidates import candidates
from spa_kernel.panel.hub import WAIT, Hub, nobody
from spa_kernel.panel.protocol import VERSION, Message, Refusal, check, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spa_kernel.importance.registry import Criterion
    from spa_kernel.session import Session

ONLY_IN_LINE = "data", "loss", "optimizer", "steps"
"""Options that a prediction does without: expressions, which only a cell may work out."""


def answer(hub: Hub, content: Any, welcomed: bool) -> Message:
    """The answer to anything that a page may have sent.

    Parameters
    ----------
    hub : Hub
    content : object
    welcomed : bool
        Whether the page has said which version it speaks.
    """
    try:
        question = check(content)
        if not welcomed and question["type"] != "hello":
            raise Refusal("invalid", f"say hello first, in version {VERSION}")
        return ANSWERS[question["type"]](hub, question)
    except Refusal as refusal:
        return refusal.answer(number(content))
    except SpaError as error:
        return Refusal("infeasible", str(error)).answer(number(content))
    except Exception as error:
        # A page that waits for an answer must get one.
        logging.getLogger(__name__).exception("a question of the panel fails")
        what = f"spa_kernel fails to answer ({type(error).__name__}: {error})"
        return Refusal("failed", what).answer(number(content))


def welcome(hub: Hub, question: Message) -> Message:
    """Answer a page that speaks our version."""
    return {"type": "hello", "id": question["id"], "version": VERSION, "package": __version__}


def snapshot(hub: Hub, question: Message) -> Message:
    """Answer with all models, with sparks if they are asked for."""
    if "criterion" in question:
        hub.draw(live(question["criterion"]).name)
    return hub.snapshot(question["id"])


def predict(hub: Hub, question: Message) -> Message:
    """Answer with what a prune would do."""
    name, target, options = question["model"], question["target"], question.get("options", {})
    session = hub.session(name)
    settings = {
        "criterion": hub.magics.default_criterion,
        target["kind"]: target["value"],
        "scope": hub.magics.default_scope,
        **options,
    }
    line = prune_line(name, settings)
    live(settings["criterion"], line=line)
    wishes = {key: value for key, value in settings.items() if key not in ONLY_IN_LINE}
    with looking(session, name):
        known = hub.see(session)
        plan, revision = known.preview.plan(**wishes), known.shown["revision"]
    cut = {group: sizes for group, sizes in plan.widths.items() if sizes[0] != sizes[1]}
    return {
        "type": "prediction",
        "id": question["id"],
        "model": name,
        "revision": revision,
        "line": line,
        "flops": list(plan.flops),
        "params": list(plan.params),
        "memory": list(plan.memory),
        "rf": plan.rf,
        "rp": plan.rp,
        "widths": {
            "id": list(cut),
            "before": [before for before, _ in cut.values()],
            "after": [after for _, after in cut.values()],
        },
    }


def what_there_is(hub: Hub, question: Message) -> Message:
    """Answer with the models in the notebook's variables."""
    columns = candidates(hub.magics.names)
    return {"type": "candidates", "id": question["id"], **columns}


def explain(hub: Hub, question: Message) -> Message:
    """Answer why a layer's channels hang together."""
    name, layer = question["model"], question["layer"]
    session = hub.session(name)
    try:
        with looking(session, name):
            found = session.explain(layer)
    except InfeasibleTarget as error:
        raise Refusal("unknown", str(error)) from None
    keys = "axis", "group", "text", "joints"
    parts = [dict(zip(keys, part, strict=True)) for part in found.parts]
    return {
        "type": "explanation", "id": question["id"], "model": name, "layer": layer, "parts": parts
    }  # fmt: skip


def live(name: str, **more: str) -> Criterion:
    """A criterion that needs nothing but weights.

    Raises
    ------
    Refusal
        It needs more, which takes a forward of the network or data of the notebook.
    """
    criterion = find(name)
    if criterion.needs:
        asked = {"nothing": "runs the network"}.get(criterion.asks, "needs data")
        reason = f"{name} {asked}, so it cannot be predicted here; run the line with --dry-run."
        raise Refusal("data", reason, **more)
    return criterion


@contextmanager
def looking(session: Session, name: str) -> Iterator[None]:
    """Look at a session, if nothing is done to it.

    Raises
    ------
    Refusal
    """
    with session.turn.free(WAIT) as free, progress.listening(nobody):
        if not free:
            raise Refusal("busy", f"{name} is being worked on; ask again when that is done.")
        yield


ANSWERS: dict[str, Callable[[Hub, Message], Message]] = {
    "hello": welcome,
    "snapshot": snapshot,
    "predict": predict,
    "candidates": what_there_is,
    "explain": explain,
}
