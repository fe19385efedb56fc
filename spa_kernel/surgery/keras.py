"""Remove channels from a Keras model, in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from spa_kernel.errors import SpaError, VerificationFailed
from spa_kernel.frontends.backend import Change, Verification
from spa_kernel.frontends.keras.capture import Captured, functional, named_weights
from spa_kernel.frontends.keras.traced import Traced, stages
from spa_kernel.graph.ir import Value
from spa_kernel.surgery.after import After
from spa_kernel.surgery.journal import Entry, Journal
from spa_kernel.surgery.keras_copy import Copy, every_weight, written
from spa_kernel.surgery.keras_verify import agree, compare

FUNCTIONS = ("train_function", "test_function", "predict_function")
"""What Keras has compiled for the sizes that there were."""


class Content(Entry):
    """A variable's content in memory of its own: jax gives the memory of its arrays away."""

    __slots__ = ()

    def swap(self) -> None:
        content = np.array(keras.ops.convert_to_numpy(self.owner[self.key]))
        dtype = keras.backend.standardize_dtype(self.value.dtype)
        self.owner[self.key] = keras.ops.convert_to_tensor(self.value, dtype)
        self.value = content

    @property
    def nbytes(self) -> int:
        return int(self.value.nbytes)


class Written(Content):
    """A variable of TensorFlow that keeps its shape: it is written to, not replaced."""

    __slots__ = ()

    def swap(self) -> None:
        variable = self.owner[self.key]
        content = variable.numpy()
        variable.assign(self.value)
        self.value = content


class Surgeon:
    """One prune: a pruned copy is built, checked, and its sizes are written into the model.

    Keras itself works out what follows from a layer's new config: shapes of weights and symbolic
    tensors, specifications of inputs, attributes of inner layers.

    Parameters
    ----------
    model : keras.Model
    captured : Captured or None
        ``None`` where nothing is removed.
    after : After
    feeds : sequence of numpy.ndarray
    """

    def __init__(
        self, model: Any, captured: Captured | None, after: After, feeds: Sequence[np.ndarray]
    ) -> None:
        self.model = model
        self.captured = captured
        self.after = after
        self.feeds = feeds
        self.weights = every_weight(*stages(functional(model)))
        self.edits = self._edits()

    def _edits(self) -> dict[int, dict[str, Any]]:
        edits: dict[int, dict[str, Any]] = defaultdict(dict)
        for layer, want in self.captured.edits if self.captured else []:
            config = written(layer)
            for key, value in want(self.after).items():
                old = config[key]
                if value == (tuple(old) if isinstance(old, list) else old):
                    value = old
                if edits[id(layer)].setdefault(key, value) != value:
                    raise VerificationFailed(
                        f"{layer.name} is called several times and would need a {key} of its own "
                        "each time; the model is as it was before"
                    )
        return edits

    def value(self, variable: Any) -> Value | None:
        return self.captured.stored(variable) if self.captured else None

    def contents(self, masked: bool) -> list[np.ndarray]:
        """The weights after the prune: cut, or with zeros where something goes."""
        found = []
        for variable in self.weights:
            content, value = keras.ops.convert_to_numpy(variable), self.value(variable)
            if value is not None and masked:
                content = content.copy()
                for axis, mask in self.after.losses(value).items():
                    content[(slice(None),) * axis + (~mask,)] = 0
            elif value is not None:
                content = self.after.cut(value, content)
            found.append(content)
        return found

    def pruned(self, dtype: str | None) -> Any:
        """A copy of the model without the channels that go."""
        copy = Copy(self.model, self.edits, dtype)
        copy.fill(self.contents(masked=False))
        return copy.model

    def operate(self, verify: bool, settled: Callable[[], None]) -> tuple[Change, Verification]:
        """Prune the model; all or nothing.

        Raises
        ------
        SpaError
            The model is as it was.
        """
        assert self.captured is not None
        try:
            original = Copy(self.model, {}, "float32")
            pruned = Copy(self.model, self.edits, "float32")
            original.fill(self.contents(masked=True))
            pruned.fill(self.contents(masked=False))
        except (SpaError, ValueError) as error:
            raise VerificationFailed(f"{error}; the model is as it was before") from error
        verification = Verification(False, None, "not checked")
        if verify:
            verification = compare(self.captured, self.after, original, pruned, self.feeds)
        journal = Journal(after=settled)
        try:
            self._weights(journal)
            self._sizes(journal, original, pruned)
            self._training(journal)
            if verify:
                agree(self.model, pruned, self.feeds)
            settled()
        except BaseException:
            journal.undo()
            raise
        return journal, verification

    def _weights(self, journal: Journal) -> None:
        """Each variable stays the same object."""
        for variable in named_weights(self.model).values():
            value = self.value(variable)
            assert value is not None
            losses = self.after.losses(value)
            if keras.backend.backend() == "torch":
                self._tensor(journal, variable._value, losses)
            elif keras.backend.backend() == "tensorflow":
                self._variable(journal, variable, self.after.cut(value, variable._value.numpy()))
            else:
                content = keras.ops.convert_to_numpy(variable._value)
                content = Content(
                    variable.__dict__, "_value", np.array(self.after.cut(value, content))
                )
                content.swap()
                journal.entries.append(content)
            if losses:
                journal.set(variable.__dict__, "_shape", self.after.shape(value))

    @staticmethod
    def _tensor(journal: Journal, tensor: Any, losses: dict[int, np.ndarray]) -> None:
        import torch

        with torch.no_grad():
            if not losses:
                journal.keep(tensor, tensor.detach().clone())
                return
            content = tensor.detach()
            for axis, mask in losses.items():
                index = torch.from_numpy(np.flatnonzero(mask)).to(content.device)
                content = content.index_select(axis, index)
            journal.replace(tensor, content, None)

    @staticmethod
    def _variable(journal: Journal, variable: Any, content: np.ndarray) -> None:
        """A variable of TensorFlow has its shape for life: a smaller one takes its place."""
        own, before = variable.__dict__, variable._value
        if content.shape == tuple(before.shape):
            journal.entries.append(Written(own, "_value", before.numpy()))
            return
        variable._initialize(content)
        made, own["_value"] = own["_value"], before
        journal.set(own, "_value", made)

    def _sizes(self, journal: Journal, original: Copy, pruned: Copy) -> None:
        """Write into layers and symbolic tensors what differs between two copies."""
        for (layer, before), (same, now) in zip(original.pairs, pruned.pairs, strict=True):
            assert layer is same
            for key, value in now.__dict__.items():
                old = before.__dict__.get(key)
                if plain(value) and plain(old) and not alike(old, value):
                    journal.set(layer.__dict__, key, value)
            made_with = now.__dict__.get("_auto_config")
            if not isinstance(layer, keras.Layer) and made_with is not before._auto_config:
                journal.set(layer.__dict__, "_auto_config", made_with)
        tensors = zip(original.tensors(), pruned.tensors(), strict=True)
        for (tensor, before), (_, now) in tensors:
            if before.shape != now.shape:
                journal.set(tensor.__dict__, "_shape", now.shape)

    def _training(self, journal: Journal) -> None:
        """Compiled functions are compiled anew; an optimizer starts anew with its settings."""
        model = self.model.source if isinstance(self.model, Traced) else self.model
        for layer in model._flatten_layers():
            for name in FUNCTIONS:
                # Not compiled yet is noted as well: what is compiled later is for other sizes.
                if name in layer.__dict__:
                    journal.set(layer.__dict__, name, None)
        attributes = model.__dict__
        optimizer = attributes.get("optimizer")
        if optimizer is not None:
            other = Entry(
                attributes, "optimizer", type(optimizer).from_config(optimizer.get_config())
            )
            # One that has not been used yet will be, with the new sizes; it has no place before.
            if optimizer.built:
                other.swap()
            journal.entries.append(other)


def plain(value: Any) -> bool:
    """Whether a value is made of numbers, texts and specifications of inputs alone."""
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    if isinstance(value, dict):
        return all(plain(v) for v in value.values())
    return value is None or isinstance(value, int | float | str | keras.InputSpec)


def alike(a: Any, b: Any) -> bool:
    """Whether two plain values are the same."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(v, b[k]) for k, v in a.items())
    if isinstance(a, keras.InputSpec) and isinstance(b, keras.InputSpec):
        return alike(vars(a), vars(b))
    return bool(a == b)
