"""ATen calls on matrices and vectors beyond the plain products, and on complex numbers."""

from __future__ import annotations

from string import ascii_lowercase

from spa_kernel.frontends.torch.aten.registry import Call, aten
from spa_kernel.graph.ir import Value


def summed(
    call: Call, op: str, operands: list[Value], shape: tuple[int, ...], **attrs: str
) -> None:
    """The product of some operands, added to ``self``."""
    a = call.args
    product = Value(f"{call.outs[0].name}_product", shape)
    call.emit(op, operands, [product], alpha=a.get("alpha", 1), **attrs)
    call.emit("Add", [a["self"], product], beta=a.get("beta", 1))


@aten("addbmm")
def addbmm(call: Call) -> None:
    operands = [call.args["batch1"], call.args["batch2"]]
    summed(call, "Einsum", operands, call.outs[0].shape, equation="bij,bjk->ik")


@aten("addmv")
def addmv(call: Call) -> None:
    summed(call, "MatMul", [call.args["mat"], call.args["vec"]], call.outs[0].shape)


@aten("addr")
def addr(call: Call) -> None:
    operands = [call.args["vec1"], call.args["vec2"]]
    summed(call, "Einsum", operands, call.outs[0].shape, equation="i,j->ij")


@aten("outer", "ger")
def outer(call: Call) -> None:
    call.emit("Einsum", call.tensors(), equation="i,j->ij")


@aten("vdot")
def vdot(call: Call) -> None:
    call.emit("MatMul", call.tensors())


@aten("_trilinear")
def trilinear(call: Call) -> None:
    """Three tensors, each with some axes put in, multiplied and summed over some axes."""
    a = call.args
    terms, rank = [], a["i1"].ndim + len(a["expand1"])
    for expanded in (a["expand1"], a["expand2"], a["expand3"]):
        gone = {d % rank for d in expanded}
        terms.append("".join(ascii_lowercase[i] for i in range(rank) if i not in gone))
    gone = {d % rank for d in a["sumdim"]}
    out = "".join(ascii_lowercase[i] for i in range(rank) if i not in gone)
    call.emit("Einsum", [a["i1"], a["i2"], a["i3"]], equation=f"{','.join(terms)}->{out}")


@aten("_grouped_mm")
def grouped_mm(call: Call) -> None:
    a = call.args
    if a["self"].ndim == 2 and a["mat2"].ndim == 3 and a.get("bias") is None:
        call.emit("GroupedMatMul", [a["self"], a["mat2"], a["offs"]])
    elif a["self"].ndim == a["mat2"].ndim == 3 and a.get("bias") is None:
        call.emit("MatMul", [a["self"], a["mat2"]])


@aten("_cdist_forward", "_euclidean_dist", "cdist")
def distance(call: Call) -> None:
    call.emit("Distance", [call.args["x1"], call.args["x2"]])


@aten("view_as_complex", "view_as_complex_copy")
def to_complex(call: Call) -> None:
    call.emit("ToComplex", [call.args["self"]])


@aten("view_as_real", "view_as_real_copy", "_view_as_real")
def from_complex(call: Call) -> None:
    call.emit("FromComplex", [call.args["self"]])


@aten("_fft_r2c", "_fft_c2c", "_fft_c2r", "fft_fftshift", "fft_ifftshift")
def fft(call: Call) -> None:
    x = call.args["self"]
    call.emit("FFT", [x], axes=tuple(d % x.ndim for d in call.args["dim"]))
