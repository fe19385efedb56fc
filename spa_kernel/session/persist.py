"""Save a session to a file, and bring a fresh model to where it stood.

The file is a zip archive: ``session.json`` with the plans, ``example`` with the inputs, and
``state-0``, ``state-1``, ... with the tensors of each step up to the current one.
"""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa_kernel.errors import SpaError
from spa_kernel.frontends import backend_for
from spa_kernel.plan import Plan
from spa_kernel.session.analysis import Analysis

if TYPE_CHECKING:
    from spa_kernel.session.session import Session

FORMAT = 3


def save(session: Session, path: Path) -> None:
    """Write plans and tensors of every step up to the current one; the model stays as it is."""
    backend, history = session.backend, session.history
    done = [step for step in history if 0 < step.index <= history.position]
    head = {
        "format": FORMAT,
        "name": session.name,
        "framework": session.framework,
        "values": history[0].values,
        "steps": [
            {"label": step.label, "plan": step.plan.to_json(), "values": step.values}
            for step in done
            if step.plan
        ],
    }
    # What was saved before is there until all is written.
    partial = path.with_name(f"{path.name}.part")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            archive.writestr("session.json", json.dumps(head))
            archive.writestr("example", backend.example())
            with history.rewound():
                archive.writestr("state-0", backend.snapshot())
                for step in done:
                    history.redo(1)
                    archive.writestr(f"state-{step.index}", backend.snapshot())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(kind: type[Session], path: Path, model: Any) -> Session:
    """A session on a fresh model, with all saved steps carried out on it.

    Raises
    ------
    SpaError
        The file holds no session, or the model is not built as the saved one was; then the
        model is left as it is.
    """
    try:
        archive = zipfile.ZipFile(path)
        head = json.loads(archive.read("session.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SpaError(f"{path} holds no saved session: {error}") from error
    if head.get("format") != FORMAT:
        raise SpaError(f"{path} was written by another version (format {head.get('format')})")
    with archive:
        example = backend_for(model).open_example(archive.read("example"))
        session = kind(model, example, name=head["name"])
        before = session.backend.snapshot()
        session.history.record(**head["values"])
        try:
            session.backend.restore(archive.read("state-0"))
            for index, entry in enumerate(head["steps"], start=1):
                start, plan = time.perf_counter(), Plan.from_json(entry["plan"])
                coupling = session.analysis.coupling
                change, _ = session.backend.apply(coupling, plan.mask(coupling), verify=False)
                session.backend.restore(archive.read(f"state-{index}"))
                analysis = Analysis.of(session.backend)
                seconds = time.perf_counter() - start
                session.history.add(entry["label"], analysis, plan, change, seconds)
                session.history.record(**entry["values"])
        except BaseException:
            session.reset()
            session.backend.restore(before)
            raise
    return session
