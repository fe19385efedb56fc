"""ATen calls that contract an axis."""

from __future__ import annotations

from typing import Any

from spa_kernel.frontends.torch.aten.registry import Call, aten
from spa_kernel.graph.ir import Value
from spa_kernel.products.patches import Geometry


@aten("convolution", "_convolution", "convolution_overrideable")
def convolution(call: Call) -> None:
    a = call.args
    op = "ConvTranspose" if a["transposed"] else "Conv"
    groups = None
    if a["groups"] > 1:
        groups = Value(f"groups of {call.outs[0].name}", (a["groups"],), "virtual")
    inputs = [a["input"], a["weight"], a["bias"]]
    call.emit(op, inputs, group=a["groups"], groups=groups, geometry=geometry(a))


def geometry(a: dict[str, Any]) -> Geometry:
    """How the kernel of a convolution is laid over the picture."""
    dims = a["weight"].ndim - 2
    stride, padding, dilation, extra = (
        tuple(v) * (dims // len(v)) if len(v) else (0,) * dims
        for v in (a["stride"], a["padding"], a["dilation"], a["output_padding"])
    )
    pads = tuple((p, p) for p in padding)
    return Geometry(stride, pads, dilation, bool(a["transposed"]), extra, a["groups"])


@aten("addmm")
def addmm(call: Call) -> None:
    a = call.args
    inputs = [a["mat1"], a["mat2"], a["self"]]
    call.emit("Gemm", inputs, alpha=a.get("alpha", 1), beta=a.get("beta", 1))


@aten("mm", "bmm", "matmul")
def mm(call: Call) -> None:
    a = call.args
    call.emit("MatMul", [a["self"], a.get("mat2", a.get("other"))])


@aten("baddbmm")
def baddbmm(call: Call) -> None:
    a, out = call.args, call.outs[0]
    product = Value(f"{out.name}_product", out.shape)
    call.emit("MatMul", [a["batch1"], a["batch2"]], [product], alpha=a.get("alpha", 1))
    call.emit("Add", [a["self"], product], beta=a.get("beta", 1))


@aten("mv", "dot", "vdot")
def mv(call: Call) -> None:
    call.emit("MatMul", call.tensors())


@aten("embedding")
def embedding(call: Call) -> None:
    call.emit("Gather", [call.args["weight"], call.args["indices"]], axis=0)
