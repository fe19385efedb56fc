"""Arrays in a file of bytes, without anything that could be executed."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import jax
import numpy as np

from spa_kernel.frontends.jax.model import is_numeric


def packed(arrays: dict[str, Any]) -> bytes:
    """Named arrays, those of types that numpy lacks and random keys included."""
    head: list[Any] = []
    parts: dict[str, Any] = {}
    for i, (name, array) in enumerate(arrays.items()):
        numeric = is_numeric(array)
        content = np.asarray(array if numeric else jax.random.key_data(array))
        key = "" if numeric else str(jax.random.key_impl(array))
        head.append([name, str(content.dtype), list(content.shape), key])
        parts[str(i)] = np.frombuffer(np.ascontiguousarray(content).tobytes(), np.uint8)
    parts["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    file = BytesIO()
    np.savez(file, **parts)
    return file.getvalue()


def unpacked(content: bytes) -> dict[str, Any]:
    """The same again."""
    found: dict[str, Any] = {}
    with np.load(BytesIO(content), allow_pickle=False) as parts:
        for i, (name, dtype, shape, key) in enumerate(json.loads(parts["head"].tobytes())):
            flat = np.frombuffer(parts[str(i)].tobytes(), jax.numpy.dtype(dtype))
            array = flat.reshape(shape)
            found[name] = (
                jax.random.wrap_key_data(jax.numpy.asarray(array), impl=key) if key else array
            )
    return found
