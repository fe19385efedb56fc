"""Batches for ONNX models: as a person gives them, and made from the model alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx_networks import build

import spa_kernel as spa
from spa_kernel.errors import DataNeeded
from spa_kernel.frontends.onnx.batches import SIZE, batches_of
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.synthetic import synthetic


def model(width: int, size: int | str = "N") -> onnx.ModelProto:
    """One product."""
    return build(f"net (float[{size},{width}] x) => (float[{size},3] y) {{ y = MatMul (x, w) }}",
                 w=(width, 3))  # fmt: skip


X, Y = np.ones((4, 6), np.float32), np.zeros(4)
FORMS = [X, [X, X], [(X, Y), [X, Y]], {"x": X}, [{"x": torch.tensor(X)}], [((X,), None)]]


@pytest.mark.parametrize("data", FORMS)
def test_batches_in_all_forms(data: Any) -> None:
    found = list(batches_of(data, model(6)))
    assert all(np.array_equal(batch["x"], X) for batch in found)
    assert len(found) == (2 if isinstance(data, list) and len(data) == 2 else 1)


@pytest.mark.parametrize(
    ("size", "lengths"), [("N", [SIZE, SIZE, 8]), (24, [24] * 3), (1, [1] * 72)]
)
def test_batches_are_split_to_the_size_that_the_model_takes(
    size: int | str, lengths: list[int]
) -> None:
    x = np.arange(72.0 * 6).reshape(72, 6)
    found = [batch["x"] for batch in batches_of([x], model(6, size))]
    assert [len(part) for part in found] == lengths
    assert np.array_equal(np.concatenate(found), x.astype(np.float32))


def test_a_batch_that_does_not_fall_into_pieces() -> None:
    with pytest.raises(DataNeeded, match="4 samples at a time"):
        list(batches_of([np.ones((6, 6))], model(6, 4)))


def test_ids_are_drawn_from_the_table_that_they_index() -> None:
    model = build(
        """
        net (int64[N,7] ids, int64[N,7] kinds, int64[N,7] mask) => (float[N,7,3] y) {
            a = Gather (table, ids)
            k = Gather (two, kinds)
            s = Add (a, k)
            f = Cast <to = 1> (mask)
            axis = Constant <value_ints = [2]> ()
            u = Unsqueeze (f, axis)
            m = Mul (s, u)
            y = MatMul (m, w)
        }
        """,
        table=(30, 8),
        two=(2, 8),
        w=(8, 3),
    )
    batches = synthetic(Captured(model))
    ids = np.concatenate([batch["ids"] for batch in batches])
    assert ids.min() == 0
    assert ids.max() == 29
    assert not any(batch["kinds"].any() for batch in batches)
    assert all(batch["mask"].all() for batch in batches)
    spa.analyze(model).prune(criterion="obspa", flops=1.3)


def test_numbers_are_like_the_example() -> None:
    example = np.random.default_rng(0).normal(3, 2, (4, 6)).astype(np.float32)
    for size, length in (("N", SIZE), (4, 4)):
        made = synthetic(Captured(model(6, size), {"x": example}))
        assert {batch["x"].shape for batch in made} == {(length, 6)}
        every = np.concatenate([batch["x"] for batch in made])
        assert len(every) == 256
        assert abs(every.mean() - example.mean()) < 0.3
        assert abs(every.std() - example.std()) < 0.3
