"""Subclassed Keras models: the layers that `call` goes through are pruned in place."""

import numpy as np
import pytest
from keras_networks import L, keras, same

import spa_kernel as spa
from spa_kernel.errors import CaptureError

ops = keras.ops


class Block(L.Layer):
    """Layers in a list and in a dictionary; inside, all blocks use the same names."""

    def __init__(self, width):
        super().__init__()
        self.convs = [
            L.Conv2D(width, 3, padding="same", name="conv"),
            L.Conv2D(width, 1, name="down"),
        ]
        self.norms = {"after": L.BatchNormalization(name="norm")}

    def call(self, x, training=False):
        y = ops.relu(self.norms["after"](self.convs[0](x), training=training))
        return self.convs[1](x) + y


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.stem = L.Conv2D(8, 3, activation="relu")
        self.blocks = [Block(10), Block(12)]
        self.pool = L.GlobalAveragePooling2D()
        self.drop = L.Dropout(0.3)
        self.hidden = keras.Sequential([L.Dense(14, activation="relu"), L.Dense(9)])
        self.head = L.Dense(4)

    def call(self, x, training=False):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, training=training)
        x = self.drop(self.pool(x), training=training)
        return self.head(self.hidden(x))


class Scaled(L.Layer):
    """Divides by the size of an axis, which is a number once the call was followed."""

    def call(self, x):
        return x / float(x.shape[-1])


class Gain(L.Layer):
    """Has a weight of its own."""

    def build(self, shape):
        self.gain = self.add_weight(shape=(shape[-1],), initializer="ones", name="gain")

    def call(self, x):
        return x * self.gain


class Extra(L.Layer):
    """Calls another layer in training."""

    def __init__(self):
        super().__init__()
        self.always, self.sometimes = L.Dense(10), L.Dense(10)

    def call(self, x, training=False):
        return self.always(x) + (self.sometimes(x) if training else 0.0)


class Stack(keras.Model):
    def __init__(self, *parts):
        super().__init__()
        self.parts = list(parts)

    def call(self, x, training=False):
        for part in self.parts:
            x = part(x, training=training) if isinstance(part, Extra) else part(x)
        return x


def filled(net, x):
    net(x)
    rng = np.random.default_rng(1)
    for variable in net.weights:
        content = rng.standard_normal(variable.shape) * 0.3
        variable.assign(abs(content) + 0.5 if "variance" in variable.path else content)
    return net


def images():
    return np.random.default_rng(0).standard_normal((3, 9, 9, 3)).astype(np.float32)


def rows():
    return np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


def given(net, *inputs, **named):
    """What the model's own call gives."""
    return np.array(keras.ops.convert_to_numpy(keras.ops.stop_gradient(net(*inputs, **named))))


def sizes(session):
    return {group.name: group.size for group in session.groups if group.prunable}


def test_it_is_pruned_in_place_trained_and_taken_back():
    x = images()
    net = filled(Net(), x)
    nodes = [len(layer._inbound_nodes) for layer in net._flatten_layers()]
    before, weights = given(net, x), net.get_weights()
    session = spa.analyze(net, x)
    assert session.model is net and same([given(net, x)], [before])
    assert [len(layer._inbound_nodes) for layer in net._flatten_layers()] == nodes
    assert sizes(session)["blocks.0.convs.0"] == 10
    assert sorted(sizes(session).values()) == [8, 9, 10, 12, 14]
    report = session.prune(criterion="random", ratio=0.4, seed=1)
    assert report.verification.ok and net.count_params() < sum(w.size for w in weights)
    after, stem = given(net, x), net.stem
    assert stem.filters == stem.kernel.shape[-1] < 8
    session.undo()
    assert same(net.get_weights(), weights) and same([given(net, x)], [before])
    session.redo()
    assert same([given(net, x)], [after])
    net.compile("adam", "mse")
    net.fit(x, np.zeros((3, 4)), verbose=0)
    assert session.prune(criterion="l1", ratio=0.2).verification.ok
    net.fit(x, np.zeros((3, 4)), verbose=0)
    session.undo(2)
    assert same(net.get_weights(), weights) and same([given(net, x)], [before])


def test_what_is_called_in_training_alone_keeps_up():
    x = rows()
    net = filled(Stack(L.Dense(8, activation="relu"), Extra(), L.Dense(3)), x)
    session = spa.analyze(net, x)
    extra = net.parts[1]
    assert sorted(sizes(session).values()) == [8, 10]
    session.prune(criterion="random", ratio=0.4)
    assert extra.sometimes.kernel.shape == extra.always.kernel.shape
    assert extra.sometimes.kernel.shape[0] == net.parts[0].units < 8
    net.compile("sgd", "mse")
    net.train_on_batch(x, np.zeros((4, 3)))


def test_a_size_in_a_call_and_a_weight_of_ones_own_stay():
    x = rows()
    parts = L.Dense(8), Gain(), L.Dense(9), Scaled(), L.Dense(7, activation="relu"), L.Dense(2)
    net = filled(Stack(*parts), x)
    session = spa.analyze(net, x)
    assert session.prune(criterion="random", ratio=0.2).verification.ok
    assert parts[0].units == 8 and parts[2].units == 9 and parts[4].units < 7
    assert "parts.1.gain" in session.analysis.graph.stored


def test_several_inputs_by_name(tmp_path):
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.other, self.last = L.Dense(8), L.Dense(6), L.Dense(2)

        def call(self, image, tokens):
            return self.last(ops.concatenate([self.one(image), self.other(tokens)], axis=-1))

    x = {"image": rows(), "tokens": rows() + 1}
    net = Two()
    session = spa.analyze(net, x)
    assert sorted(sizes(session).values()) == [6, 8]
    session.prune(criterion="l1", ratio=0.4)
    path, other = session.save(tmp_path / "session"), Two()
    spa.load(path, other)
    np.testing.assert_array_equal(given(other, **x), given(net, **x))


def test_what_cannot_be_followed_is_refused_or_frozen():
    class Decides(keras.Model):
        def call(self, x):
            return x if ops.sum(x) > 0 else -x

    class Opaque(L.Layer):
        def call(self, x):
            # A symbolic tensor has no content.
            assert not isinstance(x, keras.KerasTensor)
            return x * 2.0

    with pytest.raises(CaptureError, match="cannot be followed"):
        spa.analyze(Decides(), rows())
    with pytest.raises(CaptureError, match="pass an example"):
        spa.analyze(Net())
    session = spa.analyze(Stack(L.Dense(8), Opaque(), L.Dense(7), L.Dense(2)), rows())
    assert sorted(sizes(session).values()) == [7]
    assert any("keras.Opaque" in frozen.reason for frozen in session.frozen)


def test_a_layer_that_was_replaced_is_noticed():
    net = Stack(L.Dense(8), L.Dense(2))
    session = spa.analyze(net, rows())
    net.parts[0] = L.Dense(8)
    net(rows())
    with pytest.raises(spa.errors.StaleSession):
        session.prune(criterion="l1", ratio=0.4)
