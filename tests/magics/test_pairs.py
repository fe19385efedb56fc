"""A function and its parameters in JAX are a model, in one variable."""

import numpy as np


def apply(params, x):
    return np.tanh(1.0) * (x @ params["a"]) @ params["b"]


def test_a_pair_is_pruned_by_its_name(shell):
    names = shell.ip.magics_manager.registry["SPAMagics"].names
    params = {"a": np.ones((6, 8), np.float32), "b": np.ones((8, 3), np.float32)}
    shell.ns.update(pair=(apply, params), rows=np.ones((2, 6), np.float32))
    import jax  # noqa: F401  a pair is one only where jax is in use

    assert names.models() == ["net", "pair"]
    session = shell("%spa_analyze pair rows")
    assert session.name == "pair"
    shell("%spa_prune pair --ratio 0.5;")
    found, pruned = shell.ns["pair"]
    assert names.session("pair") is session
    assert pruned["a"].shape == (6, 4)
    assert params["a"].shape == (6, 8)
    assert found(pruned, shell.ns["rows"]).shape == (2, 3)
    shell("%spa_undo pair;")
    assert shell.ns["pair"].params["a"] is params["a"]
