"""Which function builds what in Keras stands for an ONNX operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx

from spa_kernel.errors import SpaError
from spa_kernel.frontends.onnx.to_keras.call import Call, Unbuilt, Value

Build = Callable[[Call], Value | Sequence[Value]]
BUILDERS: dict[str, Build] = {}


def builds(*names: str) -> Callable[[Build], Build]:
    """Register a builder for ONNX operators."""

    def register(build: Build) -> Build:
        BUILDERS.update(dict.fromkeys(names, build))
        return build

    return register


def refusal(proto: onnx.NodeProto, detail: str = "") -> SpaError:
    where = f" ({proto.name})" if proto.name else ""
    return SpaError(f"the operator {proto.op_type}{where} cannot be built in Keras{detail}")


def build(call: Call) -> list[Value]:
    """What a node makes.

    Raises
    ------
    SpaError
        Nobody has written how.
    """
    from spa_kernel.frontends.onnx.to_keras import (  # noqa: F401 (they register builders)
        elementwise,
        layers,
        shapes,
    )

    proto = call.proto
    known = BUILDERS.get(proto.op_type) if proto.domain in ("", "ai.onnx") else None
    if known is None:
        raise refusal(proto)
    try:
        made = known(call)
    except Unbuilt as reason:
        raise refusal(proto, f" as it is used here {reason}".rstrip()) from None
    except Exception as error:
        raise refusal(proto, f": {error}") from error
    return [made] if isinstance(made, Value) else list(made)
