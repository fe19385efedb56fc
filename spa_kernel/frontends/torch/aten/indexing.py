"""ATen calls that look up, write, or order entries by numbers worked out at run time."""

from __future__ import annotations

from spa_kernel.frontends.torch.aten.registry import Call, aten
from spa_kernel.graph.ir import Value


@aten("gather")
def gather(call: Call) -> None:
    x, index = call.args["self"], call.args["index"]
    if x.ndim == index.ndim > 0:
        call.emit("GatherElements", [x, index], axis=call.args["dim"] % x.ndim)


@aten("scatter", "scatter_add", "scatter_reduce")
def scatter(call: Call) -> None:
    x, index, source = call.args["self"], call.args["index"], call.args.get("src")
    if x.ndim == index.ndim > 0:
        inputs = [x, index, source if isinstance(source, Value) else None]
        call.emit("ScatterElements", inputs, axis=call.args["dim"] % x.ndim)


@aten("index_add", "index_copy", "index_reduce", "index_fill")
def index_add(call: Call) -> None:
    x = call.args["self"]
    source = call.args.get("source")
    if x.ndim and (source is None or source.ndim == x.ndim):
        inputs = [x, call.args["index"], source]
        call.emit("IndexAdd", inputs, axis=call.args["dim"] % x.ndim)


def tables(call: Call) -> tuple[list[Value], tuple[int, ...], int]:
    """Index tables, the axes that they stand for, and how many axes they have themselves."""
    found: list[Value] = []
    indexed: list[int] = []
    axis = width = 0
    for table in call.args["indices"]:
        if table is None:
            axis += 1
            continue
        mask = table.dtype in ("bool", "uint8")
        covered = table.ndim if mask else 1
        found.append(table)
        indexed += range(axis, axis + covered)
        width = max(width, 1 if mask else table.ndim)
        axis += covered
    return found, tuple(indexed), width


@aten("_unsafe_index", "index")
def index_get(call: Call) -> None:
    """One known table along one axis says where each index comes from; several only look up."""
    x = call.args["self"]
    found, indexed, _ = tables(call)
    if len(found) == 1 and len(indexed) == 1:
        op = "Compress" if found[0].dtype in ("bool", "uint8") else "Gather"
        call.emit(op, [x, found[0]], axis=indexed[0], literal=True)
    elif found:
        call.emit("IndexGet", [x, *found], indexed=indexed)


@aten("index_put", "_index_put_impl", "_unsafe_index_put")
def index_put(call: Call) -> None:
    found, indexed, width = tables(call)
    if found:
        inputs = [call.args["self"], call.args["values"], *found]
        call.emit("IndexPut", inputs, indexed=indexed, width=width)


@aten("masked_scatter")
def masked_scatter(call: Call) -> None:
    a = call.args
    call.emit("MaskedScatter", [a["self"], a["mask"], a["source"]])


ALONG = {
    "sort": "Sort", "argsort": "Sort", "topk": "TopK", "cumprod": "CumProd", "cummax": "CumMax",
    "cummin": "CumMin", "logcumsumexp": "CumLogSumExp", "linalg_cross": "CrossProduct",
    "cross": "CrossProduct",
}  # fmt: skip


@aten(*ALONG)
def along(call: Call) -> None:
    x, dim = call.args["self"], call.args.get("dim")
    others = [v for v in call.tensors() if v.shape == x.shape]
    if x.ndim and isinstance(dim, int) and len(others) == len(call.tensors()):
        call.emit(ALONG[call.name], others, axes=(dim % x.ndim,))


@aten("tril", "triu")
def triangle(call: Call) -> None:
    x = call.args["self"]
    call.emit("Triangle", [x], axes=(x.ndim - 2, x.ndim - 1))


@aten("diagonal", "diagonal_copy")
def diagonal(call: Call) -> None:
    x = call.args["self"]
    axes = (call.args["dim1"] % x.ndim, call.args["dim2"] % x.ndim)
    call.emit("Diagonal", [x], axes=axes)


@aten("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(call: Call) -> None:
    a = call.args
    inputs = [a["weight"], a["indices"], a["offsets"], a["per_sample_weights"]]
    call.emit("EmbeddingBag", inputs, call.outs[:1])
