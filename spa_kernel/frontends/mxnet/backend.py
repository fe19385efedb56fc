"""Gluon blocks behind the interface that a session works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import (
    CaptureError,
    InfeasibleTarget,
    SpaError,
    StaleSession,
    VerificationFailed,
)
from spa_kernel.frontends.backend import Backend, Change, Timed, Verification
from spa_kernel.frontends.mxnet import mx
from spa_kernel.frontends.mxnet.change import GluonChange, GluonTimed
from spa_kernel.frontends.mxnet.comparing import (
    agree,
    convolutions,
    difference,
    for_batches,
    same,
)
from spa_kernel.frontends.mxnet.exported import exported, leaves, traced
from spa_kernel.frontends.mxnet.inputs import SUFFIX, batches, given_inputs, opened
from spa_kernel.frontends.mxnet.sizes import Swaps, forget, resize
from spa_kernel.frontends.onnx.backend import OnnxBackend
from spa_kernel.graph.ir import Graph


class GluonBackend(Backend):
    """A Gluon block, which is edited in place.

    MXNet's own exporter writes it as an ONNX model, which is what is analysed and pruned; what was
    done to the model is then done to the block.

    Parameters
    ----------
    model : mxnet.gluon.Block, or path of a file ``...-symbol.json``
    inputs : array, shape, or sequence of these

    Raises
    ------
    CaptureError
    """

    framework = "mxnet"

    def __init__(self, model: Any, inputs: Any = None) -> None:
        self.model = opened(model)
        if mx.util.is_np_array():
            raise CaptureError("MXNet's NumPy arrays are switched on: call mx.npx.reset_np() first")
        self._inputs = given_inputs(self.model, inputs)
        expected, model = self._run(self._inputs), self._export()
        try:
            agree(expected, model, self._inputs)
        except Exception as error:
            raise CaptureError(
                f"MXNet's exporter does not get {self._called} right: {error}"
            ) from error
        model = for_batches(model, self._inputs, self._run)
        self._twin = OnnxBackend(model, self._inputs)
        # What the exporter writes with other content, such as factors of norms that have none.
        self._plain = {
            name for name, array in self._stored().items() if same(array, self._content(name))
        }
        self._signature = self._sizes()

    def capture(self) -> Graph:
        return self._synced().capture()

    def array(self, name: str) -> np.ndarray:
        if name not in self._plain:
            return self._twin.array(name)
        content = self._content(name)
        return content.astype(np.float64 if content.dtype == np.float64 else np.float32)

    def apply(
        self, coupling: Coupling, removed: np.ndarray, *, verify: bool = True, optimizer: Any = None
    ) -> tuple[Change, Verification]:
        if optimizer is not None:
            raise InfeasibleTarget(
                "the state of a Trainer of MXNet is not cut: prune without optimizer= and make the "
                "Trainer anew, gluon.Trainer(net.collect_params(), ...)"
            )
        self.check()
        change, verification = self._synced().apply(coupling, removed, verify=verify)
        swaps, pruned = Swaps(), self._twin.model
        try:
            resize(self.model, self._contents(pruned), convolutions(pruned), swaps)
            self._compare()
            if verify:
                agree(self._run(self._inputs), self._twin.model, self._inputs)
        except BaseException as error:
            swaps.swap()
            forget(self.model)
            change.undo()
            self._settled()
            if isinstance(error, VerificationFailed) or not isinstance(error, Exception):
                raise
            raise VerificationFailed(
                f"{self._called} does not run with these numbers, so it was put back as it was: "
                f"{error}"
            ) from error
        self._settled()
        if verify:
            how = f"{verification.how}; what MXNet computes against the pruned ONNX model"
            verification = Verification(verification.ok, verification.error, how)
        return GluonChange(self.model, swaps, change, self.check, self._settled), verification

    def follows(self, coupling: Coupling, removed: np.ndarray) -> SpaError | None:
        try:
            change, _ = self.apply(coupling, removed, verify=False)
        except SpaError as error:
            return error
        change.undo()
        return None

    @property
    def given(self) -> Any:
        return list(self._inputs.values())

    def statistic(
        self,
        name: str,
        coupling: Coupling,
        data: Any = None,
        loss: Any = None,
        seed: int = 0,
        foreign: bool = False,
    ) -> Any:
        return self._synced().statistic(name, coupling, batches(data), loss, seed, foreign)

    def synthetic(self, coupling: Coupling, seed: int = 0) -> Any:
        return self._synced().synthetic(coupling, seed)

    def reconstruction(
        self, coupling: Coupling, data: Any, foreign: bool
    ) -> Callable[[np.ndarray], list[str]]:
        mend = self._synced().reconstruction(coupling, batches(data), foreign)

        def mended(removed: np.ndarray) -> list[str]:
            notes = mend(removed)
            for name, array in self._stored().items():
                self.model.collect_params()[name].set_data(mx.nd.array(array, dtype=array.dtype))
            return notes

        return mended

    def timed(self, coupling: Coupling | None = None, removed: np.ndarray | None = None) -> Timed:
        self.check()
        names, parameters = list(self._inputs), self.model.collect_params()
        twin = self._synced().model
        copy = mx.gluon.SymbolBlock(self._symbol(), [mx.sym.var(name) for name in names])
        for name, parameter in copy.collect_params().items():
            source = parameters[name]
            parameter._load_init(source.data(), source.list_ctx())
        if coupling is not None and removed is not None:
            pruned = onnx.ModelProto()
            pruned.CopyFrom(twin)
            OnnxBackend(pruned, self._inputs).apply(coupling, removed, verify=False)
            resize(copy, self._stored(pruned), convolutions(pruned), Swaps())
        return GluonTimed(copy, self._arrays(self._inputs))

    def check(self) -> None:
        now = self._sizes()
        names = [n for n in {**now, **self._signature} if now.get(n) != self._signature.get(n)]
        if names:
            raise StaleSession(
                f"{self._called} was changed from outside since it was analysed: "
                f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''} came, went, or "
                "have another shape or type. Analyse the block again."
            )

    def snapshot(self) -> bytes:
        content = BytesIO()
        arrays: dict[str, Any] = {name: self._content(name) for name in self._sizes()}
        np.savez(content, allow_pickle=False, **arrays)
        return content.getvalue()

    def restore(self, content: bytes) -> None:
        with np.load(BytesIO(content), allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
        sizes = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
        own = self._sizes()
        wrong = [name for name in {**own, **sizes} if own.get(name) != sizes.get(name)]
        if wrong:
            raise SpaError(
                f"the saved tensors do not fit {self._called}: {', '.join(wrong[:3])}. Load into a "
                "block that is built as the saved one was, with the same prefix=, before any prune"
            )
        parameters = self.model.collect_params()
        for name, array in arrays.items():
            parameters[name].set_data(mx.nd.array(array, dtype=array.dtype))

    def example(self) -> bytes:
        content = BytesIO()
        parts: dict[str, Any] = {str(at): a for at, a in enumerate(self._inputs.values())}
        np.savez(content, allow_pickle=False, **parts)
        return content.getvalue()

    @staticmethod
    def open_example(content: bytes) -> Any:
        with np.load(BytesIO(content), allow_pickle=False) as saved:
            return [saved[str(at)] for at in range(len(saved.files))]

    def as_onnx(self) -> onnx.ModelProto:
        return self._synced().model

    def as_torch(self) -> Any:
        return self._synced().as_torch()

    @property
    def feeds(self) -> Any:
        return self._inputs

    def export(self, path: Path) -> None:
        """As MXNet's own files where the name ends in ``-symbol.json``, else as ONNX."""
        if not path.name.endswith(SUFFIX):
            self._synced().export(path)
            return
        symbol, stored = self._symbol(), {}
        kinds = dict.fromkeys(symbol.list_auxiliary_states(), "aux")
        for name in symbol.list_inputs():
            if name not in self._inputs:
                data = self.model.collect_params()[name].data()
                stored[f"{kinds.get(name, 'arg')}:{name}"] = data
        symbol.save(str(path))
        mx.nd.save(str(path).removesuffix(SUFFIX) + "-0000.params", stored)

    @property
    def _called(self) -> str:
        return type(self.model).__name__

    def _symbol(self) -> Any:
        return traced(self.model, list(self._inputs))

    def _arrays(self, inputs: Mapping[str, np.ndarray]) -> list[Any]:
        first = next(iter(self.model.collect_params().values()), None)
        context = mx.current_context() if first is None else first.list_ctx()[0]
        return [mx.nd.array(a, ctx=context, dtype=a.dtype) for a in inputs.values()]

    def _run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs in inference; parameters whose shapes were left open get them."""
        try:
            return [output.asnumpy() for output in leaves(self.model(*self._arrays(inputs)))]
        except Exception as error:
            raise CaptureError(f"{self._called} fails on the example input: {error}") from error

    def _export(self) -> onnx.ModelProto:
        """The block as it is now."""
        try:
            symbol = self._symbol()
        except Exception as error:
            raise CaptureError(
                f"{self._called} cannot be traced: {error}. Only what can be hybridized can be read"
            ) from error
        used, parameters = symbol.list_inputs(), self.model.collect_params()
        inputs = {name: self._inputs[name] for name in used if name in self._inputs}
        known = {name: p for name, p in parameters.items() if name in used}
        several = [name for name, p in known.items() if len(p.list_ctx()) > 1]
        if several:
            raise CaptureError(
                f"{several[0]} lies on several devices: call net.collect_params().reset_ctx(...)"
            )
        return exported(symbol, {name: p.data() for name, p in known.items()}, inputs)

    def _content(self, name: str) -> np.ndarray:
        content: np.ndarray = self.model.collect_params()[name].data().asnumpy()
        return content

    def _sizes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        # Without those that no forward has asked for yet.
        arrays = {n: p.data() for n, p in self.model.collect_params().items() if p._data}
        return {n: (array.shape, str(np.dtype(array.dtype))) for n, array in arrays.items()}

    def _settled(self) -> None:
        self._signature = self._sizes()

    def _stored(self, model: onnx.ModelProto | None = None) -> dict[str, np.ndarray]:
        """What an ONNX model holds of the block's parameters."""
        names = self.model.collect_params()
        tensors = (model or self._twin.model).graph.initializer
        return {t.name: numpy_helper.to_array(t) for t in tensors if t.name in names}

    def _synced(self) -> OnnxBackend:
        """The ONNX model, with the weights that the block has now."""
        self.check()
        for tensor in self._twin.model.graph.initializer:
            if tensor.name in self._plain:
                tensor.CopyFrom(numpy_helper.from_array(self._content(tensor.name), tensor.name))
        return self._twin

    def _contents(self, pruned: onnx.ModelProto) -> dict[str, np.ndarray]:
        """What all of the block's parameters have to become, in arrays of their own.

        Those that stay as they are as well: what is trained later must not reach the old ones.
        """
        return {name: self._content(name) for name in self._sizes()} | self._stored(pruned)

    def _compare(self) -> None:
        """Whether the block, exported anew, is the pruned model."""
        try:
            found = self._export()
        except CaptureError as error:
            raise VerificationFailed(
                f"{self._called} does not follow, so it was put back as it was: {error}"
            ) from error
        del found.graph.input[:]
        found.graph.input.extend(self._twin.model.graph.input)
        different = difference(self._twin.model, found, self._inputs)
        if different:
            raise VerificationFailed(
                f"{self._called} does not follow at {different}, so it was put back as it was"
            )
