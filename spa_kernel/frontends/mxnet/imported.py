"""MXNet beside today's NumPy.

MXNet 1.9.1, the last release, asks NumPy on import for names that have been renamed or removed
since. They are lent to NumPy as long as the import takes; nothing else stands in the way.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

GONE = {
    "Inf": np.inf, "NAN": np.nan, "NINF": -np.inf, "NZERO": -0.0, "NaN": np.nan, "PINF": np.inf,
    "PZERO": 0.0, "alltrue": np.all, "in1d": np.isin, "msort": partial(np.sort, axis=0),
    "product": np.prod, "round_": np.round, "sometrue": np.any, "trapz": np.trapezoid,
    # These had been without a function for years when MXNet still asked for them.
    "mirr": None, "npv": None, "pmt": None, "ppmt": None, "pv": None, "rate": None,
}  # fmt: skip


def imported() -> Any:
    """The module ``mxnet``, with its ONNX exporter.

    Raises
    ------
    ImportError
        It is not installed; says how to do so.
    """
    if "mxnet.onnx" in sys.modules:
        return sys.modules["mxnet"]
    try:
        with lent(np, GONE), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import mxnet
            import mxnet.onnx
    except ImportError as error:
        raise ImportError(
            f"MXNet cannot be imported: {error}. Install it without the old versions that it asks "
            "for: pip install --no-deps mxnet==1.9.1, then pip install requests graphviz setuptools"
        ) from error
    return mxnet


@contextmanager
def lent(module: ModuleType, names: Mapping[str, Any]) -> Iterator[None]:
    """A module with some more (or other) content for a while."""
    before = {name: vars(module)[name] for name in names if name in vars(module)}
    vars(module).update(names)
    try:
        yield
    finally:
        for name in names:
            del vars(module)[name]
        vars(module).update(before)
