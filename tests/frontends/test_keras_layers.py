"""What is known of single Keras layers and of how they are called, and what is frozen."""

import numpy as np
import pytest
from keras_networks import L, batch, filled, keras, predicted, same, transformer

import spa_kernel as spa


def test_what_nobody_described_is_frozen_with_its_name():
    inputs = keras.Input((8, 8, 3))
    x = L.Lambda(lambda t: keras.ops.flip(t, -1), name="odd")(L.Conv2D(12, 3)(inputs))
    x = L.GlobalAveragePooling2D()(L.Conv2D(6, 3, activation="relu")(x))
    net = keras.Model(inputs, L.LSTM(5)(L.Reshape((6, 1))(x)))
    session = spa.analyze(net, batch(net))
    reasons = [frozen.reason for frozen in session.frozen]
    assert any("keras.Lambda in odd" in reason for reason in reasons)
    assert any("keras.LSTM" in reason for reason in reasons)


def test_a_layer_of_somebody_elses_is_not_taken_for_its_base():
    class Dense(L.Dense):
        def call(self, x):
            return super().call(x) + keras.ops.max(x, axis=-1, keepdims=True)

    net = keras.Sequential([keras.Input((5,)), L.Dense(8), Dense(6), L.Dense(7), L.Dense(2)])
    session = spa.analyze(net)
    assert [g.size for g in session.groups if g.prunable] == [7]
    assert session.prune(criterion="l1", ratio=0.5).verification.ok


def test_keys_and_queries_keep_their_width():
    session = spa.analyze(filled(transformer))
    reasons = [frozen.reason for frozen in session.frozen]
    assert any("scale" in reason for reason in reasons)
    assert {g.size for g in session.groups if g.prunable} >= {3, 8, 24, 48}


def attention(*_):
    """Query, value and key of three sizes, by name and in another order."""
    inputs = [keras.Input((5, 12)), keras.Input((7, 10)), keras.Input((7, 8))]
    query, value, key = (L.Dense(n)(x) for n, x in zip((12, 11, 9), inputs, strict=True))
    x = L.MultiHeadAttention(4, 6, value_dim=5)(key=key, value=value, query=query)
    x = L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    return keras.Model(inputs, L.Dense(3)(x))


@pytest.mark.parametrize("seed", range(3))
def test_attention_by_keyword_and_without_a_residual_path(seed, tmp_path):
    net = filled(attention)
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((2, *t.shape[1:])).astype(np.float32) for t in net.inputs]
    session = spa.analyze(net, x)
    sizes = sorted(g.size for g in session.groups if g.prunable)
    assert sizes == [2, 4, 4, 5, 9, 11, 12, 12, 12]
    assert session.prune(criterion="random", ratio=0.4, seed=seed).verification.ok
    net.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    assert same(predicted(loaded, x), predicted(net, x))


def test_dictionaries_of_inputs_and_outputs():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    dense = L.Dense(10, activation="relu")
    x = L.Dense(9, activation="softplus")(L.Concatenate()([dense(a), dense(b)]))
    net = keras.Model({"a": a, "b": b}, {"y": L.Dense(3)(x), "z": L.Dense(2)(x)})
    x = {name: np.random.default_rng(0).standard_normal((2, 6)) for name in "ab"}
    before = net.predict(x, verbose=0)
    session = spa.analyze(net, x)
    assert [g.size for g in session.groups if g.prunable] == [10, 9]
    assert session.prune(criterion="l1", ratio=0.4).verification.ok
    session.undo()
    after = net.predict(x, verbose=0)
    assert all(np.array_equal(after[key], before[key]) for key in "yz")


def test_a_mask_for_a_layer_that_takes_none_is_not_overlooked():
    inputs, mask = keras.Input((5, 6)), keras.Input((5, 5), dtype="bool")
    scores = L.Softmax()(L.Dense(5)(inputs), mask)
    net = keras.Model([inputs, mask], L.Dense(2)(scores))
    session = spa.analyze(net)
    assert any("keras.Softmax" in frozen.reason for frozen in session.frozen)


def test_operations_on_symbolic_tensors():
    inputs = keras.Input((6,))
    x = L.Dense(8)(inputs)
    x = keras.ops.relu(x * 2.0 - keras.ops.sigmoid(x)) + 0.5
    x = keras.ops.concatenate([x, L.Dense(4)(inputs)], axis=-1)
    net = filled(lambda: keras.Model(inputs, L.Dense(2)(x)))
    session = spa.analyze(net, batch(net))
    assert [g.size for g in session.groups if g.prunable] == [8, 4]
    assert session.prune(criterion="random", ratio=0.5).verification.ok


def test_a_weighted_mean_is_not_taken_for_the_layer_of_that_name():
    inputs = keras.Input((6, 4))
    x = keras.ops.average(L.Dense(8)(inputs), axis=-1)
    session = spa.analyze(keras.Model(inputs, L.Dense(2)(x)))
    assert any("keras.Average" in frozen.reason for frozen in session.frozen)
