"""What torch knows of its modules, for ONNX, Keras and JAX models: the same numbers."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from scored_networks import NETWORKS, batches, made
from torch import nn

import spa_kernel as spa
from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import DataNeeded, UnsupportedOperator
from spa_kernel.frontends.labels import carried_over
from spa_kernel.importance.needs import STATISTICS

Sets = dict[int, frozenset[tuple[str, int, int]]]
EXAMPLE = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)


def network(name: str) -> nn.Module:
    """One of the networks that statistics are tested on, in single precision."""
    return made(name).float()


def exported(model: nn.Module) -> onnx.ModelProto:
    """With all names and layers as they are, and any batch."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.from_numpy(EXAMPLE),), file, dynamo=False, do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE, input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
    return onnx.load_from_string(file.getvalue())


def marked(coupling: Coupling, names: set[str]) -> Sets:
    """For each label the indices of stored tensors that it marks."""
    found: dict[int, set[tuple[str, int, int]]] = {}
    for (value, axis), labels in coupling.axes.items():
        if value.stored and value.name in names:
            for index, row in enumerate(labels.tolist()):
                for label in row:
                    found.setdefault(label, set()).add((value.name, axis, index))
    return {label: frozenset(entries) for label, entries in found.items()}


def of_labels(coupling: Coupling, found: Any, sets: Sets) -> dict[Any, np.ndarray]:
    """What a statistic says of each label, by what the label marks."""
    if isinstance(found, dict):
        by_label = np.full(coupling.count, np.nan)
        for group in coupling.groups:
            if group.id in found:
                by_label[group.labels] = found[group.id]
        found = by_label
    return {entries: found[..., label] for label, entries in sets.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_statistic_of_an_export_is_that_of_the_torch_module(name: str) -> None:
    model = network(name)
    ours, theirs = (
        spa.analyze(model, torch.from_numpy(EXAMPLE)),
        spa.analyze(exported(model), EXAMPLE),
    )
    couplings = [session.analysis.coupling for session in (ours, theirs)]
    names = couplings[0].graph.stored.keys() & couplings[1].graph.stored.keys()
    sets = [marked(coupling, names) for coupling in couplings]
    data = [(x.float(), y) for x, y in batches()]
    arrays = [(x.numpy(), y.numpy()) for x, y in data]
    for need in STATISTICS:
        one, two = (
            session.backend.statistic(need, coupling, given, F.cross_entropy)
            for session, coupling, given in zip(
                (ours, theirs), couplings, (data, arrays), strict=True
            )
        )
        if isinstance(one, np.ndarray) or need == "removal_cost":
            one, two = (
                of_labels(c, found, s)
                for c, found, s in zip(couplings, (one, two), sets, strict=True)
            )
            assert len(one.keys() & two.keys()) > 5
        for key in one.keys() & two.keys():
            wanted, got = np.broadcast_arrays(one[key], two[key])
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6, err_msg=f"{need} {key}")


def test_twins_that_couple_other_channels_are_refused() -> None:
    coupling = spa.analyze(exported(network("residual"))).analysis.coupling
    other = spa.analyze(exported(network("residual"))).analysis.coupling
    names = {name: name for name in coupling.graph.stored}
    same = carried_over(coupling, other, names)
    for axis, labels in other.axes.items():
        if axis[0].stored and axis[0].kind == "parameter":
            like = coupling.axes[coupling.graph.stored[axis[0].name], axis[1]]
            free = ~coupling.frozen[like]
            assert np.array_equal(same.axes[axis][free], like[free])
            last = axis, labels
    (axis, labels) = last
    group = next(g for g in other.groups if g.prunable)
    other.axes[axis] = np.full_like(labels, group.labels[0])
    with pytest.raises(UnsupportedOperator):
        carried_over(coupling, other, names)


def test_data_in_all_forms() -> None:
    session = spa.analyze(exported(network("grouped")))
    x, y = (t.numpy() for t in next(iter(batches())))
    x = x.astype(np.float32)

    def gradient(data: Any, loss: Callable[..., Any] = F.cross_entropy) -> Any:
        return session.backend.statistic("gradient", session.analysis.coupling, data, loss)

    wanted = gradient([(x, y)])
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    forms = [(x, y), iter([(x, y)]), [tensors], [(x.astype(np.float64), y)], [({"x": x}, y)]]
    found = [gradient(form) for form in forms]
    found.append(gradient([{"x": x, "y": y}], lambda out, all_: F.cross_entropy(out, all_["y"])))
    for one in found:
        for name, array in wanted.items():
            np.testing.assert_allclose(one[name], array, atol=1e-6)
    for wrong in (5, [], [(x[:, :2], y)], [({"z": x}, y)], [x], [(x[:0], y[:0])]):
        with pytest.raises(DataNeeded):
            gradient(wrong)


def losses(session: Any, run: Callable[[Any], np.ndarray], data: list[Any]) -> list[float]:
    """How far outputs are off after a prune, without new weights and with; and all is undone."""
    before, errors = session.backend.snapshot(), []
    expected = [run(x) for x in data]
    for reconstruct in (False, True):
        wishes = {"data": data} if reconstruct else {}
        session.prune(criterion="random", ratio=0.3, reconstruct=reconstruct, **wishes)
        found = [run(x) for x in data]
        errors.append(float(np.mean([np.square(a - b).mean() for a, b in zip(expected, found)])))  # noqa: B905
        after = session.backend.snapshot()
        session.undo()
        assert session.backend.snapshot() == before
        session.redo()
        assert session.backend.snapshot() == after
        session.undo()
    return errors


@pytest.mark.slow
def test_flax() -> None:
    jax = pytest.importorskip("jax")
    nnx = pytest.importorskip("flax.nnx")
    from jax_networks import Convs, shaken

    net = shaken(Convs(nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 8, 8, 3)).astype(np.float32), np.arange(4)
    session = spa.analyze(net, x)
    named = session.backend.named
    forward = named.function()

    def loss(weights: Any) -> Any:
        out = forward({**named.arrays(), **weights}, (x,), {})
        return -jax.nn.log_softmax(out)[np.arange(4), y].mean()

    weights = {n: a for n, a in named.arrays().items() if named.is_parameter(n)}
    wanted = jax.grad(loss)(weights)
    found = session.backend.statistic(
        "gradient", session.analysis.coupling, [(x, y)], F.cross_entropy
    )
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-5, err_msg=name)

    def in_jax(out: Any, targets: Any) -> Any:
        return -jax.nn.log_softmax(out)[jax.numpy.arange(4), targets].mean()

    same = session.backend.statistic("gradient", session.analysis.coupling, [(x, y)], in_jax)
    for name, array in found.items():
        np.testing.assert_allclose(same[name], array, rtol=1e-3, atol=1e-6)
    with pytest.raises(DataNeeded, match="second derivatives"):
        session.backend.statistic("hessian_gradient", session.analysis.coupling, [(x, y)], in_jax)
    data = [rng.standard_normal((16, 8, 8, 3)).astype(np.float32) for _ in range(2)]

    def run(x: Any) -> np.ndarray:
        now = session.backend.named
        return np.asarray(now.function()(now.arrays(), (x,), {}))

    plain, mended = losses(session, run, data)
    assert mended < plain
    assert session.prune(criterion="obspa", ratio=0.2, data=data[:1]).verified


@pytest.mark.slow
def test_keras() -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    from keras_networks import filled, residual

    from spa_kernel.frontends.keras.capture import named_weights

    net = filled(residual)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 12, 12, 3)).astype(np.float32), np.arange(4)
    session = spa.analyze(net)
    found = session.backend.statistic(
        "gradient", session.analysis.coupling, [(x, y)], F.cross_entropy
    )
    if keras.backend.backend() == "torch":
        F.cross_entropy(net(x, training=False), torch.from_numpy(y)).backward()
        for name, variable in named_weights(net).items():
            if variable.trainable:
                wanted = variable._value.grad.numpy()
                np.testing.assert_allclose(found[name], wanted, rtol=1e-3, atol=1e-5)
            variable._value.grad = None
    data = [rng.standard_normal((16, 12, 12, 3)).astype(np.float32) for _ in range(2)]

    def run(x: Any) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(net(x, training=False)))

    plain, mended = losses(session, run, data)
    assert mended < plain
    assert session.prune(criterion="obspa", ratio=0.2, data=data[:1]).verified
