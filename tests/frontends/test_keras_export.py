"""Keras models written as ONNX: same outcome, same names, same groups."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from keras_networks import NETWORKS, L, batch, filled, keras, predicted, residual, shared

import spa_kernel as spa
from spa_kernel.errors import SpaError
from spa_kernel.frontends.keras.backend import KerasBackend


def outcome(model, *arrays):
    session = ort.InferenceSession(model.SerializeToString())
    names = [info.name for info in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def agree(net, model, *arrays):
    expected = predicted(net, list(arrays) if len(arrays) > 1 else arrays[0])
    for a, b in zip(expected, outcome(model, *arrays), strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-4 * a.std()


def initializers(model):
    return {t.name: tuple(t.dims) for t in model.graph.initializer}


def groups(session, stored):
    """Sizes and members; ones that stand for a scale that a norm has not are no weights."""
    return {
        (frozenset(m for m in g.members if m[0] in stored), g.size)
        for g in session.groups
        if g.prunable
    }


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
def test_outcome_names_and_groups_are_the_models_own(make):
    net = filled(make)
    session = spa.analyze(net, batch(net, 2))
    model = session.backend.as_onnx()
    stored = {name: tuple(v.shape) for name, v in session.analysis.graph.stored.items()}
    assert initializers(model) == stored
    assert all(info.type.tensor_type.shape.dim[0].dim_param == "N" for info in model.graph.input)
    agree(net, model, batch(net, 5))
    written = groups(spa.analyze(model), stored)
    # There the scale of attention is a number, so that keys and queries may become narrower.
    narrower = {g for g in written if any(n.endswith(".query.kernel") and a == 2 for n, a in g[0])}
    assert groups(session, stored) == written - narrower


@pytest.mark.parametrize("make", NETWORKS[::2], ids=lambda make: make.__name__)
def test_a_pruned_model_is_written_as_it_is(make, tmp_path):
    net = filled(make)
    session = spa.analyze(net, batch(net))
    session.prune(criterion="random", ratio=0.4, seed=1)
    session.export(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert initializers(model) == {
        name: tuple(v.shape) for name, v in session.analysis.graph.stored.items()
    }
    agree(net, model, batch(net, 3))


def test_the_same_prune_of_the_model_and_of_what_was_written():
    net = filled(residual)
    x = batch(net)
    session = spa.analyze(net, x)
    model = session.backend.as_onnx()
    session.prune(criterion="l1", ratio=0.4)
    spa.analyze(model).prune(criterion="l1", ratio=0.4)
    assert initializers(model) == initializers(session.backend.as_onnx())
    agree(net, model, x)


def test_a_layer_that_is_called_twice_has_one_set_of_weights():
    net = filled(shared)
    model = KerasBackend(net).as_onnx()
    assert len(initializers(model)) == len(net.weights)
    norms = [n for n in model.graph.node if n.op_type == "BatchNormalization"]
    assert len(norms) == 2 and norms[0].input[1:] == norms[1].input[1:]
    kernels = [n.input[1] for n in model.graph.node if n.op_type == "Gemm"]
    assert len(kernels) == 3 and len(set(kernels)) == 2


def test_what_nobody_described_is_refused_and_nothing_is_written(tmp_path):
    inputs = keras.Input((6,))
    odd = L.Lambda(lambda t: keras.ops.flip(t, -1), name="odd")
    session = spa.analyze(keras.Model(inputs, L.Dense(3)(odd(L.Dense(5)(inputs)))))
    with pytest.raises(SpaError, match=r"odd cannot be written as ONNX: it is a Lambda"):
        session.export(tmp_path / "net.onnx")
    assert not any(tmp_path.iterdir())


def test_a_layer_of_somebody_elses_is_not_taken_for_its_base():
    class Dense(L.Dense):
        def call(self, x):
            return super().call(x) * 2

    net = keras.Sequential([keras.Input((5,)), Dense(3)])
    with pytest.raises(SpaError, match="Dense, which nobody has"):
        KerasBackend(net).as_onnx()


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: L.BatchNormalization()(x, training=True),
        lambda x: L.Dense(3, activation=lambda y: y * 2)(x),
        lambda x: L.Dense(3, dtype="mixed_float16")(x),
        lambda x: L.GlobalAveragePooling1D()(L.Masking()(x)),
        lambda x: L.Softmax(axis=(1, 2))(x),
    ],
)
def test_unusual_uses_are_refused(layer):
    inputs = keras.Input((4, 6))
    net = keras.Model(inputs, layer(inputs))
    with pytest.raises(SpaError, match="cannot be written as ONNX"):
        KerasBackend(net).as_onnx()


def test_a_difference_is_found(monkeypatch):
    from spa_kernel.frontends.keras.export import linear

    monkeypatch.setattr(linear, "activated", lambda call, function, value: value)
    with pytest.raises(SpaError, match="would differ"):
        KerasBackend(filled(residual)).as_onnx()


def test_several_inputs_of_several_types():
    words, numbers = keras.Input((5,), dtype="int32"), keras.Input((4,), dtype="float64")
    x = L.Concatenate()([L.Flatten()(L.Embedding(9, 4)(words)), L.Dense(6)(numbers)])
    net = filled(lambda: keras.Model([words, numbers], [L.Dense(2)(x), L.Dense(3)(x)]))
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (3, 5)).astype(np.int32), rng.standard_normal((3, 4))
    agree(net, KerasBackend(net).as_onnx(), *x)
