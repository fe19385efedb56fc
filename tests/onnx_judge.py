"""An independent judge of prunes of ONNX models, by onnxruntime.

Nothing here is shared with the engine's own verification. Of the engine only the plan is read:
the indices that stay, by tensor name and axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, inliner, numpy_helper
from onnx.reference import ReferenceEvaluator

import spa_kernel as spa
from spa_kernel.frontends.onnx.written import inline

EXACT = 1e-4
Kept = dict[str, dict[int, np.ndarray]]
Feeds = dict[str, np.ndarray]


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy, with its functions written out."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    return inliner.inline_local_functions(copy) if copy.functions else copy


def outputs_of(model: onnx.ModelProto, name: str) -> list[np.ndarray]:
    """What a node computes from stored tensors alone."""
    (node,) = (n for n in model.graph.node if name in n.output)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    stored |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t)
               for n in model.graph.node if n.op_type == "Constant"}  # fmt: skip
    feeds = {n: stored[n] for n in node.input}
    return ReferenceEvaluator(node, opsets={"": 18}).run(None, feeds)


def masked(model: onnx.ModelProto, kept: Kept, factor: float = 0.0) -> onnx.ModelProto:
    """A copy with every removed index of every stored weight set to zero.

    Or almost so: a ``factor`` of 1e-12 is for models that divide by the length of a weight.
    """
    model = copied(model)
    tensors = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            tensors[node.output[0]] = node.attribute[0].t
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape" and node.output[0] in kept:
            (content,) = outputs_of(model, node.output[0])
            fresh = helper.make_node(
                "Constant", [], node.output, value=numpy_helper.from_array(content)
            )
            node.CopyFrom(fresh)
            tensors[node.output[0]] = node.attribute[0].t
    zeros = zero_points(model, tensors, kept)
    for name, axes in kept.items():
        content = numpy_helper.to_array(tensors[name]).copy()
        floating = content.dtype.kind in "fV"
        for axis, indices in axes.items() if floating or name in zeros else ():
            gone = np.setdiff1d(np.arange(content.shape[axis]), indices)
            at = (slice(None),) * axis + (gone,)
            content[at] = (
                zeros[name][at] if name in zeros else content[at] * content.dtype.type(factor)
            )
        tensors[name].CopyFrom(numpy_helper.from_array(content, tensors[name].name))
    return model


def zero_points(
    model: onnx.ModelProto, tensors: dict[str, onnx.TensorProto], kept: Kept
) -> dict[str, np.ndarray]:
    """The number that stands for zero in each entry of a stored tensor of whole numbers."""
    # Operand with the numbers, that with the zero point, and the axis of the latter.
    places = {"DequantizeLinear": (0, 2, 1), "ConvInteger": (1, 3, 0), "QLinearConv": (3, 5, 0),
              "MatMulInteger": (1, 3, 1), "QLinearMatMul": (3, 5, 1)}  # fmt: skip
    zeros = {}
    for node in model.graph.node:
        at, zero_at, axis = places.get(node.op_type, (99, 99, 0))
        if at >= len(node.input) or node.input[at] not in tensors:
            continue
        content = numpy_helper.to_array(tensors[node.input[at]])
        if zero_at >= len(node.input) or not node.input[zero_at]:
            zeros[node.input[at]] = np.zeros_like(content)
            continue
        point = numpy_helper.to_array(tensors[node.input[zero_at]]).copy()
        if point.size > 1:
            axis = next((a.i for a in node.attribute if a.name == "axis"), axis)
            gone = np.setdiff1d(np.arange(point.size), kept.get(node.input[zero_at], {}).get(
                0, np.arange(point.size)))  # fmt: skip
            point[gone] = 0
            point = np.moveaxis(np.expand_dims(point, tuple(range(content.ndim - 1))), -1, axis)
        zeros[node.input[at]] = np.broadcast_to(point.reshape(point.shape or ()), content.shape)
    # What else is stored in whole numbers and has lost something belongs to a bias or a zero point.
    for name in kept.keys() & tensors.keys() - zeros.keys():
        content = numpy_helper.to_array(tensors[name])
        rows = any(name in node.input[k:] for node in model.graph.node
                   for k in [{"QLinearConv": 5, "MatMulInteger": 3, "QLinearMatMul": 5,
                              "DequantizeLinear": 2}.get(node.op_type, 99)])  # fmt: skip
        if rows and content.dtype.kind in "iu":
            zeros[name] = np.zeros_like(content)
    return zeros


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose norms over channels are reduced to their affine part.

    They normalise over axes that get shorter, so their statistics are another matter.
    """
    model, nodes = copied(model), []
    shapes = onnx.shape_inference.infer_shapes(model).graph
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*shapes.value_info, *shapes.input)}
    for node in model.graph.node:
        kind = node.op_type
        if kind not in (
            "LayerNormalization",
            "RMSNormalization",
            "GroupNormalization",
            "InstanceNormalization",
        ):
            nodes.append(node)
            continue
        scale, bias = ([*node.input[1:], ""])[:2]
        name, made = node.output[0], []
        if kind in ("GroupNormalization", "InstanceNormalization"):
            rank = ranks[node.input[0]]
            to = np.array([1, -1] + [1] * (rank - 2), np.int64)
            one = numpy_helper.from_array(to, f"{name}_to")
            model.graph.initializer.append(one)
            for operand in (scale, bias):
                reshaped = [f"{name}_{operand}_4"]
                made.append(helper.make_node("Reshape", [operand, one.name], reshaped))
            scale, bias = f"{name}_{scale}_4", f"{name}_{bias}_4"
        made.append(
            helper.make_node("Mul", [node.input[0], scale], [f"{name}_m" if bias else name])
        )
        if bias:
            made.append(helper.make_node("Add", [f"{name}_m", bias], [name]))
        nodes.extend(made)
    fresh = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(fresh)
    return model


def outputs(model: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    """By onnxruntime; by onnx's own evaluator what that does not know."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    source = model.SerializeToString()
    try:
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except (ort.capi.onnxruntime_pybind11_state.NotImplemented,
            ort.capi.onnxruntime_pybind11_state.Fail):  # fmt: skip
        return [np.asarray(r) for r in ReferenceEvaluator(source).run(None, feeds)]
    return [np.asarray(r) for r in session.run(None, feeds)]


def drawn(model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]], seed: int = 1) -> Feeds:
    """Random inputs; 0 and 1 for whole numbers."""
    rng, feeds = np.random.default_rng(seed), {}
    stored = {t.name for t in model.graph.initializer}
    for info in model.graph.input:
        if info.name in stored:
            continue
        kind = info.type.tensor_type
        shape = shapes.get(info.name) or tuple(d.dim_value or 1 for d in kind.shape.dim)
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        whole = np.dtype(dtype).kind in "iub"
        array = rng.integers(0, 2, shape) if whole else rng.standard_normal(shape)
        feeds[info.name] = array.astype(dtype)
    return feeds


def error(original: onnx.ModelProto, kept: Kept, pruned: onnx.ModelProto, feeds: Feeds) -> float:
    """Largest difference of the pruned model from the masked original, per output spread."""
    wanted = outputs(plain(masked(original, kept)), feeds)
    if not all(np.isfinite(t).all() for t in wanted if t.dtype.kind == "f"):
        wanted = outputs(plain(masked(original, kept, 1e-12)), feeds)
    got = outputs(plain(pruned), feeds)
    assert [t.shape for t in wanted] == [t.shape for t in got], "an output has another shape"
    worst = 0.0
    for x, y in zip(wanted, got, strict=True):
        if x.dtype.kind in "iubOSU":
            worst = max(worst, float((x != y).any()))
            continue
        a, b = x.astype(np.float64), y.astype(np.float64)
        assert np.isfinite(a).all(), "the masked original overflows: no test of anything"
        spread = float(a.std()) if a.size > 1 else float(np.abs(a).max())
        assert spread > 1e-9, "the masked original is constant: no test of anything"
        worst = max(worst, float(np.abs(a - b).max()) / spread)
    return worst


def noise(original: onnx.ModelProto, kept: Kept, feeds: Feeds) -> float:
    """What the last digits of the inputs make of the masked original's outputs."""
    model = plain(masked(original, kept))
    signs = np.random.default_rng(0)
    nudged = {
        name: x * signs.choice([1 - 5e-7, 1 + 5e-7], x.shape).astype(x.dtype)
        if x.dtype == np.float32 else x
        for name, x in feeds.items()
    }  # fmt: skip
    worst = 0.0
    for x, y in zip(outputs(model, feeds), outputs(model, nudged), strict=True):
        if x.dtype.kind == "f":
            worst = max(worst, float(np.abs(x - y).max() / (x.std() or 1)))
    return worst


@dataclass
class Outcome:
    """What came of a prune: ``refused`` holds the message where there was none."""

    refused: str = ""
    error: float = 0.0
    lost: float = 0.0
    """Fraction of the parameters that went."""
    noise: float = 0.0
    """What rounding may account for; worked out where there is an error."""
    frozen: tuple[str, ...] = ()
    """Why the rest stayed."""


def judge(
    model: onnx.ModelProto,
    shapes: dict[str, tuple[int, ...]] | None = None,
    *,
    verify: bool = True,
    **wishes: Any,
) -> Outcome:
    """Prune, compare with the masked original, undo, compare byte for byte.

    Whatever happens, the model must be what it was. ``verify=False`` leaves out the engine's own
    check, so that what its analysis got wrong shows.
    """
    before = model.SerializeToString(deterministic=True)
    original = onnx.ModelProto.FromString(before)
    session = None
    try:
        session = spa.analyze(model, shapes)
        frozen = tuple(dict.fromkeys(item.reason for item in session.frozen))
        report = session.prune(verify=verify, **wishes)
    except spa.SpaError as problem:
        same = model.SerializeToString(deterministic=True) == before
        assert same, "a refused prune left something behind"
        reasons = () if session is None else tuple(f.reason for f in session.frozen)
        return Outcome(f"{type(problem).__name__}: {problem}", frozen=reasons)
    plan = report.plan
    onnx.checker.check_model(model, full_check=True)
    untouched(original, model)
    feeds = drawn(original, shapes or {})
    original = with_branches(original, feeds)
    outcome = Outcome(
        error=error(original, plan.kept, model, feeds),
        lost=1 - plan.params[1] / plan.params[0],
        frozen=frozen,
    )
    if not outcome.error < EXACT:
        outcome.noise = noise(original, plan.kept, feeds)
    session.undo()
    assert model.SerializeToString(deterministic=True) == before, "undo left a trace"
    return outcome


def with_branches(model: onnx.ModelProto, feeds: Feeds) -> onnx.ModelProto:
    """With settled branches in their places, after a look whether that changes anything."""
    written = inline(model)
    if written is not model:
        for a, b in zip(outputs(model, feeds), outputs(written, feeds), strict=True):
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), "a branch was put wrongly"
    return written


def untouched(original: onnx.ModelProto, pruned: onnx.ModelProto) -> None:
    """What a prune has no business with is as it was."""
    for name in ("producer_name", "producer_version", "domain", "ir_version", "model_version",
                 "doc_string"):  # fmt: skip
        assert getattr(original, name) == getattr(pruned, name), f"{name} has changed"
    assert list(original.metadata_props) == list(pruned.metadata_props)
    assert list(original.graph.output) == list(pruned.graph.output)
    assert original.graph.name == pruned.graph.name
    assert original.graph.doc_string == pruned.graph.doc_string
    if not original.functions:
        assert list(original.opset_import) == list(pruned.opset_import)
        names = [node.name for node in pruned.graph.node if node.name]
        assert all(n.name in names for n in original.graph.node if n.name and n.op_type != "If"), (
            "a node has vanished"
        )
    assert [t.name for t in original.graph.initializer] == [
        t.name for t in pruned.graph.initializer[: len(original.graph.initializer)]
    ]
