"""ONNX models built in Keras: same outcome, saved and loaded, with variables that are trained."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from keras_networks import batch, filled, inverted, keras, predicted, residual, transformer, words
from onnx import helper, numpy_helper

from spa_kernel.errors import SpaError
from spa_kernel.frontends.keras.backend import KerasBackend
from spa_kernel.frontends.onnx.to_keras import keras_from_onnx
from spa_kernel.frontends.onnx.writer import Writer

RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def model_of(write, *shapes):
    """A model with a free batch; ``write(writer, *inputs)`` makes its output."""
    writer = Writer("net")
    inputs = [writer.input(f"x{n}", drawn(1, *shape), "N") for n, shape in enumerate(shapes)]
    out = write(writer, *inputs)
    typed = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    writer.graph.node.append(helper.make_node("Identity", [out], ["y"]))
    writer.graph.output.append(typed)
    opset = helper.make_opsetid("", 20)
    return helper.make_model(writer.graph, opset_imports=[opset], ir_version=10)


def one(op, shape, *weights, **attrs):
    """A model of one operator; floating operands are stored, others are constants."""

    def write(writer, x):
        given = [
            w
            if w is None
            else writer.weight(f"w{n}", w)
            if w.dtype.kind == "f"
            else writer.constant(w)
            for n, w in enumerate(weights)
        ]
        return writer.node(op, [x, *given], **attrs)[0]

    return model_of(write, shape)


def ints(*numbers):
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("make", [residual, inverted, transformer, words], ids=lambda m: m.__name__)
def test_there_and_back(make, tmp_path):
    net = filled(make)
    built = keras_from_onnx(KerasBackend(net, batch(net)).as_onnx())
    x = batch(net, 3)
    for a, b in zip(predicted(net, x), predicted(built, x), strict=True):
        assert np.abs(a - b).max() <= 1e-4 * a.std()
    built.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    for a, b in zip(predicted(built, x), predicted(loaded, x), strict=True):
        np.testing.assert_array_equal(a, b)
    trained = sum(int(np.prod(v.shape)) for v in net.trainable_variables)
    # A norm without a scale gets one.
    assert sum(int(np.prod(v.shape)) for v in built.trainable_variables) in (trained, trained + 20)


def clipped(writer, x):
    bounds = [writer.constant(n, np.float32) for n in (0, 0.4)]
    return writer.node("Clip", [x, *bounds])[0]


def halves(writer, x):
    return writer.node("Mul", writer.node("Split", [x], 2, axis=1, num_outputs=2))[0]


def of_the_batch(writer, x):
    """A shape that is put together of the size of the batch."""
    (shape,) = writer.node("Shape", [x])
    (first,) = writer.node("Slice", [shape, writer.constant([0]), writer.constant([1])])
    (target,) = writer.node("Concat", [first, writer.constant([-1])], axis=0)
    return writer.node("Reshape", [x, target])[0]


IMAGE = 4, 7, 6
MODELS = {
    "conv": one("Conv", IMAGE, drawn(6, 4, 3, 2), drawn(6), strides=[2, 1], pads=[1, 0, 2, 1]),
    "groups": one("Conv", IMAGE, drawn(6, 2, 3, 3), group=2, auto_pad="SAME_LOWER"),
    "depthwise": one("Conv", IMAGE, drawn(8, 1, 3, 3), group=4, pads=[1] * 4),
    "conv1d": one("Conv", (3, 9), drawn(5, 3, 3), dilations=[2]),
    "transposed": one(
        "ConvTranspose",
        IMAGE,
        drawn(4, 5, 3, 3),
        drawn(5),
        strides=[2, 2],
        pads=[1] * 4,
        output_padding=[1, 0],
    ),
    "norm": one("InstanceNormalization", IMAGE, drawn(4), drawn(4)),
    "layernorm": one("LayerNormalization", (5, 6), drawn(6), drawn(6), axis=-1),
    "maxpool": one("MaxPool", IMAGE, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1]),
    "average": one("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1] * 4),
    "counted": one("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
    "gemm": one("Gemm", (6,), drawn(5, 6), drawn(5), transB=1, alpha=0.5),
    "matmul": one("MatMul", (3, 6), drawn(6, 5)),
    "scale": one("Mul", IMAGE, drawn(4, 1, 1)),
    "positions": one("Add", (5, 6), drawn(1, 5, 6)),
    "slope": one("PRelu", IMAGE, drawn(4, 1, 1)),
    "clip": model_of(clipped, (5,)),
    "mean": one("ReduceMean", IMAGE, ints(2, 3), keepdims=0),
    "reshape": one("Reshape", IMAGE, ints(0, 2, -1)),
    "slice": one("Slice", IMAGE, ints(-3, 1), ints(2**40, -1), ints(2, 3), ints(2, 1)),
    "gather": one("Gather", IMAGE, ints(1, 3), axis=1),
    "first": one("Gather", (5, 6), np.array(0), axis=1),
    "pad": one("Pad", IMAGE, ints(0, 0, 1, 2, 0, 1, 0, 1)),
    "flatten": one("Flatten", IMAGE),
    "squeeze": one("Squeeze", (1, 5), ints(1)),
    "shuffle": one("DepthToSpace", (8, 3, 2), blocksize=2, mode="CRD"),
    "softmax": one("Softmax", IMAGE, axis=1),
    "split": model_of(halves, IMAGE),
    "batch": model_of(of_the_batch, IMAGE),
}


@pytest.mark.parametrize("name", MODELS)
def test_operators(name):
    """It is built, saved, loaded and compared; stored tensors are trained."""
    model = MODELS[name]
    net = keras_from_onnx(model)
    stored = sum(numpy_helper.to_array(t).size for t in model.graph.initializer)
    assert sum(int(np.prod(v.shape)) for v in net.trainable_variables) == stored


def test_a_weight_that_is_used_twice_is_one_variable():
    def write(writer, x):
        kernel = writer.weight("kernel", drawn(6, 6))
        (turned,) = writer.node("Transpose", [kernel], perm=[1, 0])
        for _ in range(2):
            (x,) = writer.node("MatMul", [x, turned])
        return x

    assert len(keras_from_onnx(model_of(write, (6,))).weights) == 1


def test_what_nobody_described_is_refused_with_its_name():
    with pytest.raises(SpaError, match="CumSum"):
        keras_from_onnx(one("CumSum", (5,), np.array(1)))
    with pytest.raises(SpaError, match=r"Slice.*backwards"):
        keras_from_onnx(one("Slice", (5,), ints(-1), ints(-9), ints(1), ints(-1)))


def test_a_difference_is_found(monkeypatch):
    from spa_kernel.frontends.onnx.to_keras import elementwise

    monkeypatch.setitem(elementwise.UNARY, "Exp", keras.ops.abs)
    with pytest.raises(SpaError, match="would differ"):
        keras_from_onnx(one("Exp", (5,)))


def test_several_inputs_and_outputs():
    model = model_of(lambda w, a, b: w.node("Add", [*w.node("Sub", [a, b]), b])[0], (3,), (3,))
    net = keras_from_onnx(model)
    x = [drawn(4, 3), drawn(4, 3)]
    (expected,) = ort.InferenceSession(model.SerializeToString()).run(
        None, {"x0": x[0], "x1": x[1]}
    )
    np.testing.assert_allclose(net.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)
