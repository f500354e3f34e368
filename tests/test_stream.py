"""The shared words: shapes are checked, windows follow time, the prompt keeps positions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import AUDIO, VIDEO, make_stream

from omnizip import Compression, Modality, OmniZip, Reason, TokenStream
from omnizip.compressors.anchoring import most_salient, place_anchors
from omnizip.compressors.ops.merging import foremost
from omnizip.errors import MethodError
from omnizip.windows import cumulative_rounding, padded, rank_in_group, rows_at, window_of


def test_windows_follow_the_time_of_the_first_medium():
    time = torch.tensor([0, 1, 2, 3, 52, 53, 102, 103, 4000])
    media = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 0], dtype=torch.bool)
    assert window_of(time, media).tolist() == [-1, -1, -1, 0, 0, 1, 1, 2, -1]


def test_windows_without_positions_count_tokens():
    with_positions, without = make_stream(), make_stream(with_positions=False)
    assert torch.equal(with_positions.window, without.window)
    assert without.n_windows == 3 and without.grid == (6, 4, 5)


def test_the_prompt_keeps_the_unpruned_positions_and_text():
    stream = make_stream()
    result = OmniZip().compress(stream)
    prompt = stream.prompt(result)
    assert torch.equal(prompt.positions, stream.positions[:, result.keep])
    assert torch.equal(prompt.index, result.keep.nonzero().flatten())
    assert prompt.next_position == int(stream.positions[:, -1].max()) + 1
    assert bool(result.keep[stream.modality == Modality.TEXT].all())


def test_without_attention_the_norm_ranks_and_the_stream_says_so():
    ids = torch.tensor([9] + [VIDEO] * 8 + [AUDIO] * 50 + [9])
    embeds = torch.ones(60, 4)
    embeds[20] = 100.0
    stream = TokenStream.from_ids(ids, embeds, audio_token_id=AUDIO, video_token_id=VIDEO, grid_thw=torch.tensor([[2, 4, 4]]))
    assert stream.saliency_kind == "embedding norm"
    result = OmniZip(rho_audio=0.95, anchors=False).compress(stream)
    assert bool(result.keep[20]) and "norm" in result.notes[0]


@pytest.mark.parametrize(
    "change",
    [{"embeds": torch.zeros(3, 4)}, {"grid_thw": (4, 4, 4)}, {"audio_saliency": torch.zeros(7)}],
)
def test_shapes_that_do_not_fit_are_refused(change):
    ids = torch.tensor([VIDEO] * 8 + [AUDIO] * 50)
    given = {"embeds": torch.zeros(58, 4), "grid_thw": (2, 4, 4), "audio_saliency": torch.zeros(50)} | change
    with pytest.raises(MethodError, match=r"\d"):
        TokenStream.from_ids(ids, given.pop("embeds"), audio_token_id=AUDIO, video_token_id=VIDEO, **given)


def test_reasons_complete_a_compression():
    stream = make_stream(steps=0, audio=50)
    reason = torch.zeros_like(stream.modality)
    reason[5:55] = Reason.DROPPED
    reason[5] = Reason.SALIENT
    reason[6] = Reason.FOLDED
    result = Compression.of(stream, reason, source=torch.full((stream.n_tokens,), 5))
    assert result.source[5] == 5 and result.source[6] == 5 and result.source[7] == -1
    assert not result.keep[6] and result.keep[0]


@given(st.lists(st.floats(0, 20), max_size=60))
@settings(deadline=None)
def test_cumulative_rounding_is_never_off_by_more_than_a_half(shares):
    shares = torch.tensor(shares, dtype=torch.float64)
    counts = cumulative_rounding(shares)
    assert ((counts.cumsum(0) - shares.cumsum(0)).abs() <= 0.5 + 1e-6).all()
    assert ((counts - shares).abs() < 1 + 1e-6).all() and (counts >= 0).all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(0, 80), st.floats(0, 1e-5))
@settings(deadline=None)
def test_exactly_the_asked_number_is_salient_and_ties_spread(levels, count, noise):
    generator = torch.Generator().manual_seed(len(levels))
    scores = torch.tensor(levels, dtype=torch.float32) * (1 + noise * torch.randn(len(levels), generator=generator))
    count = min(count, len(levels))
    chosen = most_salient(scores, count)
    assert int(chosen.sum()) == count
    if 0 < count < len(levels):
        assert float(scores[chosen].min()) >= float(scores[~chosen].max()) * (1 - 3e-5) - 1e-9


def test_ties_are_taken_at_equal_distances():
    places = most_salient(torch.ones(100), 20).nonzero().flatten()
    assert set(places.diff().tolist()) == {5}


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
