"""A pruned ONNX model against the masked original."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_networks import build

from spa_kernel.coupling.solver import couple
from spa_kernel.errors import VerificationFailed
from spa_kernel.frontends.onnx.backend import OnnxBackend
from spa_kernel.frontends.onnx.run import Light
from spa_kernel.surgery.after import After
from spa_kernel.surgery.difference import difference
from spa_kernel.surgery.onnx_verify import verify


@pytest.mark.parametrize(("off", "right"), [(3e-6, True), (0.3, False)])
def test_an_output_that_is_nothing_but_rounding_is_judged_by_what_goes_into_it(
    off: float, right: bool
) -> None:
    text = """
        net (float[64,16] x) => (float[64,8] y) {
            h = MatMul (x, w1)
            far = Constant <value_float = 20.0> ()
            low = Sub (h, far)
            y = Sigmoid (low)
        }
        """
    weights = np.random.default_rng(0).normal(0, 0.3, (16, 8)).astype(np.float32)
    model, other = build(text, w1=weights), build(text, w1=weights + np.float32(off))
    x = np.random.default_rng(1).standard_normal((64, 16)).astype(np.float32)
    one, two = (Light.of(m).run({"x": x})[0] for m in (model, other))
    assert difference(one, two) > 0.1
    graph = OnnxBackend(model, {"x": x}).capture()
    after = After(couple(graph), np.zeros(couple(graph).count, dtype=bool))
    if right:
        found = verify(other, Light.of(model), graph.captured, after)
        assert found.error is not None
        assert found.error < 1e-3
    else:
        with pytest.raises(VerificationFailed, match="differs from the masked original"):
            verify(other, Light.of(model), graph.captured, after)
