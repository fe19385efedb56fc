"""Which function writes which layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from spa_kernel.errors import SpaError
from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.layers import described

Write = Callable[[Call], list[Tensor]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A writer, and which arguments it reads beside the first."""

    write: Write
    reads: tuple[str, ...]


WRITERS: dict[str, Entry] = {}


def writes(*names: str, reads: tuple[str, ...] = ()) -> Callable[[Write], Write]:
    """Register a writer by the names of Keras classes, see `described`.

    ``reads``: names of arguments that it looks at; nothing may be passed for any other one.
    """

    def register(write: Write) -> Write:
        WRITERS.update(dict.fromkeys(names, Entry(write, reads)))
        return write

    return register


def write(call: Call) -> list[Tensor]:
    """Write down a call.

    Raises
    ------
    SpaError
        Nobody has written how.
    """
    from spa_kernel.frontends.keras.export import (  # noqa: F401 (they register writers)
        activations,
        arithmetic,
        attention,
        convolutions,
        linear,
        norms,
        pools,
        products,
        shapes,
        slices,
    )

    layer = call.layer
    entry, detail = WRITERS.get(described(type(layer))), ""
    adapted = getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False)
    if entry is not None and not adapted:
        try:
            check_types(call)
            call.check_arguments(entry.reads)
            return entry.write(call)
        except Unwritten as reason:
            detail = f" as it is used here {reason}".rstrip()
    elif adapted:
        detail = " when it is quantized or has LoRA"
    raise SpaError(
        f"{call.name} cannot be written as ONNX: it is a {type(layer).__name__}, which nobody has "
        f"described{detail}"
    )


def check_types(call: Call) -> None:
    """Raise `Unwritten` for numbers that are calculated with in another way than stored."""
    layer = call.layer
    if isinstance(layer, keras.Layer) and layer.compute_dtype != layer.variable_dtype:
        raise Unwritten("with mixed precision")
    if call.dtype in ("float16", "bfloat16"):
        raise Unwritten(f"in {call.dtype}")
