"""What the coupling graph shows, apart from how it is drawn: boxes, arrows, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

BoxKind = Literal["group", "repeat", "module", "input", "output", "layer", "link"]

MOST = 300
"""At most this many boxes and arrows are on the screen."""


@dataclass(frozen=True, slots=True)
class Box:
    """Something to be drawn as one box.

    Attributes
    ----------
    id : str
    kind : str
        ``"group"``; ``"repeat"``, groups of equal structure; ``"module"``, groups drawn together
        because they are many; ``"input"`` and ``"output"`` of the model. Inside a group:
        ``"layer"`` and ``"link"``, an operator where channels of several layers meet.
    title : str
        A name from the user's program.
    detail : str
        What stands under the title.
    times : int
        How many alike it stands for.
    frozen : bool
        Nothing in it can go.
    groups : tuple of str
        Ids of the groups in it.
    channels : int
        All their channels.
    params : int
        Parameters that go if all these channels go, or that are held in place by them.
    why : str
        The reason why a frozen one stays, or what a link does.
    names : tuple of str
        Further names to find it by: layers and tensors.
    order : int
        Where in the network the box stands.
    """

    id: str
    kind: BoxKind
    title: str
    detail: str = ""
    times: int = 1
    frozen: bool = False
    groups: tuple[str, ...] = ()
    channels: int = 0
    params: int = 0
    why: str = ""
    names: tuple[str, ...] = ()
    order: int = 0


@dataclass(frozen=True, slots=True)
class Arrow:
    """Data flow from one box to another; ``back`` where it comes back to an earlier one."""

    source: str
    target: str
    back: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The middle of a box and its size, in pixels; y grows downwards."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Overview:
    """A picture of a network, or of a part of it.

    Attributes
    ----------
    title : str
    boxes : tuple of Box
        In the order of the network.
    arrows : tuple of Arrow
    places : dict of str to Place
        Where each box is.
    bends : dict of (str, str) to tuple of (float, float)
        The corners of arrows that are no straight lines.
    notes : tuple of str
        Sentences: why channels go together, what was left out.
    """

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    places: dict[str, Place] = field(default_factory=dict)
    bends: dict[tuple[str, str], tuple[tuple[float, float], ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def by_id(self) -> dict[str, Box]:
        """Boxes by id."""
        return {box.id: box for box in self.boxes}

    @cached_property
    def by_group(self) -> dict[str, Box]:
        """The box that each group is in."""
        return {group: box for box in self.boxes for group in box.groups}

    @property
    def count(self) -> int:
        """Number of things to draw."""
        return len(self.boxes) + len(self.arrows)

    def find(self, text: str) -> list[Box]:
        """Boxes with this text in a name; capitals do not matter."""
        text = text.strip().lower()
        if not text:
            return []
        return [
            box
            for box in self.boxes
            if text == box.id.lower()
            or text in box.groups
            or any(text in name.lower() for name in (box.title, *box.names))
        ]
