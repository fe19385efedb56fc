"""What a sweep found."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.studies.wishes import target_wish
from spa_kernel.views.rich import Rich

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = "label criterion agg norm target rf rp value seconds error".split()


@dataclass(eq=False, repr=False)
class Sweep(Rich):
    """What `spa_kernel.sweep` found.

    Attributes
    ----------
    rows : list of dict
        A row per point: ``label`` (of the criterion with its settings), ``criterion``, ``agg``,
        ``norm``, ``target``, ``rf`` and ``rp`` (how many times fewer FLOPs and parameters than
        the session's model has), ``value``, ``seconds`` (pruning, training and evaluation),
        ``error`` (why there is no value, or ``""``).
    baseline : float or None
        The value of the model as it is.
    labels, targets : list of str
        The rows and columns of the table.
    measure : str
        The name of the function that was asked.
    larger_is_better : bool
    """

    rows: list[dict[str, Any]]
    baseline: float | None
    labels: list[str]
    targets: list[str]
    measure: str
    larger_is_better: bool = True

    @property
    def total(self) -> int:
        """How many points there were to be."""
        return len(self.labels) * len(self.targets)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, as it is after an interruption."""
        return len(self.rows) == self.total

    def gain(self, row: dict[str, Any]) -> float:
        """The value of a row, turned so that more is better."""
        value: float = row["value"]
        return value if self.larger_is_better else -value

    def best(self, target: Any) -> dict[str, Any] | None:
        """The row with the best value for a target; ``None`` where no row has a value.

        Parameters
        ----------
        target : float, dict or str
            As it was given to the sweep, or as it stands in ``targets``.

        Raises
        ------
        InfeasibleTarget
            The sweep had no such target.
        """
        label = target if isinstance(target, str) else target_wish(target)[0]
        if label not in self.targets:
            raise InfeasibleTarget(
                f"the sweep had no target {label!r}, only {', '.join(self.targets)}"
            )
        rows = [r for r in self.rows if r["target"] == label and r["value"] is not None]
        return max(rows, key=self.gain, default=None)

    def pareto(self) -> list[dict[str, Any]]:
        """The rows that no other row beats in both RF and value, by rising RF."""
        valued = [row for row in self.rows if row["value"] is not None]
        front: list[dict[str, Any]] = []
        for row in sorted(valued, key=lambda r: (-r["rf"], -self.gain(r))):
            last = front[-1] if front else None
            if (
                last is None
                or self.gain(row) > self.gain(last)
                or (row["rf"] == last["rf"] and self.gain(row) == self.gain(last))
            ):
                front.append(row)
        return front[::-1]

    def figure(self) -> Figure:
        """Value against RF with the front of what is best; a `matplotlib.figure.Figure`."""
        from spa_kernel.views.figures import sweep_figure

        return sweep_figure(self)

    def to_csv(self, path: str | Path) -> Path:
        """Write the rows as a table with a header."""
        path = Path(path)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        return path

    def __repr__(self) -> str:
        state = "" if self.complete else ", interrupted"
        return f"Sweep({len(self.rows)} of {self.total} points{state})"
