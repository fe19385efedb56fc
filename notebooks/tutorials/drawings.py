"""A picture of a cut: every weight of a network as a grid, and what one channel takes along."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

COLOURS = ListedColormap(["#e6e6e6", "#d55e00"])
CELL = 0.125  # inches


def show_cut(session, group, channel=2):
    """Draw the weights of all layers; what goes with one channel of a group is orange.

    Rows are what a layer writes (out), columns are what it reads (in).
    """
    stored = session.analysis.graph.stored
    kept = cut(session, group, channel).kept
    grids = {
        name: grid(stored[name].shape, kept.get(name, {}))
        for name in stored
        if name.endswith("weight")
    }
    widths = [max(array.shape[1] + 1, 8) for array in grids.values()]
    height = max(array.shape[0] for array in grids.values()) + 4  # room for two lines of text
    figure, axes = plt.subplots(
        1,
        len(grids),
        figsize=(CELL * sum(widths) + 1, CELL * height + 0.3),
        width_ratios=widths,
        squeeze=False,
        layout="constrained",
    )
    for ax, width, (name, array) in zip(axes[0], widths, grids.items(), strict=True):
        rows, columns = array.shape
        middle = columns / 2
        ax.pcolormesh(array, cmap=COLOURS, vmin=0, vmax=1, edgecolor="white", linewidth=1)
        ax.set(aspect="equal", xlim=(middle - width / 2, middle + width / 2), ylim=(height, 0))
        ax.set_title(name.removesuffix(".weight"), fontsize=9)
        size = f"{rows}" if stored[name].ndim == 1 else f"{rows} out\n{columns} in"
        ax.text(middle, rows + 0.6, size, ha="center", va="top", fontsize=8)
        ax.axis("off")
    figure.legend(
        handles=[Patch(color=COLOURS(1), label="goes"), Patch(color=COLOURS(0), label="stays")],
        loc="outside right upper",
        frameon=False,
        fontsize=8,
    )
    plt.show()


def cut(session, group, channel):
    """The plan that removes one channel (of every head, where the group has heads)."""
    chosen = next(g for g in session.groups if g.id == group)
    scores = {g.id: np.ones(g.size) for g in session.groups}
    scores[group][channel :: chosen.size // chosen.blocks] = 0
    return session.plan(scores=scores, groups=group, ratio=chosen.blocks / chosen.size)


def grid(shape, kept):
    """1 where something goes, 0 where it stays; outputs × inputs, a kernel being one cell."""
    goes = np.zeros((*shape, 1)[:2])
    for axis, indices in kept.items():
        goes[(slice(None),) * axis + (np.setdiff1d(np.arange(shape[axis]), indices),)] = 1
    return goes
