"""From any framework to any other, through the file, with the same outputs."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import keras
import numpy as np
import onnxruntime as ort
import pytest
import torch
from flax import nnx
from torch import nn

import spa_kernel as spa
from spa_kernel.errors import SpaError


class Block(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.one = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
        self.two = nnx.Conv(8, 8, (3, 3), rngs=rngs)
        self.end = nnx.Linear(8, 5, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.one(x)))
        return self.end((x + self.two(x)).mean((1, 2)))


class TorchBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.two, self.end = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.norm(self.one(x)).relu()
        return self.end((x + self.two(x)).mean((2, 3)))


def keras_block() -> keras.Model:
    x = inputs = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(8, 3, padding="same")(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Add()([x, keras.layers.Conv2D(8, 3, padding="same")(x)])
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(5)(x))


X = np.random.default_rng(0).standard_normal((2, 6, 6, 3)).astype("f4")
FIRST = np.ascontiguousarray(X.transpose(0, 3, 1, 2))


def torch_model():
    return TorchBlock().eval(), torch.from_numpy(FIRST), FIRST


MODELS = {
    "torch": torch_model,
    "keras": lambda: (keras_block(), X, X),
    "jax": lambda: (Block(), jnp.asarray(X), X),
}


def outputs(path: Path, x: np.ndarray) -> np.ndarray:
    """What the model in a file makes of an input, in the file's own framework."""
    if path.suffix == ".onnx":
        runtime = ort.InferenceSession(str(path))
        return runtime.run(None, {runtime.get_inputs()[0].name: x})[0]
    if path.suffix == ".keras":
        return keras.models.load_model(path).predict(x, verbose=0)
    with torch.no_grad():
        return torch.export.load(path).module()(torch.from_numpy(x)).numpy()


def own(model, x) -> np.ndarray:
    if isinstance(model, keras.Model):
        return model.predict(x, verbose=0)
    with torch.no_grad():
        return np.asarray(model(x))


@pytest.mark.parametrize("framework", MODELS)
def test_a_pruned_model_is_the_same_in_every_file(framework: str, tmp_path: Path) -> None:
    model, given, x = MODELS[framework]()
    session = spa.analyze(model, given)
    session.prune(ratio=0.4)
    expected = own(session.model, given)
    for suffix in (".onnx", ".keras", ".pt2"):
        path = session.export(tmp_path / f"net{suffix}")
        np.testing.assert_allclose(outputs(path, x), expected, atol=1e-5)
    # And on: what was written is a model like any other.
    second = spa.analyze(tmp_path / "net.onnx", x)
    if framework != "torch":
        # Torch's exporter takes norms into convolutions.
        assert second.cost == session.cost
    path = second.export(tmp_path / "again.keras")
    np.testing.assert_allclose(outputs(path, x), expected, atol=1e-5)
    if framework != "torch":
        twin = session.to_torch()
        state = twin.state_dict()
        assert sum(p.numel() for p in twin.parameters()) == session.cost[1]
        twin.load_state_dict({name: 0 * tensor for name, tensor in state.items()})
        assert not own(twin, torch.from_numpy(x)).any()


def test_a_file_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    session = spa.analyze(TorchBlock().eval(), torch.from_numpy(FIRST))
    with pytest.raises(SpaError, match=r"\.onnx, \.keras, \.pt2"):
        session.export(tmp_path / "net.h5")
    assert not [*tmp_path.iterdir()]
