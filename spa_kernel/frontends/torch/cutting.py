"""Leave indices out of tensors, or put zeros there, and compare what an operator makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from spa_kernel.graph.ops_probed import Place

Outputs = list[torch.Tensor]
Cut = dict[Place, torch.Tensor]
"""Per axis a bool mask of the indices that stay."""

ROUNDING = {
    torch.float64: 1e-12, torch.complex128: 1e-12, torch.float32: 1e-5, torch.complex64: 1e-5,
}  # fmt: skip
"""Allowed relative difference; types that are not listed must agree bit for bit."""
ROUGH = {**dict.fromkeys(ROUNDING, 1e-3), torch.float16: 0.1, torch.bfloat16: 0.5}


def some(n: int, seed: int) -> torch.Tensor:
    """A random choice of the indices, neither none of them nor all."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    kept = torch.zeros(n, dtype=torch.bool)
    kept[order[: max(1, n // 2)]] = True
    return kept


def few(n: int) -> torch.Tensor:
    """Three indices."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(n))
    return torch.zeros(n, dtype=torch.bool).index_fill(0, order[:3], True)


def halves(n: int, brief: bool = False) -> Iterator[torch.Tensor]:
    """Choices among n indices that tell every two of them apart, both ways.

    ``brief``: only so many that each index is in some of them, and left out of others.
    """
    index = torch.arange(n)
    bits = range(1 if brief else (n - 1).bit_length())
    for kept in (*((index >> bit) % 2 == 1 for bit in bits), some(n, n)):
        yield kept
        yield ~kept
    if n > 2 and not brief:
        yield index > 0
        yield index < n - 1
        yield index == n // 2


def along(entries: torch.Tensor, axis: int) -> torch.Tensor:
    """Per index of an axis, whether any entry there is true."""
    rows = entries.movedim(axis, 0).flatten(1) if entries.ndim > 1 else entries[:, None]
    return rows.any(1).cpu()


def blank(tensor: torch.Tensor, number: int, cut: Cut) -> torch.Tensor:
    """An operand with zeros at the indices that go; whole numbers stay."""
    if not (tensor.dtype.is_floating_point or tensor.dtype.is_complex):
        return tensor
    for (i, axis), kept in cut.items():
        if i == number:
            gone = (~kept).nonzero().flatten().to(tensor.device)
            tensor = tensor.index_fill(axis, gone, 0)
    return tensor


def shorter(tensor: torch.Tensor, number: int, cut: Cut) -> torch.Tensor:
    """An operand without the indices that go.

    The memory behind it is as large as before and holds no numbers, so that an operator that
    does not look at the size reads that, and shows it.
    """
    short = select(tensor, {axis: kept for (i, axis), kept in cut.items() if i == number})
    if short is tensor:
        return tensor
    plain = tensor.dtype.is_floating_point or tensor.dtype.is_complex
    room = torch.full(
        (tensor.numel(),), float("nan") if plain else 0, dtype=tensor.dtype, device=tensor.device
    )
    room[: short.numel()] = short.flatten()
    return room[: short.numel()].view(short.shape)


def select(tensor: torch.Tensor, masks: dict[int, torch.Tensor]) -> torch.Tensor:
    for axis, kept in masks.items():
        tensor = tensor.index_select(axis, kept.nonzero().flatten().to(tensor.device))
    return tensor


def alike(whole: Outputs, got: Outputs, cut: Cut, rounding: dict[torch.dtype, float]) -> bool:
    """Whether outputs are those of the whole operands without the indices that go."""
    if not whole or len(whole) != len(got):
        return False
    for o, (full, short) in enumerate(zip(whole, got, strict=True)):
        wanted = select(full, {axis: kept for (number, axis), kept in cut.items() if number == o})
        if wanted.shape != short.shape or wanted.dtype != short.dtype:
            return False
        if not torch.equal(wanted, short) and not close(wanted, short, rounding):
            return False
    return True


def close(wanted: torch.Tensor, got: torch.Tensor, rounding: dict[torch.dtype, float]) -> bool:
    """Whether two tensors of one shape differ by no more than rounding."""
    share = rounding.get(wanted.dtype)
    if share is None:
        return False
    size = wanted.abs()
    return bool(((wanted - got).abs() <= share * (size + size.median())).all())
