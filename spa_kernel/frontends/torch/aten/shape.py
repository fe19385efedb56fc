"""ATen calls that move axes and indices about."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from spa_kernel.frontends.torch.aten.registry import Call, aten
from spa_kernel.graph.ir import Value


@aten(
    "view",
    "_unsafe_view",
    "reshape",
    "_reshape_alias",
    "unsqueeze",
    "squeeze",
    "flatten",
    "_reshape_copy",
    "view_copy",
    "squeeze_copy",
    "unsqueeze_copy",
    "unflatten",
)
def reshape(call: Call) -> None:
    if call.overload != "dtype":
        call.emit("Reshape", [call.args["self"]])


@aten("t", "transpose", "permute", "movedim", "numpy_T", "swapaxes")
def transpose(call: Call) -> None:
    x = call.args["self"]
    perm = list(range(x.ndim))
    if call.name.startswith("permute"):
        perm = [d % x.ndim for d in call.args["dims"]]
    elif call.name.startswith("transpose"):
        i, j = call.args["dim0"] % x.ndim, call.args["dim1"] % x.ndim
        perm[i], perm[j] = perm[j], perm[i]
    else:
        perm.reverse()
    call.emit("Transpose", [x], perm=perm)


@aten("cat", "concat")
def cat(call: Call) -> None:
    tensors = [v for v in call.args["tensors"] if v.shape != (0,)] or call.args["tensors"]
    call.emit("Concat", tensors, axis=call.args["dim"] % call.outs[0].ndim)


@aten("stack")
def stack(call: Call) -> None:
    out = call.outs[0]
    axis = call.args["dim"] % out.ndim
    parts = []
    for i, value in enumerate(call.args["tensors"]):
        shape = (*value.shape[:axis], 1, *value.shape[axis:])
        parts.append(Value(f"{out.name}_part{i}", shape))
        call.emit("Reshape", [value], parts[-1:])
    call.emit("Concat", parts, axis=axis)


@aten(
    "split",
    "split_with_sizes",
    "chunk",
    "split_copy",
    "split_with_sizes_copy",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "unsafe_chunk",
)
def split(call: Call) -> None:
    x = call.args["self"]
    call.emit("Split", [x], axis=call.args["dim"] % x.ndim)


@aten("unbind", "unbind_copy")
def unbind(call: Call) -> None:
    x, axis = call.args["self"], call.args["dim"] % call.args["self"].ndim
    parts = [
        Value(f"{out.name}_{i}", (*out.shape[:axis], 1, *out.shape[axis:]))
        for i, out in enumerate(call.outs)
    ]
    call.emit("Split", [x], parts, axis=axis)
    for part, out in zip(parts, call.outs, strict=True):
        call.emit("Reshape", [part], [out])


@aten("slice", "narrow", "slice_copy")
def slice_(call: Call) -> None:
    x, axis = call.args["self"], call.args["dim"] % call.args["self"].ndim
    step = call.args["step"] or 1
    start, end = call.args["start"], call.args["end"]
    index = np.arange(x.shape[axis])[slice(start, end, step)]
    if start is not None and 0 <= start < step:
        # Which of every few indices is taken: no length.
        start = None
    call.emit(
        "Slice",
        [x],
        index={axis: index},
        step=step,
        borders=borders(x, axis, (start, end)),
    )


@aten("select", "select_copy")
def select(call: Call) -> None:
    x, out = call.args["self"], call.outs[0]
    axis, index = call.args["dim"] % x.ndim, call.args["index"]
    part = Value(f"{out.name}_kept", (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    call.emit(
        "Slice",
        [x],
        [part],
        index={axis: np.array([index % x.shape[axis]])},
        step=1,
        borders=borders(x, axis, (index,)),
    )
    call.emit("Reshape", [part])


def borders(x: Value, axis: int, positions: Iterable[int | None]) -> list[tuple[Value, int]]:
    """For each literal position inside the axis, the stretch that it measures.

    A position counts indices from the front, or from the back where it is negative. After a
    prune the same number of them must be left, or the literal must be repaired.
    """
    size, found = x.shape[axis], []
    for position in positions:
        if position is not None and position != 0 and abs(position) < size:
            stretch = Value(f"{abs(position)} indices", (abs(position),), "virtual")
            found.append((stretch, position))
    return found


@aten("index_select")
def index_select(call: Call) -> None:
    x = call.args["self"]
    axis = call.args["dim"] % x.ndim
    call.emit("Gather", [x, call.args["index"]], axis=axis, literal=True)


@aten("expand", "expand_copy", "broadcast_to")
def expand(call: Call) -> None:
    call.emit("Expand", [call.args["self"]])


@aten("repeat")
def repeat(call: Call) -> None:
    x, repeats = call.args["self"], list(call.args["repeats"])
    padded = Value(f"{call.outs[0].name}_padded", (1,) * (len(repeats) - x.ndim) + x.shape)
    call.emit("Reshape", [x], [padded])
    call.emit("Tile", [padded], repeats=repeats)


@aten("flip")
def flip(call: Call) -> None:
    x = call.args["self"]
    index = {d % x.ndim: np.arange(x.shape[d])[::-1].copy() for d in call.args["dims"]}
    call.emit("Slice", [x], index=index, step=1, borders=[])


@aten("roll")
def roll(call: Call) -> None:
    x = call.args["self"]
    call.emit("Roll", [x], axes=[d % x.ndim for d in call.args["dims"]] or list(range(x.ndim)))


@aten("constant_pad_nd", "pad")
def pad(call: Call) -> None:
    """``borders``: stretches as long as the amounts that the code adds in front and behind."""
    x, amounts = call.args["self"], list(call.args["pad"])
    pads = [(0, 0)] * x.ndim
    for i in range(0, len(amounts), 2):
        pads[x.ndim - 1 - i // 2] = (amounts[i], amounts[i + 1])
    added: dict[int, tuple[tuple[Value, int], ...]] = {}
    for axis, both in enumerate(pads):
        if min(both) >= 0 and max(both) > 0 and x.shape[axis] > 0:
            added[axis] = tuple((Value(f"{n} indices", (n,), "virtual"), n) for n in both)
    borders = [part for parts in added.values() for part in parts if part[1]]
    call.emit("Pad", [x], pads=pads, value=call.args.get("value"), added=added, borders=borders)


@aten("pixel_shuffle")
def pixel_shuffle(call: Call) -> None:
    if call.args["self"].ndim == 4:
        call.emit(
            "DepthToSpace", [call.args["self"]], mode="CRD", blocksize=call.args["upscale_factor"]
        )


@aten("pixel_unshuffle")
def pixel_unshuffle(call: Call) -> None:
    x = call.args["self"]
    if x.ndim >= 3:
        call.emit("SpaceToDepth", [x], blocksize=call.args["downscale_factor"])


@aten("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(call: Call) -> None:
    call.emit("ChannelShuffle", [call.args["self"]], parts=call.args["groups"])
