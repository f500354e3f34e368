"""Choosing: running sums, groups, equal distances, anchors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnizip.compressors.ops.selection import cumulative_rounding, foremost, marked_per_group, place_anchors, rank_in_group, spread


@given(st.lists(st.floats(0, 20), max_size=60))
@settings(deadline=None)
def test_cumulative_rounding_is_never_off_by_more_than_a_half(shares):
    shares = torch.tensor(shares, dtype=torch.float64)
    counts = cumulative_rounding(shares)
    assert ((counts.cumsum(0) - shares.cumsum(0)).abs() <= 0.5 + 1e-6).all()
    assert ((counts - shares).abs() < 1 + 1e-6).all() and (counts >= 0).all()


def test_anchors_stand_at_the_centres_of_equal_stretches():
    assert place_anchors(torch.tensor([12, 0, 6]), 3).tolist() == [3, 9, 15]
    assert place_anchors(torch.tensor([5]), 1).tolist() == [2]
    assert place_anchors(torch.tensor([4, 4]), 8).tolist() == list(range(8))
    assert place_anchors(torch.tensor([0, 0]), 0).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-1, 1, width=32)), max_size=40), st.integers(0, 5))
@settings(deadline=None)
def test_foremost_equals_sorting_each_group(items, size):
    group = torch.tensor([g for g, _ in items], dtype=torch.int64)
    priority = torch.tensor([p for _, p in items])
    expected = set()
    for g in set(group.tolist()):
        mine = [i for i in range(len(items)) if items[i][0] == g]
        expected |= set(sorted(mine, key=lambda i: -float(priority[i]))[:size])
    assert set(foremost(group, priority, size).nonzero().flatten().tolist()) == expected


def test_rank_in_group():
    assert rank_in_group(torch.tensor([0, 0, 2, 2, 2, 5]), 6).tolist() == [0, 1, 0, 1, 2, 0]


def test_marked_items_are_counted_group_by_group():
    marked = torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool)
    assert marked_per_group(marked, torch.tensor([2, 0, 3, 1])).tolist() == [1, 0, 2, 1]
    assert marked_per_group(marked[:0], torch.tensor([], dtype=torch.int64)).tolist() == []


@pytest.mark.parametrize("count, total", [(0, 7), (1, 7), (3, 7), (5, 100), (7, 7)])
def test_spread_takes_as_many_as_asked_at_equal_distances(count, total):
    places = spread(torch.arange(total), count, total).nonzero().flatten()
    assert places.numel() == count
    gaps = places.diff()
    assert not gaps.numel() or int(gaps.max() - gaps.min()) <= 1
