"""Try out an operator that nobody described: run it on small random tensors and compare.

The operator itself is the judge: a relation is stated only where cutting operands gives the
cut output, for patterns that tell every two indices apart.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from time import thread_time
from typing import Any
from zlib import crc32

import numpy as np
import torch

from spa_kernel.frontends.torch.aten.registry import Call
from spa_kernel.frontends.torch.cutting import Outputs
from spa_kernel.frontends.torch.experiments import Experiments, NotTried
from spa_kernel.graph.ir import Value
from spa_kernel.graph.ops_probed import Trial

ENTRIES = 2_000_000
"""Most entries that the operands and outputs of a call may have together to be tried."""
WORK = 60_000_000
"""Most entries that the operator is given in all runs together."""
SECONDS = 2.0
"""Most processor time, for operators that are slow on few entries."""
STORAGE = ("as_strided", "resize", "set_", "set", "_reinterpret_tensor", "empty")
"""Calls about how entries lie in memory, not about their values."""
SENDING = "c10d", "_c10d_functional", "c10d_functional"
"""Libraries whose calls wait for other processes."""
DOUBLE = {
    torch.float32: torch.float64, torch.float16: torch.float64, torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A tensor operand: what is drawn for it, or the content that it keeps."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    constant: bool
    content: torch.Tensor | None

    @property
    def drawn(self) -> bool:
        """Whether random numbers with a fraction stand in for it."""
        return self.content is None and (self.dtype.is_floating_point or self.dtype.is_complex)

    @property
    def key(self) -> Any:
        raw = b""
        if self.content is not None:
            plain = self.content.cpu().contiguous().flatten()
            raw = plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        return self.shape, self.stride, self.dtype, self.constant, crc32(raw), len(raw)


def slot_of(tensor: torch.Tensor, value: Value) -> Slot:
    """What to put in the place of an operand.

    Raises
    ------
    NotTried
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.dtype.itemsize == 0:
        raise NotTried("it takes a tensor of an unusual kind")
    plain = tensor.dtype.is_floating_point or tensor.dtype.is_complex
    kept = not tensor.is_meta and (not plain or value.kind == "constant")
    content = tensor.detach().clone() if kept else None
    constant = value.kind == "constant"
    return Slot(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, constant, content)


class Operation:
    """A recorded call as a function of its tensor operands alone."""

    def __init__(self, func: Any, args: Any, kwargs: Any, bound: dict[str, Any]) -> None:
        self.func = func
        self.positional = list(bound)[: len(args)]
        self.named = list(kwargs)
        self.bound = bound
        self.tensors = [t for name in bound for t in within(bound[name])]
        self.started = 0.0
        self.work = 0
        schema = func._schema
        written = [a for a in schema.arguments if a.alias_info and a.alias_info.is_write]
        self.writes = bool(written)
        self.in_place = (
            len(written) == 1
            and written[0].name == schema.arguments[0].name
            and len(schema.returns) == 1
            and schema.returns[0].alias_info is not None
            and schema.returns[0].alias_info.is_write
        )

    def __call__(self, operands: Outputs) -> Outputs:
        """The call's outputs for other tensors.

        Raises
        ------
        NotTried
            Out of time, or something else than tensors comes out.
        """
        self.work += sum(t.numel() for t in operands)
        if self.work > WORK or (self.started and thread_time() - self.started > SECONDS):
            raise NotTried("it takes too long")
        left = iter([t.clone() for t in operands] if self.writes else operands)
        filled = {name: fill(value, left) for name, value in self.bound.items()}
        result = self.func(
            *(filled[name] for name in self.positional),
            **{name: filled[name] for name in self.named},
        )
        # What the first call has to import or compile does not count.
        self.started = self.started or thread_time()
        results = list(result) if isinstance(result, tuple | list) else [result]
        if not all(type(r) is torch.Tensor and r.layout == torch.strided for r in results):
            raise NotTried("it returns something else than tensors")
        return results


def within(value: Any) -> Iterator[torch.Tensor]:
    """Tensors in an argument, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from within(item)


def fill(value: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """The argument with its tensors replaced in the same order."""
    if isinstance(value, torch.Tensor):
        return next(tensors)
    if isinstance(value, list | tuple):
        return type(value)(fill(item, tensors) for item in value)
    return value


@contextmanager
def untouched(device: torch.device) -> Iterator[None]:
    """Whatever the operator draws at random, all generators are put back afterwards.

    On one thread: most runs are too short for several.
    """
    own, others, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()
    devices = [device] if device.type == "cuda" else []
    try:
        torch.set_num_threads(1)
        with (
            torch.random.fork_rng(devices=devices),
            torch.no_grad(),
            warnings.catch_warnings(),
            torch._C.DisableTorchFunction(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(own)
        np.random.set_state(others)


def layout(tensor: torch.Tensor, stride: tuple[int, ...]) -> torch.Tensor:
    """The same entries, lying in memory as those of the recorded operand did."""
    if tensor.stride() == stride or 0 in stride:
        return tensor
    made = torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype, device=tensor.device)
    return made.copy_(tensor)


Kind = str
"""``"signed"``, ``"positive"`` or ``"unit"``: the range of what is drawn for an operand."""


class Draws:
    """What stands in for the operands of a call."""

    def __init__(self, slots: list[Slot], device: torch.device) -> None:
        self.slots = slots
        self.device = device
        sizes = [n for slot in slots if slot.drawn for n in slot.shape if n > 1]
        self.smallest = min(sizes, default=2)

    def operands(self, kinds: list[Kind], number: int, double: bool) -> Outputs:
        """One set of operands: even numbers of ordinary size, odd ones large and small."""
        return [
            layout(self._draw(slot, kind, number, 10 * i + number, double), slot.stride)
            for i, (slot, kind) in enumerate(zip(self.slots, kinds, strict=True))
        ]

    def _draw(self, slot: Slot, kind: Kind, number: int, seed: int, double: bool) -> torch.Tensor:
        dtype = DOUBLE.get(slot.dtype, slot.dtype) if double else slot.dtype
        if slot.content is not None:
            return slot.content.to(self.device, dtype)
        source = np.random.default_rng(seed)
        if not slot.drawn:
            # Whole numbers may be indices of something.
            high = 2 if slot.dtype == torch.bool or number % 2 else self.smallest
            whole = torch.as_tensor(source.integers(0, high, slot.shape))
            return whole.to(self.device, dtype)
        numbers = source.standard_normal(slot.shape)
        if number % 2:
            # Large ones and small ones.
            numbers = numbers * np.exp(source.standard_normal(slot.shape).clip(-3, 3))
        if kind == "positive":
            numbers = np.abs(numbers) + 0.1
        elif kind == "unit":
            numbers = source.uniform(0.05, 0.95, slot.shape)
        if dtype.is_complex and kind == "signed":
            numbers = numbers + 1j * source.standard_normal(slot.shape)
        return torch.as_tensor(numbers).to(self.device, dtype)


def kinds(slots: list[Slot]) -> Iterator[list[Kind]]:
    """Ranges to be tried one after the other, until all outputs are finite."""
    n = len(slots)
    yield ["signed"] * n
    for i, slot in enumerate(slots[:8]):
        if slot.drawn and n > 1:
            yield ["positive" if j == i else "signed" for j in range(n)]
    yield ["positive"] * n
    yield ["unit"] * n


def finite(outputs: Outputs) -> bool:
    return all(bool(t.isfinite().all()) for t in outputs)


def attempt(run: Operation, slots: list[Slot], call: Call, device: torch.device) -> Trial:
    """Draw operands twice and make the experiments.

    Raises
    ------
    NotTried
    """
    double, chosen, draws = usable(run, slots, device)
    for operands in draws:
        outputs, again = run(operands), run(operands)
        if [tuple(t.shape) for t in outputs] != [out.shape for out in call.outs]:
            raise NotTried("the shape of what it makes depends on the values in its operands")
        if not all(map(torch.equal, outputs, again)):
            raise NotTried("two equal runs of it differ")
    free = [not slot.constant for slot in slots]
    found = Experiments(run, draws, free, [kind == "signed" for kind in chosen]).trial()
    values = call.tensors()
    if len(set(values)) < len(values) and found.zero in ("biased", "every"):
        # These rules ask which operands carry an axis, and here one stands for several.
        found = replace(found, zero="never")
    if found.something and double:
        own = [
            [t.to(slot.dtype) for t, slot in zip(operands, slots, strict=True)]
            for operands in draws
        ]
        if not Experiments(run, own, free, [True] * len(slots)).agrees(found):
            raise NotTried("it does something else in its own precision")
    return found


def usable(
    run: Operation, slots: list[Slot], device: torch.device
) -> tuple[bool, list[Kind], list[Outputs]]:
    """A precision that the operator takes, ranges on which its outputs are finite, and draws."""
    problem, stand_ins = "it makes infinite numbers from random ones", Draws(slots, device)
    for double in (True, False):
        for chosen in kinds(slots):
            draws = [stand_ins.operands(chosen, number, double) for number in (0, 1)]
            try:
                if all(finite(run(operands)) for operands in draws):
                    return double, chosen, draws
            except NotTried:
                raise
            except Exception as error:
                said = f"{type(error).__name__}: {error}".splitlines()[0][:120]
                problem = f"it fails on random numbers ({said})"
    raise NotTried(problem)


Cache = dict[Any, Trial]
Trying = Callable[[Call], Trial]


def try_out(
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    bound: dict[str, Any],
    at: torch.device,
    cache: Cache,
) -> Trying:
    """A function that tries a recorded call out; nothing is done before it is called."""

    def trial(call: Call) -> Trial:
        try:
            device = torch.device("cpu") if at.type == "meta" else at
            run = Operation(func, args, kwargs, bound)
            values = call.tensors()
            check(run, call, values)
            slots = [slot_of(t, v) for t, v in zip(run.tensors, values, strict=True)]
            plain = {name: repr(list(without(value))) for name, value in bound.items()}
            equal = tuple(values.index(v) for v in values)
            key = func, tuple(slot.key for slot in slots), tuple(plain.items()), equal
            if key not in cache:
                cache[key] = safely(run, slots, call, device)
            return cache[key]
        except NotTried as reason:
            return Trial(failure=str(reason))

    return trial


def safely(run: Operation, slots: list[Slot], call: Call, device: torch.device) -> Trial:
    """What an attempt shows; whatever goes wrong in the operator is a reason not to rely on it."""
    try:
        with untouched(device):
            return attempt(run, slots, call, device)
    except NotTried as reason:
        return Trial(failure=str(reason))
    except Exception as error:
        return Trial(failure=f"it failed with {type(error).__name__} when it was run again")


def check(run: Operation, call: Call, values: list[Value]) -> None:
    """Raise `NotTried` where a call can not be understood from its outputs."""
    if call.name.rstrip("_") in STORAGE or call.name.startswith(STORAGE[:2]):
        raise NotTried("it is about how numbers lie in memory")
    if run.func.namespace in SENDING:
        raise NotTried("it waits for other processes")
    if run.writes and not run.in_place:
        raise NotTried("it writes into its operands")
    if not call.outs:
        raise NotTried("it returns no tensor")
    if [tuple(t.shape) for t in run.tensors] != [v.shape for v in values]:
        raise NotTried("its operands are packed in an unusual way")
    if sum(prod(v.shape) for v in (*values, *call.outs)) > ENTRIES:
        raise NotTried("its operands are too large")


def without(value: Any) -> Iterator[Any]:
    """An argument without its tensors."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from without(item)
    else:
        yield "tensor" if isinstance(value, torch.Tensor) else value
