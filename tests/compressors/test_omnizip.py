"""OmniZip's default against a slow, loop-by-loop reading of its description, and on planted and odd clips."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import make_stream

from omnizip import COMPRESSORS, Full, Modality, OmniZip, Reason
from omnizip.compressors.omnizip_audio import most_salient
from omnizip.errors import MethodError


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-6) * (b.norm() + 1e-6)))


def slow_audio(stream, method):
    """Salient and anchor tokens, sources and anchor embeddings, one token at a time."""
    scores = stream.saliency[stream.audio_index]
    salient = set(stream.audio_index[scores.topk(round((1 - method.rho_audio) * stream.n_audio)).indices].tolist())
    audio = stream.audio_index.tolist()
    rest = {w: [i for i in audio if i not in salient and int(stream.window[i]) == w] for w in range(stream.n_windows)}
    total = sum(len(r) for r in rest.values())
    wanted = min(round(method.anchor_ratio * stream.n_audio), total)
    anchors, sources, embeds, running = [], {}, {}, 0.0
    for w, tokens in rest.items():
        count = math.floor(running + len(tokens) * wanted / max(1, total) + 0.5 + 1e-9) - math.floor(running + 0.5 + 1e-9)
        running += len(tokens) * wanted / max(1, total)
        mine = [tokens[int((j + 0.5) * len(tokens) / count + 1e-9)] for j in range(count)]
        anchors += mine
        video = [i for i in stream.video_index.tolist() if int(stream.window[i]) == w]
        joined = {a: [] for a in mine}
        for i in tokens:
            if i in mine or not mine:
                continue
            best = max(mine, key=lambda a: cosine(stream.embeds[i], stream.embeds[a]))
            near = max((cosine(stream.embeds[i], stream.embeds[v]) for v in video), default=cosine(stream.embeds[i], stream.embeds[best]))
            joined[best].append((near, i))
        for a, members in joined.items():
            members = sorted(members, reverse=True)[: method.merge_size]
            if members:
                weights = torch.tensor([p for p, _ in members]).softmax(0)
                embeds[a] = (stream.embeds[a] + sum(w * stream.embeds[i] for w, (_, i) in zip(weights, members, strict=True))) / 2
                sources.update({i: a for _, i in members})
    return salient, set(anchors), sources, embeds


def slow_istc(stream, kept_per_step, k):
    """Video tokens kept, one step at a time."""
    kept, rows = set(), stream.video_index.view(stream.grid[0], -1)
    seen = {}
    for t, (row, count) in enumerate(zip(rows, kept_per_step, strict=True)):
        x, w = stream.embeds[row], int(stream.window[row[0]])
        rank = seen.get(w, 0)
        seen[w] = rank + 1
        n = len(row)
        if rank % 2:
            score = [-cosine(x[i], stream.embeds[rows[t - 1]][i]) for i in range(n)]
        else:
            d = [[1 - cosine(x[i], x[j]) for j in range(n)] for i in range(n)]
            nearest = [sorted(d[i][j] for j in range(n) if j != i)[:k] for i in range(n)]
            density = [math.exp(-sum(m) / max(1, len(m))) for m in nearest]
            delta = [min([d[i][j] for j in range(n) if density[j] > density[i]] or [max(map(max, d))]) for i in range(n)]
            score = [a * b for a, b in zip(density, delta, strict=True)]
        best = sorted(range(n), key=lambda i: -score[i])[: int(count)]
        kept |= {int(row[i]) for i in best}
    return kept


@pytest.mark.independent("omnizip")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "clip", [{}, {"steps": 7}, {"steps": 5, "audio": 230}, {"audio": 70}, {"seconds_per_step": 2.5}, {"seconds_per_step": 0.5}]
)
def test_every_decision_equals_the_slow_reading(clip, seed):
    stream = make_stream(seed=seed, **clip)
    method = OmniZip(rho_audio=0.5, rho_video=0.6, anchor_ratio=0.1, merge_size=2)
    result = method.compress(stream)
    salient, anchors, sources, embeds = slow_audio(stream, method)
    assert set((result.reason == Reason.SALIENT).nonzero().flatten().tolist()) == salient
    assert set((result.reason == Reason.ANCHOR).nonzero().flatten().tolist()) == anchors
    folded = (result.reason == Reason.FOLDED).nonzero().flatten().tolist()
    assert {i: int(result.source[i]) for i in folded} == sources
    for anchor in anchors:
        torch.testing.assert_close(result.embeds[anchor], embeds.get(anchor, stream.embeds[anchor]), atol=1e-5, rtol=1e-5)
    per_step = result.keep[stream.video_index].view(stream.grid[0], -1).sum(1)
    video = slow_istc(stream, per_step, method.neighbours)
    assert set(stream.video_index[result.keep[stream.video_index]].tolist()) == video


def test_rates_follow_salient_audio_before_normalising():
    """Two windows; the first holds all salient audio. At rho_video = mean of the bases, no shift is needed."""
    saliency = torch.cat([torch.ones(50), torch.zeros(50)]) + torch.arange(100) * -1e-4
    stream = make_stream(steps=4, audio=100, saliency=saliency)
    result = OmniZip(rho_audio=0.5, rho_video=0.55).compress(stream)
    assert result.audio_retention.tolist() == [1.0, 0.0]
    assert result.video_pruning_rate.tolist() == pytest.approx([0.35, 0.75])
    kept = result.keep[stream.video_index].view(2, -1).sum(1)
    assert kept.tolist() == [26, 10]  # 40 tokens a window


def test_density_peaks_find_planted_clusters():
    """A step of five tight clusters; the five tokens kept are one from each."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(5, 24, generator=generator)
    stream = make_stream(steps=1, rows=5, columns=8, audio=50)
    which = torch.arange(40) % 5
    embeds = stream.embeds.clone()
    embeds[stream.video_index] = centres[which] + 0.01 * torch.randn(40, 24, generator=generator)
    stream = type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency_windowed)
    result = OmniZip(rho_video=1 - 5 / 40, dynamic=False).compress(stream)
    assert sorted(which[result.keep[stream.video_index]].tolist()) == [0, 1, 2, 3, 4]


def test_second_steps_keep_what_changed():
    stream = make_stream(steps=2, audio=50)
    first, second = stream.video_index.view(2, -1)
    embeds = stream.embeds.clone()
    embeds[second] = embeds[first]
    changed = second[torch.tensor([3, 7, 11, 19])]
    embeds[changed] = torch.randn(4, 24, generator=torch.Generator().manual_seed(9))
    stream = type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency_windowed)
    result = OmniZip(rho_video=0.8, dynamic=False).compress(stream)
    assert torch.equal(second[result.keep[second]], changed)
    assert (result.reason[changed] == Reason.CHANGE).all()


def test_folding_averages_what_the_sources_say():
    stream = make_stream(steps=6)
    result = OmniZip(rho_video=0.7, temporal="fold", anchors=False).compress(stream)
    folded = (result.reason == Reason.FOLDED) & (stream.modality == Modality.VIDEO)
    assert int(folded.sum()) > 0
    first = {int(w): int(stream.video_index[stream.window[stream.video_index] == w][0]) for w in range(3)}
    for survivor in result.source[folded].unique().tolist():
        group = [survivor, *((result.source == survivor) & folded).nonzero().flatten().tolist()]
        torch.testing.assert_close(result.embeds[survivor], stream.embeds[group].mean(0), atol=1e-5, rtol=1e-5)
    n = stream.tokens_per_step
    for token in folded.nonzero().flatten().tolist():
        survivor, start = int(result.source[token]), first[int(stream.window[token])]
        assert start <= survivor < start + n and result.keep[survivor]
        same = token - n
        if result.keep[same]:
            assert survivor == same
        else:
            kept = [i for i in range(start, start + n) if result.keep[i]]
            assert survivor == max(kept, key=lambda i: cosine(stream.embeds[token], stream.embeds[i]))


@pytest.mark.independent("full")
def test_nothing_pruned_is_the_full_model():
    for clip in ({}, {"steps": 7, "audio": 33}, {"steps": 0}, {"audio": 0}):
        stream = make_stream(**clip)
        zip_, full = OmniZip(rho_audio=0, rho_video=0).compress(stream), Full().compress(stream)
        assert torch.equal(zip_.keep, full.keep) and bool(zip_.keep.all())
        assert torch.equal(zip_.embeds, full.embeds)
        a, b = stream.prompt(zip_), stream.prompt(full)
        assert torch.equal(a.embeds, b.embeds) and torch.equal(a.positions, b.positions) and a.next_position == b.next_position


@pytest.mark.parametrize("audio", [600, 575, 601])
@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_a_silent_track_favours_no_window(audio, noise):
    """Equal saliency, or equal but for float noise: full windows' salient counts differ by at most one token."""
    saliency = 0.01 * (1 + noise * torch.randn(audio, generator=torch.Generator().manual_seed(1)))
    for rho in (0.3, 0.37, 0.6, 0.95):
        stream = make_stream(steps=24, rows=2, columns=2, audio=audio, saliency=saliency)
        retention = OmniZip(rho_audio=rho).compress(stream).audio_retention
        counts = torch.bincount(stream.window[stream.audio_index])
        salient = (retention * counts).round()[counts == 50]
        assert int(salient.max() - salient.min()) <= 1
        assert float((retention * 50 - salient.mean()).abs().max()) <= 50 / float(counts.min()) + 1


@pytest.mark.parametrize(
    "clip, windows",
    [
        ({"audio": 0}, 3),  # no sound track
        ({"steps": 7, "audio": 175}, 4),  # odd last step
        ({"steps": 3, "audio": 300}, 6),  # sound longer than picture
        ({"steps": 9, "audio": 60}, 5),  # picture longer than sound
        ({"steps": 1, "audio": 20}, 1),  # under two seconds
        ({"steps": 2, "audio": 50}, 1),  # one window
        ({"steps": 4, "audio": 400, "seconds_per_step": 5.0}, 8),  # windows without a step
        ({"steps": 6, "audio": 400, "seconds_per_step": 2.5}, 8),  # windows of one step or none
        ({"steps": 8, "audio": 100, "seconds_per_step": 0.5}, 2),  # four steps a window
        ({"steps": 0}, 3),  # sound only
        ({"steps": 0, "audio": 0}, 0),  # neither
    ],
)
@pytest.mark.parametrize("name", list(COMPRESSORS))
def test_odd_clips(name, clip, windows):
    stream = make_stream(**clip)
    assert stream.n_windows == windows
    before = stream.embeds.clone()
    result = COMPRESSORS[name].at_retention(0.45, stream).compress(stream)
    assert torch.equal(stream.embeds, before)
    assert bool(result.keep[stream.modality == Modality.TEXT].all())
    assert torch.equal(result.keep, result.source == torch.arange(stream.n_tokens))
    assert torch.equal(result.keep, result.reason < Reason.FOLDED)
    folded = result.reason == Reason.FOLDED
    assert bool(result.keep[result.source[folded]].all())
    assert bool((result.source[result.reason == Reason.DROPPED] == -1).all())
    prompt = stream.prompt(result)
    assert prompt.embeds.shape[0] == int(result.keep.sum()) == prompt.positions.shape[1]
    assert prompt.next_position == int(stream.positions.max()) + 1
    torch.testing.assert_close(prompt.embeds, result.embeds[result.keep])
    again = COMPRESSORS[name].at_retention(0.45, stream).compress(stream)
    assert torch.equal(result.keep, again.keep) and torch.equal(result.embeds, again.embeds)


def test_without_sound_every_window_is_pruned_alike_and_the_note_says_so():
    stream = make_stream(audio=0)
    result = OmniZip(rho_video=0.6).compress(stream)
    assert result.video_pruning_rate.tolist() == pytest.approx([0.6] * 3)
    assert result.audio_retention.isnan().all()
    assert "no sound" in result.notes[0]


def test_windows_with_video_but_no_audio_get_the_clips_rate():
    stream = make_stream(steps=9, audio=100)
    result = OmniZip(rho_video=0.6).compress(stream)
    assert result.video_pruning_rate[2:].tolist() == pytest.approx([0.6] * 3)
    guided = result.video_pruning_rate[:2]
    assert float(guided.mean()) == pytest.approx(0.6)


def test_ablations_change_what_they_name():
    stream = make_stream(steps=12, audio=300)
    base = OmniZip(rho_audio=0.4, rho_video=0.6)
    result = base.compress(stream)

    flat = OmniZip(rho_audio=0.4, rho_video=0.6, dynamic=False).compress(stream)
    assert flat.video_pruning_rate.tolist() == pytest.approx([0.6] * 6)
    assert result.video_pruning_rate.std() > 0.01
    assert torch.equal(flat.keep[stream.audio_index], result.keep[stream.audio_index])

    bare = OmniZip(rho_audio=0.4, rho_video=0.6, anchors=False).compress(stream)
    assert int((bare.reason == Reason.ANCHOR).sum()) == 0 and bare.folded.numel() == 0
    assert int(bare.keep[stream.audio_index].sum()) == 180

    audio = OmniZip(rho_audio=0.4, rho_video=0.6, audio_selector="random").compress(stream)
    assert not torch.equal(audio.keep[stream.audio_index], result.keep[stream.audio_index])
    other = OmniZip(rho_audio=0.4, rho_video=0.6, audio_selector="random", seed=1).compress(stream)
    assert not torch.equal(audio.keep, other.keep)

    video = OmniZip(rho_audio=0.4, rho_video=0.6, video_selector="random").compress(stream)
    assert torch.equal(video.keep[stream.audio_index], result.keep[stream.audio_index])
    assert torch.equal(video.video_pruning_rate, result.video_pruning_rate)
    assert not torch.equal(video.keep[stream.video_index], result.keep[stream.video_index])
    assert int(video.keep.sum()) == int(result.keep.sum())


def test_saliency_scope_chooses_the_ranking():
    stream = make_stream()
    windowed = torch.full_like(stream.saliency, float("nan"))
    windowed[stream.audio_index] = torch.arange(stream.n_audio, dtype=torch.float32)
    stream = type(stream)(stream.embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, windowed)
    method = OmniZip(rho_audio=0.5, saliency_scope="window", anchors=False)
    assert method.needs == {"saliency_windowed"}
    assert OmniZip().needs == {"saliency"} and OmniZip(audio_selector="random").needs == frozenset()
    kept = method.compress(stream).keep[stream.audio_index]
    assert kept.tolist() == [False] * 75 + [True] * 75


def test_similarity_scope_looks_at_the_whole_clip():
    """One audio token matches a patch of another window; only clip scope can see it."""
    stream = make_stream(steps=4, audio=100, seed=5)
    saliency = torch.arange(100, dtype=torch.float32)
    method = {"rho_audio": 0.6, "anchor_ratio": 0.02, "merge_size": 1}
    embeds = stream.embeds.clone()
    spy = stream.audio_index[7]
    embeds[spy] = embeds[stream.video_index[-1]]
    embeds[stream.audio_index[:50]] += 0.01  # all in one group
    stream = type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency_windowed)
    stream.saliency[stream.audio_index] = saliency
    clip = OmniZip(similarity_scope="clip", **method).compress(stream)
    window = OmniZip(similarity_scope="window", **method).compress(stream)
    assert int(clip.reason[spy]) == Reason.FOLDED
    assert not torch.equal(clip.source, window.source)


def test_half_precision_streams_are_decided_in_float32():
    stream = make_stream(dtype=torch.bfloat16)
    twin = make_stream(dtype=torch.bfloat16)
    twin = type(twin)(twin.embeds.float(), twin.positions, twin.modality, twin.window, twin.grid, twin.saliency, twin.saliency_windowed)
    a, b = OmniZip(temporal="fold").compress(stream), OmniZip(temporal="fold").compress(twin)
    assert torch.equal(a.keep, b.keep) and torch.equal(a.source, b.source)
    assert stream.prompt(a).embeds.dtype == torch.bfloat16


def test_blocks_change_nothing(monkeypatch):
    stream = make_stream(steps=15, audio=380, seconds_per_step=1.7)
    expected = [OmniZip(temporal=t, similarity_scope=s).compress(stream) for t in ("drop", "fold") for s in ("window", "clip")]
    whole = type(stream.structure).step_blocks
    monkeypatch.setattr(type(stream.structure), "step_blocks", lambda self, size, budget=0: whole(self, size, 2 * size))
    assert len(list(stream.structure.step_blocks(100))) > 3
    results = [OmniZip(temporal=t, similarity_scope=s).compress(stream) for t in ("drop", "fold") for s in ("window", "clip")]
    for a, b in zip(expected, results, strict=True):
        assert torch.equal(a.source, b.source) and torch.equal(a.reason, b.reason)
        torch.testing.assert_close(a.embeds, b.embeds)


@pytest.mark.parametrize(
    "fields",
    [
        {"rho_audio": 1.2},
        {"rho_video": -0.1},
        {"merge_size": 19},
        {"temporal": "melt"},
        {"merge_size": 1.5},
        {"rho_min": 0.8, "rho_max": 0.4},
    ],
)
def test_bad_fields_are_refused_in_one_sentence(fields):
    with pytest.raises(MethodError) as error:
        OmniZip(**fields)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


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
