"""Remove channels from a Keras model, in place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from spa_kernel.errors import SpaError, VerificationFailed
from spa_kernel.frontends.backend import Change, Verification
from spa_kernel.frontends.keras.capture import Captured, functional
from spa_kernel.frontends.onnx.rewrites import After
from spa_kernel.graph.ir import Value
from spa_kernel.surgery.journal import Entry, Journal
from spa_kernel.surgery.keras_copy import Copy
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
        self.weights: list[Any] = functional(model).weights
        self.edits = self._edits()

    def _edits(self) -> dict[int, dict[str, Any]]:
        edits: dict[int, dict[str, Any]] = defaultdict(dict)
        for layer, want in self.captured.edits if self.captured else []:
            config = layer.get_config()
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
        for variable in self.weights:
            value = self.value(variable)
            assert value is not None
            losses = self.after.losses(value)
            if keras.backend.backend() == "torch":
                self._tensor(journal, variable._value, losses)
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

    def _sizes(self, journal: Journal, original: Copy, pruned: Copy) -> None:
        """Write into layers and symbolic tensors what differs between two copies."""
        for (layer, before), (same, now) in zip(original.pairs, pruned.pairs, strict=True):
            assert layer is same
            for key, value in now.__dict__.items():
                old = before.__dict__.get(key)
                if plain(value) and plain(old) and not alike(old, value):
                    journal.set(layer.__dict__, key, value)
        tensors = zip(original.tensors(), pruned.tensors(), strict=True)
        for (tensor, before), (_, now) in tensors:
            if before.shape != now.shape:
                journal.set(tensor.__dict__, "_shape", now.shape)

    def _training(self, journal: Journal) -> None:
        """Compiled functions are compiled anew; an optimizer starts anew with its settings."""
        attributes = self.model.__dict__
        for name in FUNCTIONS:
            if attributes.get(name) is not None:
                journal.set(attributes, name, None)
        optimizer = attributes.get("optimizer")
        if optimizer is not None and optimizer.built:
            journal.set(
                attributes, "optimizer", type(optimizer).from_config(optimizer.get_config())
            )


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
