"""Budgets: exact for every clip, solved rates against bisection, retention presets against counting."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from streams import make_stream

from omnizip import OmniZip, Random
from omnizip.budget import bounds, rates_for, solve_rates

rates = st.floats(0, 0.95)


def bisected(base, sizes, target, low, high):
    """The same rates by 200 halvings of c: slow, independent."""
    down, up = -2.0, 2.0
    for _ in range(200):
        c = (down + up) / 2
        mean = sum(n * min(high, max(low, b + c)) for b, n in zip(base, sizes, strict=True)) / sum(sizes)
        down, up = (c, up) if mean < target else (down, c)
    return [min(high, max(low, b + c)) for b in base]


@given(
    windows=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 300)), min_size=1, max_size=40),
    target=rates,
)
@settings(max_examples=200, deadline=None)
def test_solved_rates_meet_the_target_and_equal_bisection(windows, target):
    low, high = bounds(target, 0.35, 0.75)
    base = [0.75 - 0.4 * share for share, _ in windows]
    sizes = [n for _, n in windows]
    solved = solve_rates(torch.tensor(base, dtype=torch.float64), torch.tensor(sizes), target, low, high)
    assert abs(float((solved * torch.tensor(sizes)).sum()) - target * sum(sizes)) < 1e-6
    assert low - 1e-12 <= float(solved.min()) and float(solved.max()) <= high + 1e-12
    torch.testing.assert_close(solved, torch.tensor(bisected(base, sizes, target, low, high), dtype=torch.float64), atol=1e-6, rtol=0)


def test_windows_with_denser_audio_are_pruned_less():
    solved = solve_rates(torch.tensor([0.35, 0.55, 0.75]), torch.tensor([10, 10, 10]), 0.55, 0.35, 0.75)
    assert solved[0] < solved[1] < solved[2]


@pytest.mark.parametrize(
    "rho, expected", [(0.35, (0.35, 0.75)), (0.6, (0.35, 0.75)), (0.9, (0.35, 1.0)), (0.1, (0.0, 0.75)), (0.0, (0.0, 0.75))]
)
def test_bounds_widen_only_when_they_must(rho, expected):
    assert bounds(rho, 0.35, 0.75) == pytest.approx(expected)


clips = st.fixed_dictionaries(
    {
        "steps": st.integers(0, 14),
        "rows": st.integers(1, 5),
        "columns": st.integers(1, 5),
        "audio": st.integers(0, 330),
        "seconds_per_step": st.sampled_from([0.5, 1.0, 1.0, 1.0, 1.7, 2.0, 2.6, 5.0]),
        "seed": st.integers(0, 10**6),
        "width": st.just(8),
    }
)


@given(
    clip=clips,
    rho_audio=rates,
    rho_video=rates,
    anchor_ratio=st.floats(0, 0.3),
    merge_size=st.integers(0, 18),
    temporal=st.sampled_from(["drop", "fold"]),
    scope=st.sampled_from(["window", "clip"]),
)
@settings(max_examples=500, deadline=None)
def test_budgets_hold_exactly_for_any_clip(clip, rho_audio, rho_video, anchor_ratio, merge_size, temporal, scope):
    stream = make_stream(**clip)
    method = OmniZip(rho_audio, rho_video, anchor_ratio=anchor_ratio, merge_size=merge_size, temporal=temporal, similarity_scope=scope)
    result = method.compress(stream)
    salient = round((1 - rho_audio) * stream.n_audio)
    anchors = min(round(anchor_ratio * stream.n_audio), stream.n_audio - salient)
    assert int(result.keep[stream.audio_index].sum()) == salient + anchors
    assert abs(int(result.keep[stream.video_index].sum()) - (1 - rho_video) * stream.n_video) <= 0.5 + 1e-6
    if stream.n_video:
        per_step = result.keep[stream.video_index].view(stream.grid[0], -1).sum(1)
        window = stream.window[stream.video_index].view(stream.grid[0], -1)[:, 0]
        share = stream.tokens_per_step * (1 - result.video_pruning_rate[window])
        assert float((per_step - share).abs().max()) < 1 + 1e-4
        running = (per_step.cumsum(0) - share.cumsum(0)).abs()
        assert float(running.max()) <= 0.5 + 1e-3  # no bias towards either end of the clip


@given(clip=clips, retention=st.floats(0.06, 1.0))
@settings(max_examples=200, deadline=None)
def test_a_retention_is_met_to_the_token(clip, retention):
    stream = make_stream(**clip)
    media = stream.n_audio + stream.n_video
    kept = OmniZip.at_retention(retention, stream).compress(stream).keep[stream.modality != 0].sum()
    least = math.ceil(0.05 * stream.n_audio) + round(0.05 * stream.n_audio) + math.ceil(0.05 * stream.n_video)
    if round(retention * media) >= least:
        assert int(kept) == round(retention * media)
    assert int(Random.at_retention(retention, stream).compress(stream).keep[stream.modality != 0].sum()) == round(retention * media)


@pytest.mark.parametrize("retention, rho_audio", [(0.45, 0.3), (0.35, 0.4), (0.25, 0.6), (0.40, 0.35), (0.30, 0.5), (0.55, 0.2)])
def test_presets_follow_the_paper(retention, rho_audio):
    audio, video = rates_for(retention, 25 * 60, 144 * 60, 0.05)
    assert audio == pytest.approx(rho_audio)
    kept = round((1 - audio) * 1500) + 75 + (1 - video) * 8640
    assert round(kept) == round(retention * 10140)


def test_the_paper_preset_is_the_papers_rates():
    """(rho_audio .3, rho_video .6) is 45 % at 144 video and 25 audio tokens a second (author's own reckoning)."""
    assert rates_for(0.452, 25 * 60, 144 * 60, 0.05)[1] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("n_audio, n_video", [(0, 1000), (100, 0), (1000, 10), (0, 0), (1, 1)])
def test_one_sided_clips_get_rates_within_bounds(n_audio, n_video):
    for retention in (0.1, 0.25, 0.45, 0.9, 1.0):
        audio, video = rates_for(retention, n_audio, n_video, 0.05)
        assert 0 <= audio <= 0.95 and 0 <= video <= 0.95
