"""ATen normalisations, reductions and pooling."""

from __future__ import annotations

from spa_kernel.frontends.torch.aten.registry import Call, aten
from spa_kernel.graph.ir import Value


@aten(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "batch_norm",
    "_batch_norm_with_update",
)
def batch_norm(call: Call) -> None:
    a = call.args
    inputs = [a["input"], a["weight"], a["bias"], a.get("running_mean"), a.get("running_var")]
    training = a.get("training", False) or inputs[3] is None
    op = "InstanceNormalization" if training else "BatchNormalization"
    call.emit(op, inputs, call.outs[:1], epsilon=a.get("eps", a.get("epsilon")))


@aten("native_layer_norm")
def layer_norm(call: Call) -> None:
    a = call.args
    axis = a["input"].ndim - len(a["normalized_shape"])
    call.emit("LayerNormalization", [a["input"], a["weight"], a["bias"]], call.outs[:1], axis=axis)


@aten("_fused_rms_norm")
def rms_norm(call: Call) -> None:
    a = call.args
    axis = a["input"].ndim - len(a["normalized_shape"])
    call.emit("RMSNormalization", [a["input"], a["weight"]], call.outs[:1], axis=axis)


@aten("native_group_norm")
def group_norm(call: Call) -> None:
    a = call.args
    groups = Value(f"groups of {call.outs[0].name}", (a["group"],), "virtual")
    call.emit(
        "GroupNormalization",
        [a["input"], a["weight"], a["bias"]],
        call.outs[:1],
        num_groups=a["group"],
        groups=groups,
    )


@aten("_weight_norm_interface", "_weight_norm")
def weight_norm(call: Call) -> None:
    a = call.args
    call.emit("WeightNormalization", [a["v"], a["g"]], call.outs[:1], axis=a["dim"])


@aten("_softmax", "_safe_softmax", "softmax")
def softmax(call: Call) -> None:
    call.emit("Softmax", [call.args["self"]], axis=call.args["dim"] % call.args["self"].ndim)


@aten("_log_softmax", "log_softmax")
def log_softmax(call: Call) -> None:
    call.emit("LogSoftmax", [call.args["self"]], axis=call.args["dim"] % call.args["self"].ndim)


@aten("cumsum")
def cumsum(call: Call) -> None:
    call.emit("CumSum", [call.args["self"]], axis=call.args["dim"] % call.args["self"].ndim)


REDUCTIONS = {
    "mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "max": "ReduceMax",
    "amin": "ReduceMin", "min": "ReduceMin", "prod": "ReduceProd", "logsumexp": "ReduceLogSumExp",
    "var": "ReduceVar", "std": "ReduceStd", "var_mean": "ReduceVar", "std_mean": "ReduceStd",
    "linalg_vector_norm": "ReduceL2", "norm": "ReduceL2", "argmax": "ArgMax", "argmin": "ArgMin",
    "any": "ReduceAny", "all": "ReduceAll", "nansum": "ReduceSum", "count_nonzero": "ReduceCount",
    "median": "ReduceMedian", "nanmedian": "ReduceMedian", "kthvalue": "ReduceMedian",
    "mode": "ReduceMedian", "aminmax": "ReduceRange",
}  # fmt: skip


@aten(*REDUCTIONS)
def reduction(call: Call) -> None:
    x = call.args.get("self")
    if len(call.tensors()) != 1 or not isinstance(x, Value):
        return
    dims = call.args.get("dim")
    if isinstance(dims, int):
        dims = [dims]
    axes = tuple(sorted(d % x.ndim for d in dims)) if dims and x.ndim else tuple(range(x.ndim))
    op = REDUCTIONS[call.name]
    if op == "ReduceL2" and call.args.get("ord", call.args.get("p", 2)) not in (1, 2, None):
        op = "ReduceMax"
    call.emit(op, [x], axes=axes, keepdims=bool(call.args.get("keepdim", False)))


@aten(
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "max_pool1d",
    "max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool3d",
)
def pool(call: Call) -> None:
    positions(call, "AveragePool" if "avg" in call.name else "MaxPool")


@aten(
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "upsample_bilinear2d",
    "_upsample_bilinear2d_aa",
    "upsample_bicubic2d",
    "_upsample_bicubic2d_aa",
    "upsample_linear1d",
    "upsample_trilinear3d",
    "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d",
    "_upsample_lanczos2d_aa",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
)
def resize(call: Call) -> None:
    positions(call, "Resize")


def positions(call: Call, op: str) -> None:
    """Positions are the last axes; channels and, where there is one, the batch stay."""
    x = call.tensors()[0]
    spatial = int("".join(c for c in call.name if c.isdigit())[:1] or 2)
    if x.ndim > spatial:
        call.emit(op, [x], spatial=spatial)
