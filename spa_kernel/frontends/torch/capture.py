"""From a torch module to a standard graph."""

from __future__ import annotations

import random
import sys
import textwrap
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from math import prod
from operator import is_not
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.torch.attributes import tracked_attributes
from spa_kernel.frontends.torch.passes import OTHERS, Inputs, candidates, training, ways_not_taken
from spa_kernel.frontends.torch.recorder import DependsOnData, Recorder
from spa_kernel.frontends.torch.tracked import EQUALS
from spa_kernel.frontends.torch.tracker import Tracker

PATIENCE = 2
"""Further forwards in a row that reach nothing new before no more are tried, if they are dear."""

DEAR = 2e7
"""Numbers that a dear forward computes."""


def normalise_inputs(inputs: Any, device: torch.device, dtype: torch.dtype) -> Inputs:
    """Positional and keyword inputs from what a person passed.

    A tensor, a tuple of them, a dict of keywords, or shapes; numpy arrays are taken too.

    Raises
    ------
    CaptureError
        Where no inputs were given or they are of an unknown kind.
    """
    if inputs is None:
        raise CaptureError(
            "an example input is needed to read the model; pass inputs=tensor, a tuple of "
            "tensors, a dict of keywords, or a shape such as (1, 3, 224, 224)"
        )
    if isinstance(inputs, Mapping):
        return (), {k: _tensor(v, device, dtype) for k, v in inputs.items()}
    if is_shape(inputs):
        return (_tensor(inputs, device, dtype),), {}
    if isinstance(inputs, tuple):
        return tuple(_tensor(v, device, dtype) for v in inputs), {}
    return (_tensor(inputs, device, dtype),), {}


def is_shape(value: Any) -> bool:
    """Whether this is a shape: a non-empty tuple or list of positive integers."""
    return (
        isinstance(value, tuple | list)
        and len(value) > 0
        and all(type(n) is int and n > 0 for n in value)
    )


def _tensor(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if is_shape(value):
        generator = torch.Generator().manual_seed(0)
        return torch.randn(tuple(value), generator=generator).to(device, dtype)
    if type(value).__module__ == "numpy":
        return torch.from_numpy(value).to(device)
    if isinstance(value, Sequence) and not isinstance(value, str):
        kind: Any = type(value)
        return kind(_tensor(v, device, dtype) for v in value)
    return value


@contextmanager
def unchanged(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Take back what a forward writes into its modules: caches, counters, attributes, hooks."""
    before = [(m.__dict__, m.__dict__.copy()) for m in modules]
    containers = [
        (value, value.copy())
        for _, attributes in before
        for value in attributes.values()
        if type(value) in (dict, list, set, OrderedDict)
    ]
    try:
        yield
    finally:
        for present, attributes in before:
            for name in [n for n in present if n not in attributes]:
                del present[name]
            for name, value in attributes.items():
                if present.get(name, present) is not value:
                    present[name] = value
        for container, copy in containers:
            if (
                len(container) != len(copy)
                or any(map(is_not, container, copy))
                or (
                    isinstance(container, dict)
                    and any(map(is_not, container.values(), copy.values()))
                )
            ):
                container.clear()
                (container.extend if type(container) is list else container.update)(copy)


def uncompiled() -> AbstractContextManager[Any]:
    """Run functions that were wrapped by ``torch.compile`` as they are written.

    Importing the compiler takes seconds; where nothing has done so, nothing was wrapped.
    """
    if "torch._dynamo" in sys.modules:
        return torch.compiler.set_stance("force_eager")
    return nullcontext()


@contextmanager
def quiet_eval(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, no fused shortcuts; everything is put back afterwards."""
    modules = list(model.modules())
    modes = [m for m in modules if m.training]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        for module in modes:
            module.training = False
        torch.backends.mha.set_fastpath_enabled(False)
        with (
            torch.no_grad(), unchanged(modules), uncompiled(), warnings.catch_warnings(),
            sdpa_kernel(SDPBackend.MATH),
        ):  # fmt: skip
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module in modes:
            module.training = True


@contextmanager
def seeded() -> Iterator[None]:
    """What a forward draws at random is the same every time; the states are put back afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    # A seed is given to all devices. Asking for their states would start those not in use.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            np.random.seed(0)
            random.seed(0)
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


@contextmanager
def current_module(model: nn.Module, recorder: Recorder) -> Iterator[None]:
    """Tell the recorder which module is running.

    By standing in for ``Module.__call__`` for a while: a hook would take every module off its
    fast path.
    """
    names = {id(module): name for name, module in model.named_modules()}
    every: Any = nn.Module
    call = every.__call__

    def watched(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        outer = recorder.module
        recorder.module = names.get(id(self), outer)
        try:
            return call(self, *args, **kwargs)
        except Exception:
            recorder.failed = recorder.failed or recorder.module
            raise
        finally:
            recorder.module = outer

    every.__call__ = watched
    try:
        yield
    finally:
        every.__call__ = call


@contextmanager
def watched(model: nn.Module, recorder: Recorder) -> Iterator[None]:
    """A forward can be read: quietly, with its modules and attributes told to the recorder."""
    with quiet_eval(model), current_module(model, recorder), tracked_attributes(model):
        yield


def device_of(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and floating point type of the model's first parameter."""
    for tensor in chain(model.parameters(), model.buffers()):
        if tensor.dtype.is_floating_point:
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def record(model: nn.Module, inputs: Inputs, like: Recorder | None = None) -> Recorder:
    """Record the model's forward on these inputs.

    On meta tensors; where the forward's Python code asks for numbers, once more for real.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : tuple
    like : Recorder, optional
        An earlier recording: values are computed if they were there, and what was decided by
        them is decided in the same way.

    Raises
    ------
    CaptureError
        Where the forward fails on these inputs.
    """
    why = "it needs them"
    if like is None or not like.real:
        try:
            return _record(model, inputs, Recorder(model), like)
        except DependsOnData as asked:
            why = f"it looks at them, first in {asked}"
        except CaptureError as error:
            # Some code cannot do without real numbers or a real device; what is really wrong
            # with the inputs shows again below.
            said = f"{type(error.__cause__).__name__}: {error.__cause__}"
            why = f"it does not run without them ({textwrap.shorten(said, 120)})"
    recorder = Recorder(model, True, like.decisions if like else None)
    _record(model, inputs, recorder, like)
    recorder.graph.notes.append(f"The forward was read on real values, as {why}.")
    if recorder.decisions.places:
        places = ", ".join(list(recorder.decisions.places)[:3])
        more = " and elsewhere" if len(recorder.decisions.places) > 3 else ""
        recorder.graph.notes.append(
            f"The example input decided what happens in {places}{more}; another input may go "
            "another way there."
        )
    return recorder


def _record(
    model: nn.Module, inputs: Inputs, recorder: Recorder, like: Recorder | None
) -> Recorder:
    args, kwargs = inputs
    device, _ = device_of(model)
    args, kwargs = declared(recorder, args), declared(recorder, kwargs)
    tracker = Tracker(recorder, device)
    with watched(model, recorder), seeded():
        try:
            with recorder, tracker:
                outputs = tensors_in(model(*args, **kwargs))
        except DependsOnData:
            raise
        except Exception as error:
            where = repr(recorder.failed) if recorder.failed else "its own code"
            raise CaptureError(
                f"the forward of {type(model).__name__} fails in {where} on inputs of shape "
                f"{shapes(inputs)}: {type(error).__name__}: {error}. Pass inputs that the model "
                "accepts."
            ) from error
        outputs += _further(model, inputs, recorder, tracker, like)
    recorder.graph.equals = list(dict.fromkeys(EQUALS))
    recorder.results = [tuple(t.shape) for t in outputs]
    for tensor in outputs:
        value = recorder.value_of(tensor)
        if value is not None:
            recorder.graph.outputs.append(value)
    unused = recorder.unused()
    if unused and recorder.decisions.places:
        for node in ways_not_taken(recorder.graph, unused):
            recorder.add(node)
    recorder.finish()
    if unused:
        recorder.graph.notes.append(
            f"With this input the forward does not use {named(unused)}: these stay as they are, "
            "and what else uses them may not fit the rest after a prune."
        )
    if not recorder.graph.outputs:
        raise CaptureError(
            f"the forward of {type(model).__name__} returns no tensor that depends on its input"
        )
    return recorder


def declared(recorder: Recorder, value: Any, name: str = "") -> Any:
    """Inputs as the recorder hands them to the forward."""
    if isinstance(value, torch.Tensor):
        return recorder.add_input(name or f"input{len(recorder.graph.inputs)}", value)
    if isinstance(value, Mapping):
        return {k: declared(recorder, v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(declared(recorder, v) for v in value)
    return value


def _further(
    model: nn.Module, inputs: Inputs, recorder: Recorder, tracker: Tracker, like: Recorder | None
) -> list[torch.Tensor]:
    """Record forwards that reach what the first one does not use; the outputs of those kept."""
    outputs: list[torch.Tensor] = []
    decided, fruitless = bool(recorder.decisions.places), 0
    made_so_far = sum(prod(v.shape) for node in recorder.graph.nodes for v in node.outputs)
    patience = PATIENCE if made_so_far > DEAR else OTHERS
    for one in like.passes if like is not None else candidates(decided):
        unused = recorder.unused()
        if like is None and (not unused or fruitless == patience):
            break
        mark = recorder.mark()
        back = training(model) if one.training else None
        try:
            args, kwargs = declared(recorder, one.inputs(inputs))
            with recorder, tracker:
                made = tensors_in(model(*args, **kwargs))
        except Exception as error:
            # A loss may need targets, for one. What stays unused is said in a note.
            recorder.forget(mark)
            if like is not None:
                said = f"{type(error).__name__}: {error}"
                raise CaptureError(
                    f"the forward of {type(model).__name__} fails in training mode or on other "
                    f"inputs, as it did not before: {said}"
                ) from error
            fruitless += 1
            continue
        finally:
            if back is not None:
                back()
        if like is None and len(recorder.unused()) == len(unused):
            recorder.forget(mark)
            fruitless += 1
            continue
        fruitless = 0
        recorder.passes.append(one)
        outputs += made
        if recorder.graph.evaluated is None:
            recorder.graph.evaluated = mark.nodes
    return outputs


def tensors_in(value: Any) -> list[torch.Tensor]:
    """All tensors in an output: tuples, dictionaries, dataclasses."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in tensors_in(v)]
    if isinstance(value, list | tuple):
        return [t for v in value for t in tensors_in(v)]
    if hasattr(value, "__dataclass_fields__"):
        return [t for name in value.__dataclass_fields__ for t in tensors_in(getattr(value, name))]
    return []


def named(names: list[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - 3} other parameters" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def shapes(inputs: Inputs) -> str:
    """The inputs' shapes, for a message."""
    args, kwargs = inputs
    described = [str(tuple(t.shape)) for t in tensors_in(args)]
    described += [f"{k}={tuple(v.shape)}" for k, v in kwargs.items() if isinstance(v, torch.Tensor)]
    return ", ".join(described) or "()"
