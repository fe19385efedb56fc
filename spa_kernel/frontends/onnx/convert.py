"""What each ONNX operator becomes in the standard graph."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.capture import Captured

Convert = Callable[[Call], bool | None]
"""Adds operators for a node; False if this use of the operator is not described."""

CONVERTERS: dict[str, Convert] = {}


def converts(*names: str) -> Callable[[Convert], Convert]:
    """Register a converter for one or more ONNX operator types."""

    def register(function: Convert) -> Convert:
        for name in names:
            CONVERTERS[name] = function
        return function

    return register


def described(proto: onnx.NodeProto) -> bool:
    """Whether there is a converter for the node's operator."""
    from spa_kernel.frontends.onnx import (  # noqa: F401 (they register converters)
        convert_attention,
        convert_layers,
        convert_quantised,
        convert_recurrent,
        convert_sequences,
        convert_shapes,
        convert_slices,
    )

    return proto.domain in ("", "ai.onnx") and proto.op_type in CONVERTERS


def convert(capture: Captured, index: int, proto: onnx.NodeProto) -> None:
    """Add what stands for a node to the standard graph."""
    call = Call(capture, index, proto)
    if not described(proto):
        call.unknown()
    elif CONVERTERS[proto.op_type](call) is False:
        # A use that differs from what the operator's relation says must not carry its name.
        call.unknown(f"{proto.op_type} (unusual form)")
