"""Operations of keras.ops on symbolic tensors: which channels they let go, and what is saved."""

import numpy as np
import pytest
from keras_networks import L, filled, keras, predicted, same

import spa_kernel as spa

ops = keras.ops


def dense(n, x):
    return L.Dense(n)(x)


def attention(x):
    y = L.LayerNormalization()(dense(12, x))
    q, k, v = (ops.reshape(dense(12, y), (-1, 5, 3, 4)) for _ in range(3))
    scores = ops.softmax(ops.einsum("blhd,bmhd->bhlm", q * 0.5, k), axis=-1)
    out = ops.reshape(ops.einsum("bhlm,bmhd->blhd", scores, v), (-1, 5, 12))
    return (y + dense(12, out))[:, 0]


def parts(x):
    a, b, c = ops.split(dense(12, x), [3, 7], axis=-1)
    return ops.concatenate([c, ops.relu(a), b], axis=-1)


def gated(x):
    a, b = ops.split(dense(12, x), 2, axis=-1)
    return a * ops.sigmoid(b)


def products(x):
    scores = ops.matmul(dense(8, x), ops.transpose(dense(8, x), (0, 2, 1)))
    return ops.matmul(ops.softmax(scores / 2.5), dense(10, x))


def arithmetic(x):
    y = 1 - dense(9, x) / 2.0 + ops.maximum(dense(9, x), 0.5) ** 2
    return y * ops.mean(ops.relu(dense(9, x)), axis=(0, 1)) + 1 / ops.exp(dense(9, x))


def stacked(x):
    both = ops.stack([dense(9, x), ops.relu(dense(9, x))], axis=1)
    return ops.squeeze(ops.max(both, axis=1, keepdims=True), 1)


CASES = {
    attention: [3, 12, 12, 12],
    parts: [12],
    gated: [6],
    products: [8, 10],
    arithmetic: [9],
    stacked: [9],
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_channels_go_through_and_sizes_that_are_written_follow(make, tmp_path):
    inputs = keras.Input((5, 6))
    net = filled(lambda: keras.Model(inputs, dense(3, make(inputs))))
    x = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
    before = predicted(net, x)
    session = spa.analyze(net, x)
    assert sorted(g.size for g in session.groups if g.prunable) == CASES[make]
    assert session.prune(criterion="random", ratio=0.4).verification.ok
    net.save(tmp_path / "net.keras")
    assert same(predicted(keras.models.load_model(tmp_path / "net.keras"), x), predicted(net, x))
    session.export(tmp_path / "net.onnx")
    session.undo()
    assert same(predicted(net, x), before)


@pytest.mark.parametrize(
    "make",
    [
        lambda y: ops.einsum("...i,...i->...i", y, y),
        lambda y: ops.concatenate([y[..., :4], y[..., 4:]], axis=-1),
        lambda y: ops.softmax(y),
        lambda y: y / (2.0**y),
    ],
    ids=["ellipsis", "slices of channels", "softmax over channels", "a power of a number"],
)
def test_what_is_not_known_or_written_in_a_call_is_frozen(make):
    inputs = keras.Input((5, 6))
    session = spa.analyze(keras.Model(inputs, dense(3, make(dense(9, inputs)))))
    assert not [g for g in session.groups if g.prunable]
