"""What is to be removed: a target, how it is chosen, and limits for single groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

from spa_kernel.coupling.result import Group
from spa_kernel.importance import criteria
from spa_kernel.views.widgets.looks import heading

TARGETS = (
    ("FLOPs, times fewer (RF)", "flops"),
    ("Parameters, times fewer (RP)", "params"),
    ("Activation memory, times less", "memory"),
    ("Channels, share that goes", "ratio"),
)
SCOPES = (
    ("all groups compete", "global"),
    ("every group alike", "local"),
    ("groups built alike compete", "isomorphic"),
)
MULTIPLES = (("any width", None), *((f"multiples of {n}", n) for n in (2, 4, 8, 16, 32)))
MOST = 0.9
WIDE = w.Layout(width="23em")
NAMED = {"description_width": "7.5em"}


class Controls:
    """Inputs of a person as settings for `spa_kernel.session.Session.plan`.

    Parameters
    ----------
    groups : callable
        Returns the groups of the session as they are now.
    given : dict
        ``data`` and ``loss``, as far as there are any; only criteria that can do with them are
        offered.
    changed : callable
        Called after every change of a setting.
    """

    def __init__(
        self,
        groups: Callable[[], Sequence[Group]],
        given: dict[str, Any],
        criterion: str,
        changed: Callable[[], None],
    ) -> None:
        self._groups, self._given, self._changed = groups, given, changed
        self._limits: dict[str, float] = {}
        self.target = w.Dropdown(
            options=TARGETS, value="flops", description="Target", layout=WIDE, style=NAMED
        )
        self.factor = w.FloatSlider(
            value=2.0, min=1.0, max=8.0, step=0.05, readout_format=".2f", description="How far",
            layout=WIDE, style=NAMED,
        )  # fmt: skip
        self.share = w.FloatSlider(
            value=0.5, min=0.0, max=MOST, step=0.01, readout_format=".0%", description="How far",
            layout=w.Layout(width=WIDE.width, display="none"), style=NAMED,
        )  # fmt: skip
        self.criterion = w.Dropdown(
            options=offered(given, criterion), value=criterion, description="Criterion",
            layout=WIDE, style=NAMED,
        )  # fmt: skip
        self.scope = w.Dropdown(options=SCOPES, description="Choice", layout=WIDE, style=NAMED)
        self.round_to = w.Dropdown(
            options=MULTIPLES, description="Round to", layout=WIDE, style=NAMED
        )
        self.exclude = w.Text(
            placeholder="head, layer4*, g3", description="Leave whole", layout=WIDE, style=NAMED,
            continuous_update=False,
        )  # fmt: skip
        self.group = w.Dropdown(description="Group", layout=WIDE, style=NAMED)
        self.limit = w.FloatSlider(
            value=MOST, min=0.0, max=1.0, step=0.01, readout_format=".0%",
            description="Loses at most", layout=WIDE, style=NAMED,
        )  # fmt: skip
        self._listed = w.HTML()
        self._clear = w.Button(description="No limits", icon="times", layout=w.Layout(width="9em"))
        self._clear.on_click(lambda _: self._forget())
        self.refresh()
        for each in (self.factor, self.share, self.criterion, self.scope, self.round_to,
                     self.exclude):  # fmt: skip
            each.observe(lambda _: changed(), "value")
        self.target.observe(lambda _: self._aim(), "value")
        self.group.observe(lambda _: self._shown(), "value")
        self.limit.observe(lambda _: self._limited(), "value")
        what = heading("What goes"), self.target, self.factor, self.share, self.criterion
        how = self.scope, self.round_to, self.exclude
        limits = heading("Limits for single groups"), self.group, self.limit
        self.widget = w.VBox([*what, *how, *limits, w.HBox([self._listed, self._clear])])
        self.widget.add_class("spa-controls")

    def settings(self) -> dict[str, Any]:
        """As `spa_kernel.session.Session.plan` takes them, without those not given."""
        kind = self.target.value
        amount = self.share.value if kind == "ratio" else self.factor.value
        whole = [word for word in self.exclude.value.replace(",", " ").split() if word]
        whole += [group for group, most in self._limits.items() if most == 0]
        limits = {group: most for group, most in self._limits.items() if most > 0}
        found = {
            "criterion": self.criterion.value, kind: round(amount, 4), "scope": self.scope.value,
            "round_to": self.round_to.value, "exclude": whole or None, "max_ratio": limits or None,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}

    def choose(self, group: str) -> None:
        """Make a group the one whose limit is set."""
        if group in dict(self.group.options).values():
            self.group.value = group

    def refresh(self) -> None:
        """Offer the groups as they are now; limits of groups that are gone are dropped."""
        prunable = [group for group in self._groups() if group.prunable]
        there = {group.id for group in prunable}
        self._limits = {group: most for group, most in self._limits.items() if group in there}
        chosen = self.group.value if self.group.value in there else None
        self.group.options = [(f"{group.id}  {group.name}", group.id) for group in prunable]
        self.group.value = chosen or (prunable[0].id if prunable else None)
        self._shown()

    def _aim(self) -> None:
        share = self.target.value == "ratio"
        self.factor.layout.display = "none" if share else None
        self.share.layout.display = None if share else "none"
        self._changed()

    def _shown(self) -> None:
        """Show the limit of the group that is chosen, which changes nothing."""
        with self.limit.hold_trait_notifications():
            self.limit.value = self._limits.get(self.group.value, MOST)
        listed = [f"{group}: {most:.0%}" for group, most in self._limits.items()]
        text = ", ".join(listed) or "none yet: 90 % is the most that any group loses"
        self._listed.value = f'<span class="spa-muted">{text}</span>'
        self._clear.layout.display = None if listed else "none"

    def _limited(self) -> None:
        group, most = self.group.value, round(self.limit.value, 2)
        if group is None or self._limits.get(group, MOST) == most:
            return
        self._limits[group] = most
        if most == MOST:
            del self._limits[group]
        self._shown()
        self._changed()

    def _forget(self) -> None:
        self._limits.clear()
        self._shown()
        self._changed()


def offered(given: dict[str, Any], also: str) -> list[str]:
    """Criteria that can be worked out with what there is."""
    wanted = {"nothing"}
    if given.get("data") is not None:
        wanted |= {"inputs", "data"}
        if given.get("loss") is not None:
            wanted.add("labels")
    return [name for name, one in criteria().items() if one.asks in wanted or name == also]
