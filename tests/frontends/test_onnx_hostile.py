"""Files that are damaged, or made to do harm: a clear error, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_networks import build, convs

import spa_kernel as spa

Edit = Callable[[onnx.ModelProto], object]


def refused(model: onnx.ModelProto | str | Path, match: str | None) -> None:
    """That a model is refused, by reading it or by the prune, and stays as it is."""
    before = model.SerializeToString() if isinstance(model, onnx.ModelProto) else b""
    with pytest.raises(spa.SpaError, match=match):
        spa.analyze(model).prune(ratio=0.5, scope="local", criterion="l1")
    assert not before or model.SerializeToString() == before


def weight(model: onnx.ModelProto) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name == "w1")


def resized(*dims: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        del weight(model).dims[:]
        weight(model).dims.extend(dims)

    return edit


def typed(content: object) -> Edit:
    array = numpy_helper.from_array(np.asarray(content), "w1")
    return lambda model: weight(model).CopyFrom(array)


def attribute(name: str, value: object) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        node = model.graph.node[0]
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def batch(size: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size

    return edit


DAMAGE: dict[str, tuple[Edit, str]] = {
    "cyclic": (lambda m: m.graph.node[0].input.__setitem__(0, "r"), "reads 'r'"),
    "own output": (lambda m: m.graph.node[2].input.__setitem__(0, "r"), "reads 'r'"),
    "made twice": (lambda m: m.graph.node.append(m.graph.node[2]), "made more than once"),
    "no graph": (lambda m: m.ClearField("graph"), "holds no network"),
    "no operands": (lambda m: m.graph.node[2].ClearField("input"), "lacks operand 0"),
    "no results": (lambda m: m.graph.node[2].ClearField("output"), "cannot be read"),
    "short": (lambda m: setattr(weight(m), "raw_data", weight(m).raw_data[:-4]), "damaged"),
    "huge": (resized(2**40, 3, 3, 3), "damaged"),
    "overflow": (resized(2**32, 2**32, 2**32), "damaged"),
    "negative": (resized(-8, 3, 3, 3), "negative size"),
    "many axes": (resized(216, *[1] * 500), "cannot be read"),
    "unknown type": (lambda m: setattr(weight(m), "data_type", 99), "does not exist"),
    "no type": (lambda m: setattr(weight(m), "data_type", 0), "does not exist"),
    "whole numbers": (typed(np.ones((8, 3, 3, 3), np.int64)), "cannot be read"),
    "complex": (typed(np.ones((8, 3, 3, 3), np.complex64)), "cannot be read"),
    "other channels": (typed(np.ones((8, 4, 3, 3), np.float32)), "does not run"),
    "text for numbers": (attribute("pads", "abc"), "cannot be read"),
    "text for groups": (attribute("group", "abc"), "cannot be read"),
    "no groups": (attribute("group", 0), "does not run|cannot be read"),
    "padding": (attribute("pads", [2**30] * 4), "entries"),
    "input": (batch(2**40), "entries"),
    "large input": (batch(2**27), "entries"),
    "negative input": (batch(-2), "negative size"),
    "far operator set": (lambda m: setattr(m.opset_import[0], "version", 10**6), "operator set"),
    "input of no type": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 77),
        "does not exist",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged(name: str) -> None:
    model = convs()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    edit, match = DAMAGE[name]
    edit(model)
    refused(model, match)


@pytest.mark.parametrize("content", [b"", b"no model at all\n" * 9, bytes(range(256)) * 9])
def test_no_model_in_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    refused(path, None)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path: Path, part: float) -> None:
    path, content = tmp_path / "model.onnx", convs().SerializeToString()
    path.write_bytes(content[: int(len(content) * part)])
    refused(path, None)


def test_nested_without_end(tmp_path: Path) -> None:
    def field(number: int, content: bytes) -> bytes:
        size, length = b"", len(content)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + content

    graph = b""
    for _ in range(2000):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph)))
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08" + field(7, graph))
    refused(path, "cannot be read as an ONNX model")


def calling(*functions: onnx.FunctionProto) -> onnx.ModelProto:
    node = helper.make_node("F", ["x"], ["y"], domain="own")
    given, out = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in "xy")
    graph = helper.make_graph([node], "graph", [given], [out])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, functions=functions, opset_imports=opsets)


def function(name: str, *called: str) -> onnx.FunctionProto:
    names = ["x", *(f"t{i}" for i in range(len(called) - 1)), "y"]
    nodes = [
        helper.make_node(op, [names[i]], [names[i + 1]], domain="" if op == "Relu" else "own")
        for i, op in enumerate(called)
    ]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["y"], nodes, opsets)


def test_functions_that_call_themselves() -> None:
    refused(calling(function("F", "F")), "calls itself")
    refused(calling(function("F", "G"), function("G", "F")), "calls itself")


def test_functions_that_stand_for_too_much() -> None:
    doubled = [function(f"F{i}", f"F{i - 1}", f"F{i - 1}") for i in range(1, 40)]
    refused(calling(function("F0", "Relu"), *doubled, function("F", "F39")), "more than")


def outside(where: str, secret: Path, folder: Path) -> str:
    """A location of weights that leads out of the model's folder."""
    if where == "absolute":
        return str(secret)
    if where == "link":
        (folder / "link").symlink_to(secret)
    if where == "hard link":
        os.link(secret, folder / "hard link")
    if where == "linked folder/secret":
        (folder / "linked folder").symlink_to(secret.parent)
    return where


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    "where", ["absolute", "../secret", "a/../../secret", "link", "hard link",
              "linked folder/secret", "missing", ".", "", "/dev/zero"],
)  # fmt: skip
def test_weights_outside_of_the_folder(tmp_path: Path, where: str, constant: bool) -> None:
    model, folder, secret = convs(), tmp_path / "folder", tmp_path / "secret"
    (folder / "a").mkdir(parents=True)
    tensor = weight(model)
    secret.write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=outside(where, secret, folder))
    if constant:
        model.graph.node.insert(0, helper.make_node("Constant", [], ["w1"], value=tensor))
        model.graph.initializer.remove(tensor)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    opened: list[str] = []
    watching = [True]
    sys.addaudithook(
        lambda event, a: opened.append(str(a[0])) if watching and event == "open" else None
    )
    try:
        refused(path, "cannot be read as an ONNX model")
        refused(onnx.load_model(path, load_external_data=False), "was not loaded")
    finally:
        watching.clear()
    assert not [p for p in opened if p.endswith("secret") or "/dev/zero" in p]


TOO_LARGE = {
    "ConstantOfShape": ("k = ConstantOfShape (sizes)", [2**40]),
    "sizes that overflow": ("k = ConstantOfShape (sizes)", [2**32, 2**32, 2**32]),
    "Expand": ("k = Expand (one, sizes)", [2**32]),
    "Tile": ("k = Tile (list, sizes)", [2**32]),
    "Range": ("i = Range (zero, size, step) k = Cast <to = 1> (i)", [2**31]),
    "Pad": ("k = Pad (list, sizes)", [2**33, 0]),
    "Resize": ("k = Resize (image, none, none, sizes)", [1, 1, 2**16, 2**16]),
    "Expand of an input": ("e = Expand (x, sizes) k = ReduceSum <keepdims = 0> (e)", [2**34, 4]),
    "a loop": (
        """k = Loop (trips, go, one) <body = body (int64 i, bool c, float[N] s)
        => (bool d, float[M] t) { d = Identity (c) t = Concat <axis = 0> (s, s) }>""",
        [1],
    ),
}


def too_large(name: str) -> onnx.ModelProto:
    line, sizes = TOO_LARGE[name]
    text = f"""
    net (float[1,4] x) => (float[1,4] y) {{
        h = MatMul (x, w1)
        r = Relu (h)
        {line}
        s = ReduceMax <keepdims = 0> (k)
        a = Add (r, s)
        y = MatMul (a, w2)
    }}
    """
    content = {
        "sizes": np.array(sizes), "one": np.ones(1, np.float32), "list": np.ones(1, np.float32),
        "zero": np.array(0), "size": np.array(sizes[0]), "step": np.array(1),
        "image": np.ones((1, 1, 1, 1), np.float32), "none": np.zeros(0, np.float32),
        "trips": np.array(40), "go": np.array(True),
    }  # fmt: skip
    return build(text, w1=(4, 8), w2=(8, 4), **{k: v for k, v in content.items() if k in line})


def test_memory(tmp_path: Path) -> None:
    """In a process that may have little: nothing near the stated sizes is asked for."""
    paths = []
    for name in TOO_LARGE:
        paths.append(tmp_path / f"{name}.onnx")
        paths[-1].write_bytes(too_large(name).SerializeToString())
    code = """if True:
        import resource, sys
        import spa_kernel as spa, onnx.reference, onnxruntime
        resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
        for path in sys.argv[1:]:
            try:
                spa.analyze(path).prune(ratio=0.5, scope="local", criterion="l1")
            except spa.SpaError as error:
                print("refused", path)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines() == [f"refused {path}" for path in paths], done.stderr[-2000:]
