"""Operators that look up, scatter, cut windows or shuffle: each relation against the operator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from test_operators import Function, array, check

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph import Value

DATA = st.data()


@given(DATA, st.sampled_from(["sort", "topk", "cumprod", "cummax"]))
def test_one_axis_is_worked_through(data: st.DataObject, name: str) -> None:
    axis = data.draw(st.integers(0, 2))
    function = {
        "sort": lambda x: tuple(torch.sort(x, axis)),
        "topk": lambda x: tuple(torch.topk(x, 2, axis)),
        "cumprod": lambda x: torch.cumprod(x, axis),
        "cummax": lambda x: torch.cummax(x, axis)[0],
    }[name]
    op = {"sort": "Sort", "topk": "TopK", "cumprod": "CumProd", "cummax": "CumMax"}[name]
    check(data, op, function, [array(3, 4, 2)], axes=(axis,))


@given(DATA)
def test_gather_and_scatter(data: st.DataObject) -> None:
    index = torch.tensor([[2, 0, 1, 2], [0, 0, 1, 1]])[:, :, None].expand(2, 4, 3)
    x, y = array(2, 3, 3), array(2, 4, 3)
    check(data, "GatherElements", lambda x, i: x.gather(1, i), [x, index], axis=1)
    check(data, "ScatterElements", lambda x, i, y: x.scatter_add(1, i, y), [x, index, y], axis=1)


@given(DATA)
def test_adding_slices(data: st.DataObject) -> None:
    at = torch.tensor([0, 2, 2])
    x, slices = array(2, 4, 3), array(2, 3, 3)
    check(data, "IndexAdd", lambda x, i, s: x.index_add(1, i, s), [x, at, slices], axis=1)


@given(DATA, st.booleans())
def test_several_tables(data: st.DataObject, apart: bool) -> None:
    i, j = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 2])
    indexed = (0, 2) if apart else (0, 1)
    where = (i, slice(None), j) if apart else (i, j)
    x = array(2, 3, 3, 2)
    check(data, "IndexGet", lambda x: x[where], [x], indexed=indexed)
    put = array(*x[where].shape)

    def write(x: torch.Tensor, put: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[where] = put
        return x

    check(data, "IndexPut", write, [x, put], indexed=indexed, width=1)


@given(DATA)
def test_windows(data: st.DataObject) -> None:
    x = array(2, 3, 4, 4)
    check(data, "Unfold", lambda x: F.unfold(x, 2, stride=2), [x], window=4)
    columns = F.unfold(x, 2, stride=2)
    check(data, "Fold", lambda c: F.fold(c, (4, 4), 2, stride=2), [columns], window=4)
    check(data, "SpaceToDepth", lambda x: F.pixel_unshuffle(x, 2), [x], blocksize=2)


@given(DATA)
def test_channel_shuffle(data: st.DataObject) -> None:
    check(data, "ChannelShuffle", lambda x: F.channel_shuffle(x, 2), [array(2, 6, 2, 2)], parts=2)


@given(DATA)
def test_channels_for_each_bin(data: st.DataObject) -> None:
    boxes = array(2, 5)

    def pooled(x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        means = x.mean((2, 3)).view(len(x), -1, 2, 2)
        return means[:1] * boxes.sum(1).view(-1, 1, 1, 1)

    check(data, "RoiAlign", pooled, [array(2, 12, 3, 3), boxes], bins=True)


@given(DATA, st.sampled_from([1, 2]))
def test_deformable_convolution(data: st.DataObject, parts: int) -> None:
    x, weight, bias, offset = array(2, 4, 3, 3), array(3, 4, 1, 1), array(3), array(2, parts, 3, 3)

    def function(
        x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, o: torch.Tensor
    ) -> torch.Tensor:
        """As if an offset did no more than scale the part of the channels that it belongs to."""
        scaled = x.unflatten(1, (parts, -1)) * o[:, :, None]
        return F.conv2d(scaled.flatten(1, 2), w, b)

    check(data, "DeformConv", function, [x, weight, bias, offset], groups=None,
          offset_groups=parts)  # fmt: skip


@given(DATA)
def test_experts(data: st.DataObject) -> None:
    ends = torch.tensor([2, 5])

    def function(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:2] @ weight[0], x[2:5] @ weight[1]])

    assert int(ends[-1]) == 5
    check(data, "GroupedMatMul", function, [array(5, 4), array(2, 4, 3)])


@given(DATA)
def test_distances(data: st.DataObject) -> None:
    check(data, "Distance", lambda a, b: torch.cdist(a, b), [array(2, 3, 4), array(2, 2, 4)])


@given(DATA)
def test_the_diagonal(data: st.DataObject) -> None:
    check(data, "Diagonal", lambda x: torch.diagonal(x, dim1=0, dim2=2), [array(3, 4, 3, 2)],
          axes=(0, 2))  # fmt: skip


@given(DATA)
def test_whole_rows_are_put_in(data: st.DataObject) -> None:
    mask = torch.tensor([True, False, True])[:, None]

    def function(x: torch.Tensor, m: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return x.masked_scatter(mask.expand_as(x), rows) + 0 * m

    check(data, "MaskedScatter", function, [array(3, 4), array(3, 4), array(2, 4)], rows=True)


@given(DATA)
def test_what_is_padded_in_may_go(data: st.DataObject) -> None:
    front, back = (Value(f"{n} indices", (n,), "virtual") for n in (1, 2))

    def after(_: list[Value], coupling: Coupling, gone: np.ndarray) -> Function:
        sizes = [coupling.size((v, 0), gone) for v in (front, back)]
        return lambda x: F.pad(x, (0, 0, *sizes))

    check(
        data,
        "Pad",
        lambda x: F.pad(x, (0, 0, 1, 2)),
        [array(2, 3, 2)],
        after=after,
        pads=[(0, 0), (1, 2), (0, 0)],
        added={1: ((front, 1), (back, 2))},
    )


@pytest.mark.parametrize("units", [4])
def test_an_lstm_keeps_units_that_are_zero_at_zero(units: int) -> None:
    cell = torch.nn.LSTM(3, units)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.view(4, units, *weight.shape[1:])[:, 1] = 0
    out, (h, c) = cell(torch.randn(5, 2, 3))
    assert not out[..., 1].any() and not h[..., 1].any() and not c[..., 1].any()
