"""Pieces of a clip: rows with and without a copy, padding, evenly spaced rows."""

import pytest
import torch

from omnizip.compressors.ops.blocks import edges, evenly_spaced, padded, picked, present, rows_at


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("starts", "is_view"), [([3, 13, 23], True), ([5], True), ([0, 7, 30], False), ([20, 10], False), ([], False)])
def test_rows_of_steps_are_the_streams(starts, is_view, dtype):
    """Whether or not they can be had without a copy, and from a stream that is a part of something larger."""
    embeds = torch.randn(50, 6).to(dtype)[4:, 1:5]
    places = torch.tensor(starts, dtype=torch.int64)[:, None] + torch.arange(4)
    rows = rows_at(embeds, places)
    torch.testing.assert_close(rows, embeds[places].float(), atol=0, rtol=0)
    shares = bool(starts) and rows.data_ptr() == embeds[places[0, 0]].data_ptr()
    assert shares == (is_view and dtype == torch.float32)


def test_padding_names_every_item_once():
    counts = torch.tensor([2, 0, 3, 1])
    places, missing = padded(counts, torch.tensor([2, 1, 0]))
    assert [row[~gone].tolist() for row, gone in zip(places, missing, strict=True)] == [[2, 3, 4], [], [0, 1]]
    assert places.max() < 6 and padded(counts, torch.tensor([1]))[0].shape == (1, 0)


def test_what_padding_leaves_is_every_item_in_order():
    counts = torch.tensor([2, 0, 3, 1])
    places, missing = padded(counts, torch.arange(4))
    assert places.flatten()[present(missing, torch.device("cpu"))].tolist() == list(range(6))
    assert edges(counts).tolist() == [0, 2, 2, 5, 6]


@pytest.mark.parametrize("marked", [[], [3], [0, 1, 2], [1, 3, 5], [0, 1, 3], [0, 5]])
def test_evenly_spaced_rows_are_the_marked_ones(marked):
    mask = torch.zeros(6, dtype=torch.bool)
    mask[marked] = True
    rows = evenly_spaced(mask)
    assert picked(torch.arange(6), rows).tolist() == marked
    assert isinstance(rows, slice) == (bool(marked) and len(set(torch.tensor(marked).diff().tolist())) <= 1)
