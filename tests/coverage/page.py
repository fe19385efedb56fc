"""The results as a page of text."""

from __future__ import annotations

from collections import Counter
from typing import Any

CLASSES = "exact", "little", "refused", "timeout", "crash", "WRONG"
MEANING = {
    "exact": "pruned, and the output is that of the masked original",
    "little": "exact as well, but less than 5 % of the parameters went",
    "refused": "an error that says why; the network was left as it was",
    "timeout": "not done within the time limit",
    "crash": "an error that is no `SpaError`",
    "WRONG": "carried out, but something about it is not as it should be",
}
HEAD = """\
# Coverage

Written by `python -m tests.coverage`. Each network in a process of its own, no hints:
`session = spa.analyze(model, inputs)`, `session.prune(criterion="l1", ratio=0.5, scope="local")`.
The output must agree with that of the original in which the removed indices of every parameter
are zero: float64, error under 1e-5 of the output's standard deviation, statistics of
normalisations taken out of both. The pruned model is the same object, its output has the same
structure, and undo restores every tensor bit for bit. Weights have ordinary size, and BatchNorm
statistics and constant parameters are random, so that no branch is too small to show an error.
"""


def table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def short(text: str, length: int = 220) -> str:
    """One line that cannot break a table."""
    text = " ".join(text.replace("|", "\\|").split())
    return text if len(text) <= length else text[: length - 1] + "…"


def page(results: list[dict[str, Any]]) -> str:
    """A summary, then a table for each kind."""
    kinds = list(dict.fromkeys(r["kind"] for r in results))
    counts = {kind: Counter(r["class"] for r in results if r["kind"] == kind) for kind in kinds}
    summary = [["set", "networks", *CLASSES]]
    for kind, count in counts.items():
        summary.append([kind, str(count.total()), *(str(count[c]) for c in CLASSES)])
    parts = [HEAD, table(summary), "\n".join(f"* **{c}**: {m}" for c, m in MEANING.items()) + "\n"]
    for kind in kinds:
        rows = [["network", "result", "parameters gone", "error", "seconds", "why"]]
        for r in sorted((r for r in results if r["kind"] == kind), key=lambda r: r["name"]):
            gone = f"{r['gone']:.0%}" if "gone" in r else ""
            error = f"{r['error']:.0e}" if "error" in r else ""
            why = short(r.get("message", ""))
            rows.append([f"`{r['name']}`", r["class"], gone, error, f"{r['seconds']:.0f}", why])
        parts.append(f"## {kind}\n\n{table(rows)}")
    return "\n".join(parts)
