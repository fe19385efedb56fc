"""Calls between channels and positions, torchvision's own ones included."""

from __future__ import annotations

from math import prod

from spa_kernel.frontends.torch.aten.registry import Call, aten
from spa_kernel.graph.ir import Value


@aten("im2col")
def unfold(call: Call) -> None:
    call.emit("Unfold", [call.args["self"]], window=prod(call.args["kernel_size"]))


@aten("col2im")
def fold(call: Call) -> None:
    call.emit("Fold", [call.args["self"]], window=prod(call.args["kernel_size"]))


@aten("grid_sampler_2d", "grid_sampler_3d", "grid_sampler", "cudnn_grid_sampler")
def grid_sample(call: Call) -> None:
    call.emit("GridSample", [call.args.get("input", call.args.get("self")), call.args["grid"]])


@aten("affine_grid_generator")
def affine_grid(call: Call) -> None:
    theta = call.args["theta"]
    call.emit("Affine", [theta], axes=tuple(range(1, theta.ndim)))


@aten("max_unpool2d", "max_unpool3d")
def max_unpool(call: Call) -> None:
    spatial = int(call.name[-2])
    call.emit("MaxUnpool", [call.args["self"], call.args["indices"]], spatial=spatial)


@aten("torchvision::roi_align", "torchvision::roi_pool")
def regions(call: Call) -> None:
    op = "RoiAlign" if call.name.endswith("align") else "MaxRoiPool"
    call.emit(op, [call.args["input"], call.args["rois"]])


@aten("torchvision::ps_roi_align", "torchvision::ps_roi_pool")
def regions_with_bins(call: Call) -> None:
    op = "RoiAlign" if call.name.endswith("align") else "MaxRoiPool"
    call.emit(op, [call.args["input"], call.args["rois"]], bins=True)


@aten("torchvision::deform_conv2d")
def deform_conv(call: Call) -> None:
    a = call.args
    groups = None
    if a["groups"] > 1:
        groups = Value(f"groups of {call.outs[0].name}", (a["groups"],), "virtual")
    moves = [a["offset"], a["mask"] if a.get("use_mask", True) else None]
    inputs = [a["input"], a["weight"], a["bias"], *moves]
    call.emit("DeformConv", inputs, groups=groups, offset_groups=a["offset_groups"])
