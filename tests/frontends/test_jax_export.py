"""Models in JAX written as ONNX: the same outputs, the same names, the same groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from flax import nnx
from jax_networks import Attention, Convs, Tokens, shaken

import spa_kernel as spa
from spa_kernel.errors import SpaError
from spa_kernel.frontends.jax.backend import JaxBackend
from spa_kernel.frontends.jax.export.call import HANDLERS

RNG = np.random.default_rng(0)
IDS = RNG.integers(0, 30, (2, 6)).astype(np.int32)
IMAGES = RNG.standard_normal((2, 8, 8, 3)).astype(np.float32)
ROWS = RNG.standard_normal((2, 5, 6)).astype(np.float32)
NETWORKS: dict[str, Any] = {
    "convs": (Convs, IMAGES),
    "tokens": (Tokens, IDS),
    "rms": (lambda rngs: Tokens(rngs, nnx.RMSNorm), IDS),
    "attention": (Attention, RNG.standard_normal((2, 6, 8)).astype(np.float32)),
}


class Several(nnx.Module):
    """Functions of what a linear layer makes, or layers and functions of what is given."""

    def __init__(self, *functions: Any, layers: Any = ()) -> None:
        self.layers = nnx.List(layers)
        self.linear = nnx.Linear(6, 12, rngs=nnx.Rngs(0))
        self.functions = functions

    def __call__(self, x: Any) -> Any:
        hidden = x if self.layers else self.linear(x)
        return [layer(x) for layer in self.layers] + [f(hidden) for f in self.functions]


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(y) for y in session.run(None, {model.graph.input[0].name: x})]


def same(model: Any, written: onnx.ModelProto, x: np.ndarray) -> None:
    """Both make the same of an input."""
    outputs = jax.tree.leaves(nnx.jit(lambda m, x: m(x))(model, x))
    for ours, theirs in zip(outputs, run(written, x), strict=True):
        expected = np.asarray(ours)
        assert theirs.shape == expected.shape
        assert theirs.dtype == expected.dtype
        np.testing.assert_allclose(theirs, expected, rtol=1e-4, atol=1e-4 * expected.std() + 1e-6)


def prunable(session: Any) -> set[tuple[int, frozenset[Any]]]:
    return {(g.size, frozenset(g.members)) for g in session.groups if g.prunable}


def first_axis(model: onnx.ModelProto) -> list[str]:
    ends = [*model.graph.input, *model.graph.output]
    return [end.type.tensor_type.shape.dim[0].dim_param for end in ends]


@pytest.mark.parametrize("name", NETWORKS)
def test_written_with_names_and_shapes(name: str) -> None:
    build, x = NETWORKS[name]
    model = shaken(build(nnx.Rngs(0)))
    session = spa.analyze(model, x)
    written = session.backend.as_onnx()
    assert first_axis(written) == ["N", "N"]
    same(model, written, np.concatenate([x, x[::-1], x]))
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in written.graph.initializer}
    own = session.analysis.coupling.graph.stored
    assert {n: a.shape for n, a in stored.items()} == {n: v.shape for n, v in own.items()}
    assert all(np.array_equal(a, session.backend.array(n)) for n, a in stored.items())
    # What is read of the file is what was read of the model.
    assert prunable(spa.analyze(written)) == prunable(session) != set()


def test_written_after_a_prune(tmp_path: Path) -> None:
    model: Any = shaken(Convs(nnx.Rngs(0)))
    session = spa.analyze(model, IMAGES)
    session.prune(ratio=0.4)
    written = onnx.load(session.export(tmp_path / "small.onnx"))
    kernel = next(t for t in written.graph.initializer if t.name == "conv.kernel")
    assert tuple(kernel.dims) == model.conv.kernel.shape != (3, 3, 3, 12)
    same(model, written, IMAGES)


def test_norms_and_activations_are_operators() -> None:
    model = shaken(Convs(nnx.Rngs(0)))
    nodes = JaxBackend(model, IMAGES).as_onnx().graph.node
    norms = [n for n in nodes if n.op_type == "BatchNormalization"]
    assert [n.input[1:] for n in norms] == [
        [f"{path}.{part}" for part in ("scale", "bias", "mean", "var")]
        for path in ("bn", "block.n", "block.m")
    ]
    made = {output: n.op_type for n in nodes for output in n.output}
    assert {made[n.input[0]] for n in norms} == {"Conv"}
    assert sum(n.op_type == "Relu" for n in nodes) == 3


FUNCTIONS = {
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "softplus": jax.nn.softplus,
    "softmax": jax.nn.softmax,
    "std": lambda x: x - x.std(-1, keepdims=True),
    "sorted": lambda x: jnp.sort(x, -1)[..., 2:9:3],
    "order": lambda x: jnp.argsort(x, -1),
    "summed up": lambda x: jnp.cumsum(x[..., ::-1], 1),
    "largest": lambda x: jax.lax.top_k(x, 3)[0],
    "padded": lambda x: jax.lax.pad(x, 1.0, ((0, 0, 0), (1, 2, 1), (-2, 0, 0))),
    "positions": lambda x: x + jnp.arange(x.shape[0])[:, None, None],
    "of each": lambda x: x[jnp.arange(x.shape[0]), jnp.arange(x.shape[0]) % 3],
    "table": lambda x: x[:, jnp.array([[3, -1], [0, 1]])],
    "along": lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1)[:, :2], 1),
    "masked": lambda x: jnp.where(jnp.tril(jnp.ones((5, 12), bool)), x, -1e9),
    "products": lambda x: jnp.einsum("bid,bjd->bji", x, x),
    "rows": lambda x: (x.reshape(-1, 12) * 2).reshape(x.shape),
    "turned": lambda x: jnp.swapaxes(x, 0, 1).reshape(5, -1),
    "loop": lambda x: jax.lax.scan(lambda c, r: (c + r, r * c), jnp.zeros(12), x[0])[1],
    "choice": lambda x: jax.lax.cond(x.sum() > 0, lambda y: y, lambda y: 2 * y, x),
    "rounded": lambda x: jnp.round(x, 1) + jnp.floor(x) + x // 2 + jnp.mod(x, 3),
    "truth": lambda x: (x > 1).any(-1) & ~(x < -1).all(-1),
    "mapped": jax.vmap(lambda row: row.T @ row),
}


def test_functions() -> None:
    model = shaken(Several(*FUNCTIONS.values()))
    written = JaxBackend(model, ROWS).as_onnx()
    assert written.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    same(model, written, RNG.standard_normal((4, 5, 6)).astype(np.float32))


def test_layers_on_images() -> None:
    rngs = nnx.Rngs(0)
    layers: list[Any] = [
        nnx.Conv(3, 6, (3, 2), (2, 1), padding="VALID", rngs=rngs),
        nnx.Conv(3, 6, (3, 3), padding=((1, 3), (0, 2)), kernel_dilation=2, rngs=rngs),
        nnx.Conv(3, 6, (3, 3), feature_group_count=3, padding="CIRCULAR", rngs=rngs),
        nnx.Conv(3, 2, (3, 3), input_dilation=2, padding=((2, 1), (0, 3)), rngs=rngs),
        nnx.ConvTranspose(3, 4, (3, 3), (2, 2), rngs=rngs),
        nnx.ConvTranspose(3, 4, (2, 3), (4, 2), padding="VALID", rngs=rngs),
        nnx.BatchNorm(3, use_scale=False, rngs=rngs),
        nnx.BatchNorm(8, axis=1, rngs=rngs),
        nnx.GroupNorm(3, num_groups=3, rngs=rngs),
        nnx.LayerNorm(3, reduction_axes=(1, 2, 3), rngs=rngs),
    ]
    functions: list[Any] = [
        lambda x: nnx.max_pool(x, (3, 3), (2, 2), "SAME"),
        lambda x: nnx.min_pool(x, (2, 2)),
        lambda x: nnx.avg_pool(x, (3, 3), (2, 2), "SAME"),
        lambda x: nnx.avg_pool(x, (3, 3), (2, 2), "SAME", count_include_pad=False),
        lambda x: jax.image.resize(x, (x.shape[0], 12, 5, 3), "bilinear"),
        lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 2), (1,) * 4, "VALID"),
    ]
    model = shaken(Several(*functions, layers=layers))
    written = JaxBackend(model, IMAGES).as_onnx()
    assert first_axis(written)[0] == "N"
    same(model, written, RNG.standard_normal((3, 8, 8, 3)).astype(np.float32))


BOUND: dict[str, Any] = {
    "a table as long as the batch": lambda x: x * np.arange(len(x))[:, None, None],
    "a number of the batch": lambda x: x / len(x),
    "another way for few": lambda x: x * 2 if len(x) < 4 else x,
}


@pytest.mark.parametrize("name", BOUND)
def test_a_model_for_one_batch_says_so(name: str) -> None:
    model = shaken(Several(BOUND[name]))
    written = JaxBackend(model, ROWS).as_onnx()
    assert first_axis(written) == ["", ""]
    same(model, written, ROWS)


REFUSED = {
    "cumprod": lambda x: jnp.cumprod(x, -1),
    "fft": lambda x: jnp.abs(jnp.fft.fft(x)),
    "while": lambda x: jax.lax.while_loop(lambda y: y.sum() < 9, lambda y: y + 1, x),
    "random": lambda x: x + jax.random.normal(jax.random.key(0), x.shape),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_can_write_is_refused_by_name(name: str, tmp_path: Path) -> None:
    backend = JaxBackend(shaken(Several(REFUSED[name])), ROWS)
    with pytest.raises(SpaError, match=f"{name}.*test_jax_export.py"):
        backend.export(tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]


def test_what_is_wrong_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HANDLERS, "tanh", lambda call: call.node("Sin", call.operands))
    with pytest.raises(SpaError, match="differs"):
        JaxBackend(shaken(Several(jnp.tanh)), ROWS).as_onnx()
