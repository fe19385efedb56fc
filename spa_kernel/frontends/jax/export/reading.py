"""Goes through a jaxpr and writes its equations one after another."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from spa_kernel.errors import SpaError
from spa_kernel.frontends.jax.capture import ROOM, evaluated, source
from spa_kernel.frontends.jax.elementwise import ENTRYWISE
from spa_kernel.frontends.jax.export.call import Call, written
from spa_kernel.frontends.jax.export.sizes import Bound, Size, broadcast, known, merged
from spa_kernel.frontends.jax.export.tensors import Sheet, Tensor, constant, total
from spa_kernel.frontends.jax.model import is_numeric

SELF_MADE = ("broadcast_in_dim", "iota", "custom_jvp_call", "custom_vjp_call")
"""What is told from its parameters alone, or calls other jaxprs."""


class Reading:
    """The equations of a function, traced with two sizes of the batch (or one, twice).

    Parameters
    ----------
    sheet : Sheet
        Where they are written.
    stored : set of str
        Names of tensors that are stored; what reads one of them is named after it.
    """

    def __init__(self, sheet: Sheet, stored: set[str]) -> None:
        self.sheet, self._stored = sheet, stored
        self._source = ""

    def read(self, closed: ClosedJaxpr, twin: ClosedJaxpr, operands: list[Tensor]) -> list[Tensor]:
        """What a jaxpr returns.

        Raises
        ------
        Bound
            The two do different things.
        SpaError
        """
        env: dict[Any, Tensor] = {}
        consts = zip(closed.jaxpr.constvars, closed.consts, twin.consts, strict=False)
        for var, content, other in consts:
            env[var] = known_content(content, other, var.aval)
        env.update(zip(closed.jaxpr.invars, operands, strict=True))

        def operand(atom: Any, other: Any) -> Tensor:
            return self._literal(atom, other) if isinstance(atom, Literal) else env[atom]

        if len(closed.jaxpr.eqns) != len(twin.jaxpr.eqns):
            raise Bound("the code does something else for another size of the batch")
        for eqn, same in zip(closed.jaxpr.eqns, twin.jaxpr.eqns, strict=True):
            if eqn.primitive is not same.primitive:
                raise Bound(f"{eqn.primitive} turned into {same.primitive}")
            atoms = zip(eqn.invars, same.invars, strict=True)
            results = self._equation(eqn, same, [operand(a, b) for a, b in atoms])
            env.update(zip(eqn.outvars, results, strict=True))
        ends = zip(closed.jaxpr.outvars, twin.jaxpr.outvars, strict=True)
        return [operand(atom, other) for atom, other in ends]

    def _literal(self, atom: Any, other: Any) -> Tensor:
        """What is written in a jaxpr; a number may follow the size of the batch."""
        value = merged(*(np.asarray(a.val).tolist() for a in (atom, other)))
        if isinstance(value, Size):
            number = self.sheet.reshape(self.sheet.size(value), ())
            return self.sheet.cast(number, atom.aval.dtype)
        return constant(atom.val, atom.aval.dtype)

    def _equation(self, eqn: Any, same: Any, operands: list[Tensor]) -> list[Tensor]:
        self._source = source(eqn) or self._source
        for tensor in operands:
            if tensor.name in self._stored:
                self.sheet.place = tensor.name.rpartition(".")[0]
        call = Call(self, eqn, same, operands, self._source)
        if all(t.array is not None for t in operands) and call.name not in SELF_MADE:
            folded = fold(call)
            if folded is not None:
                return folded
        try:
            return written(call)
        except SpaError as error:
            # It may be that no output needs it; if one does, what came first is named.
            first = next((t.made for t in operands if t.made[0] == "Refused"), ("Refused", error))
            return [Tensor(shape, np.dtype(object), made=first) for shape in call.outs()]


def known_content(content: Any, other: Any, aval: Any) -> Tensor:
    if not is_numeric(content):
        return Tensor(tuple(aval.shape), np.dtype(object))
    if not np.array_equal(np.asarray(content), np.asarray(other)):
        raise Bound("a table of the code is another one for another size of the batch")
    return constant(np.asarray(content))


def fold(call: Call) -> list[Tensor] | None:
    """What an equation of known operands makes; ``None`` where it must be written."""
    if next(iter(jax.extend.core.jaxprs_in_params(call.eqn.params)), None) is not None:
        return None
    arrays = [t.array for t in call.operands if t.array is not None]
    if call.name in ENTRYWISE:
        shape = known(broadcast(*(a.shape for a in arrays)))
        if np.prod(shape) > ROOM:
            return None
        arrays = [np.broadcast_to(a, shape) for a in arrays]
    else:
        outs = call.outs()
        slots = [call.shape(i) for i in range(len(arrays))]
        if any(isinstance(n, Size) for shape in (*outs, *slots) for n in shape):
            return None
        if sum(map(total, outs)) > ROOM:
            return None
        arrays = [np.broadcast_to(a, known(s)) for a, s in zip(arrays, slots, strict=True)]
    results = evaluated(call.eqn, arrays)
    return None if results is None else [constant(r) for r in results]
