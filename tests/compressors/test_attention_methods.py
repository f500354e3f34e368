"""VisionZip, PruMerge, EchoingPixels and the swapped selectors, each against a slow reading of its description."""

import itertools

import numpy as np
import pytest
import torch
from streams import make_stream

from omnizip import OmniZip, Reason
from omnizip.compressors.echoingpixels import EchoingPixels
from omnizip.compressors.prumerge import PruMerge
from omnizip.compressors.visionzip import VisionZip
from omnizip.stream import Modality


def watched(scores=None, seed=7, **clip):
    """A stream whose video carries attention, random where `scores` (V,) are not given."""
    plain = make_stream(**clip)
    if scores is None:
        scores = torch.rand(plain.n_video, generator=torch.Generator().manual_seed(seed))
    observers = {"saliency_video": lambda: (scores, 1.0)}
    rest = (plain.positions, plain.modality, plain.window, plain.grid, plain.saliency, plain.saliency_windowed)
    return type(plain)(plain.embeds, *rest, "attention", observers), scores


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-6) * (b.norm() + 1e-6)))


def top(scores, count):
    return set(sorted(range(len(scores)), key=lambda i: -scores[i])[:count])


@pytest.mark.independent("visionzip")
@pytest.mark.parametrize("scope", ["clip", "window"])
@pytest.mark.parametrize("merge", ["add", "average"])
def test_visionzip_keeps_what_is_looked_at_and_merges_the_rest(scope, merge):
    stream, scores = watched(steps=5)
    result = VisionZip(video_share=0.5, contextual=0.2, scope=scope, merge=merge).compress(stream)
    reasons = result.reason[stream.video_index].tolist()
    dominant = {i for i, r in enumerate(reasons) if r == Reason.METHOD_SCORE}
    if scope == "clip":
        assert dominant == top(scores.tolist(), 40)
    else:
        for first, last, count in ((0, 40, 16), (40, 80, 16), (80, 100, 8)):
            assert {i for i in dominant if first <= i < last} == {first + i for i in top(scores[first:last].tolist(), count)}
    rest = [i for i in range(100) if i not in dominant]
    contextual = [i for i in rest if reasons[i] == Reason.ANCHOR]
    assert len(contextual) == 10
    gaps = np.diff([rest.index(i) for i in contextual])
    assert gaps.max() - gaps.min() <= 1  # uniformly spaced among the rest
    x = stream.embeds[stream.video_index]
    assigned = {i: [] for i in contextual}
    for i in rest:
        near = [c for c in contextual if c // 40 == i // 40]  # of the same two seconds
        if i not in assigned and near:
            home = max(near, key=lambda c: cosine(x[i], x[c]))
            assigned[home].append(i)
            assert result.source[stream.video_index[i]] == stream.video_index[home]
    for c, members in assigned.items():
        mean = x[members].mean(0) if members else 0
        expected = x[c] + mean if merge == "add" or not members else torch.cat([x[c][None], x[members]]).mean(0)
        torch.testing.assert_close(result.embeds[stream.video_index[c]], expected)
    assert bool(result.keep[stream.audio_index].all())


def test_without_a_model_the_norm_ranks_and_the_notes_say_so():
    stream = make_stream(steps=4)
    result = VisionZip(video_share=0.3, contextual=0.0).compress(stream)
    norms = stream.embeds[stream.video_index].norm(dim=-1).tolist()
    assert set(result.keep[stream.video_index].nonzero().flatten().tolist()) == top(norms, 24)
    assert "norm" in result.notes[0]
    assert "norm" in EchoingPixels().compress(stream).notes[0]


def spiky(steps, n, seed=3):
    """Attention that is nearly even but for a few places."""
    generator = torch.Generator().manual_seed(seed)
    scores = 1 + 0.1 * torch.rand(steps, n, generator=generator)
    for step, place in ((0, 3), (0, 11), (1, 7), (2, 0), (2, 5), (2, 17), (3, 9)):
        scores[step, place] = 2 + 0.01 * (5 * step + place)
    return scores


@pytest.mark.independent("prumerge")
def test_prumerge_is_its_description():
    scores = spiky(4, 48)
    stream, _ = watched(scores.flatten(), steps=4, rows=6, columns=8, audio=50)
    result = PruMerge().compress(stream)
    x = stream.embeds[stream.video_index].view(4, 48, -1)
    reasons = result.reason[stream.video_index].view(4, 48)
    made = result.embeds[stream.video_index].view(4, 48, -1)
    for t in range(4):
        q1, q3 = np.quantile(scores[t].numpy(), [0.25, 0.75])
        kept = {i for i in range(48) if scores[t, i] > q3 + 1.5 * (q3 - q1)}
        extra = int(scores[t].argmin())
        assert set((reasons[t] == Reason.METHOD_SCORE).nonzero().flatten().tolist()) == kept
        assert (reasons[t] == Reason.ANCHOR).nonzero().flatten().tolist() == [extra]
        weight = scores[t] / scores[t].sum()
        near = {}
        for k in kept:
            others = sorted((j for j in range(48) if j != k), key=lambda j: -cosine(x[t, k], x[t, j]))[:32]
            near[k] = set(others)
            torch.testing.assert_close(made[t, k], x[t, k] + sum(weight[j] * x[t, j] for j in others), rtol=1e-4, atol=1e-5)
        lost = [j for j in range(48) if j not in kept]
        torch.testing.assert_close(made[t, extra], sum(weight[j] * x[t, j] for j in lost), rtol=1e-4, atol=1e-5)
        for j in lost:
            homes = [k for k in kept if j in near[k]]
            home = max(homes, key=lambda k: cosine(x[t, k], x[t, j])) if homes else extra
            if j != extra:
                assert result.source[stream.video_index[48 * t + j]] == stream.video_index[48 * t + home]


def test_prumerge_fills_a_budget_with_evenly_spaced_tokens_and_cuts_to_the_most_outstanding():
    scores = spiky(4, 48)
    stream, _ = watched(scores.flatten(), steps=4, rows=6, columns=8, audio=0)
    outliers = {3, 11, 48 + 7, 96, 101, 113, 144 + 9}
    filled = PruMerge(mode="budget", video_share=0.25).compress(stream)
    kept = set((filled.reason[stream.video_index] == Reason.METHOD_SCORE).nonzero().flatten().tolist())
    assert int(filled.keep[stream.video_index].sum()) == 48 and outliers < kept
    extra = {48 * t + int(scores[t].argmin()) for t in range(4)}
    free = [i for i in range(192) if i not in outliers | extra]
    gaps = np.diff([free.index(i) for i in sorted(kept - outliers)])
    assert len(kept) == 44 and gaps.max() - gaps.min() <= 1
    cut = PruMerge(mode="budget", video_share=8 / 192).compress(stream)  # four extras and four outliers
    kept = set((cut.reason[stream.video_index] == Reason.METHOD_SCORE).nonzero().flatten().tolist())
    above = {}
    for i in outliers:
        q1, q3 = np.quantile(scores[i // 48].numpy(), [0.25, 0.75])
        above[i] = float(scores.flatten()[i] - (q3 + 1.5 * (q3 - q1)))
    assert kept == set(sorted(above, key=lambda i: -above[i])[:4])


@pytest.mark.independent("echoingpixels")
def test_echoingpixels_ranks_both_media_together():
    plain = make_stream(steps=4, audio=100)
    media = (plain.modality != Modality.TEXT).nonzero().flatten()
    scores = torch.rand(media.numel(), generator=torch.Generator().manual_seed(1))
    scores[(plain.modality[media] == Modality.AUDIO)] += 0.3
    observers = {"saliency_joint": lambda: (scores, 1.0)}
    stream = type(plain)(
        plain.embeds, plain.positions, plain.modality, plain.window, plain.grid, plain.saliency, plain.saliency, "attention", observers
    )
    result = EchoingPixels(retention=0.5).compress(stream)
    assert set(result.keep[media].nonzero().flatten().tolist()) == top(scores.tolist(), 90)
    audio = float(result.keep[stream.audio_index].float().mean())
    assert audio > float(result.keep[stream.video_index].float().mean()) + 0.2  # the split is free


@pytest.mark.parametrize("selector", ["istc", "random", "dycoke", "visionzip"])
@pytest.mark.parametrize("retention", [0.25, 0.35, 0.45, 0.8])
@pytest.mark.parametrize("clip", [{"steps": 10, "audio": 250}, {"steps": 7, "audio": 90}, {"audio": 0}, {"steps": 1, "audio": 25}])
def test_every_video_selector_meets_the_budget(selector, retention, clip):
    stream, _ = watched(**clip)
    method = OmniZip.at_retention(retention, stream, video_selector=selector)
    assert ("saliency_video" in method.needs) == (selector == "visionzip")
    result = method.compress(stream)
    assert int(result.keep[stream.modality != 0].sum()) == round(retention * (stream.n_audio + stream.n_video))


def test_swapped_selectors_leave_the_sound_as_it_is_and_differ_in_the_picture():
    stream, _ = watched(steps=12, audio=300)
    kept = {name: OmniZip(video_selector=name).compress(stream).keep for name in ("istc", "random", "dycoke", "visionzip")}
    for a, b in itertools.combinations(kept, 2):
        assert torch.equal(kept[a][stream.audio_index], kept[b][stream.audio_index])
        assert not torch.equal(kept[a][stream.video_index], kept[b][stream.video_index])


def test_visionzip_selector_is_one_ranking_over_the_clip():
    stream, scores = watched(steps=12, audio=300)
    kept = OmniZip(video_selector="visionzip").compress(stream).keep[stream.video_index]
    assert set(kept.nonzero().flatten().tolist()) == top(scores.tolist(), int(kept.sum()))


def test_dycoke_selector_keeps_change_in_groups_of_four_steps():
    stream, _ = watched(steps=8, audio=200)
    result = OmniZip(video_selector="dycoke").compress(stream)
    x, rows = stream.embeds[stream.video_index.view(8, 20)], stream.video_index.view(8, 20)
    for t in range(8):
        kept = set(result.keep[rows[t]].nonzero().flatten().tolist())
        if t % 4 == 0:
            assert len(kept) == 20
        else:
            other = t - 2 if t % 4 == 2 else t - 1
            assert kept == top([-cosine(x[t, i], x[other, i]) for i in range(20)], len(kept))
    assert int(result.keep[stream.video_index].sum()) == 64
