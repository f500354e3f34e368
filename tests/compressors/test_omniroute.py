"""OmniRoute against a slow reading of its description: who leads and what both get, whose sound stays and where the rest goes."""

import math

import pytest
import torch
from streams import make_stream

from omnizip.compressors.omniroute import OmniRoute
from omnizip.stream import Modality, Reason


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-6) * (b.norm() + 1e-6)))


def rebuilt(stream, embeds):
    return type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency)


def question_of(stream):
    last = max(i for i, m in enumerate(stream.modality.tolist()) if m != Modality.TEXT)
    return stream.embeds[last + 1 :].mean(0)


def by_window(stream, index):
    found = {w: [] for w in range(stream.n_windows)}
    for place in index.tolist():
        found[int(stream.window[place])].append(place)
    return found


def shifted(shares, sizes, target):
    """Shares plus one number, within 0 and 1, so that `target` tokens are kept: found by bisection."""
    low, high = -2.0, 2.0
    for _ in range(200):
        middle = (low + high) / 2
        kept = sum(n * min(1, max(0, s + middle)) for s, n in zip(shares, sizes, strict=True))
        low, high = (middle, high) if kept < target else (low, middle)
    running, before, counts = 0.0, 0, []
    for s, n in zip(shares, sizes, strict=True):
        running += n * min(1, max(0, s + high))
        counts.append(math.floor(running + 0.5 + 1e-6) - before)
        before += counts[-1]
    return counts


def counts_slowly(stream, method):
    """Audio and video tokens kept per window, before anchors."""
    x, question, n = stream.embeds, question_of(stream), stream.tokens_per_step
    audio, video = by_window(stream, stream.audio_index), by_window(stream, stream.video_index)
    windows = range(stream.n_windows)
    near = [{w: [cosine(question, x[i]) for i in found[w]] for w in windows} for found in (audio, video)]
    both = [w for w in windows if audio[w] and video[w]]
    difference = {w: sum(near[0][w]) / len(near[0][w]) - sum(near[1][w]) / len(near[1][w]) for w in both}
    tau = sorted(difference.values())[(len(both) - 1) // 2]
    means = {w: torch.stack([x[video[w][t : t + n]].mean(0) for t in range(0, len(video[w]), n)]).sum(0) for w in windows if video[w]}
    change = {}
    for w in means:
        places = video[w]
        pairs = [1 - cosine(x[places[i]], x[places[i - n]]) for i in range(n, len(places))]
        steps = len(places) // n
        within = sum(pairs) / n / max(1, steps - 1)
        change[w] = 0.7 * within + 0.3 * ((1 - cosine(means[w], means[w - 1])) if w - 1 in means else 0)
    average = sum(change[w] for w in both) / len(both)
    share = [dict.fromkeys(windows, 1 - method.rho_audio), dict.fromkeys(windows, 1 - method.rho_video)]
    for w in both:
        towards = 1 / (1 + math.exp(-(difference[w] - tau) / 0.03))
        leader = 0 if towards >= 0.5 else 1
        base, size = share[leader][w], len((audio, video)[leader][w])
        share[leader][w] += 2 * method.gain * abs(towards - 0.5) if leader == 0 else method.alpha * (change[w] - average)
        actual = round(min(1, max(0, share[leader][w])) * size) / size
        share[1 - leader][w] -= 0.5 * (actual - base)
    sizes = [[len(found[w]) for w in windows] for found in (audio, video)]
    rates = (method.rho_audio, method.rho_video)
    return [
        shifted([s[w] for w in windows], size, (1 - rate) * sum(size)) for s, size, rate in zip(share, sizes, rates, strict=True)
    ], difference


def towards_question(seed, steps=10, audio=250, pull=0.6):
    """A stream in which some windows' sound, and others' picture, are near to the question."""
    stream = make_stream(steps=steps, rows=3, columns=4, audio=audio, seed=seed)
    embeds, question = stream.embeds.clone(), question_of(stream)
    for w in range(stream.n_windows):
        index = stream.audio_index if w % 2 else stream.video_index
        embeds[index[stream.window[index] == w]] += pull * (1 + w) * question
    return rebuilt(stream, embeds)


@pytest.mark.independent("omniroute")
@pytest.mark.parametrize("seed, clip", [(0, {}), (1, {"steps": 7, "audio": 220}), (2, {"steps": 12, "audio": 160})])
def test_omniroute_routes_and_shares_as_described(seed, clip):
    stream = towards_question(seed, **clip)
    method = OmniRoute(rho_audio=0.4, rho_video=0.65)
    result = method.compress(stream)
    (audio, video), difference = counts_slowly(stream, method)
    reasons, windows = result.reason, stream.window
    kept = [int((result.keep & (stream.modality == Modality.VIDEO) & (windows == w)).sum()) for w in range(stream.n_windows)]
    salient = [int(((reasons == Reason.SALIENT) & (windows == w)).sum()) for w in range(stream.n_windows)]
    assert (salient, kept) == (audio, video)
    assert len({round(d, 3) for d in difference.values()}) > 2


@pytest.mark.parametrize("seed", [0, 3])
def test_sound_is_ranked_with_the_question_and_folds_by_its_likeness_to_the_picture(seed):
    stream = towards_question(seed, steps=6, audio=150)
    result = OmniRoute(rho_audio=0.6, rho_video=0.6).compress(stream)
    x, question, index = stream.embeds, question_of(stream), stream.audio_index.tolist()

    def scaled(values):
        return [(v - min(values)) / (max(values) - min(values)) for v in values]

    attention, asked = scaled(stream.saliency[index].tolist()), scaled([cosine(question, x[i]) for i in index])
    score = {i: a + 0.09 * q for i, a, q in zip(index, attention, asked, strict=True)}
    anchors = [i for i in index if result.reason[i] == Reason.ANCHOR]
    assert len(anchors) == round(0.05 * 150)
    taken = {i: [] for i in anchors}
    for places in by_window(stream, stream.audio_index).values():
        salient = [i for i in places if result.reason[i] == Reason.SALIENT]
        assert set(salient) == set(sorted(places, key=lambda i: -score[i])[: len(salient)])
        here = [i for i in places if i in anchors]
        for i in set(places) - set(salient) - set(here):
            home = max(here, key=lambda j: cosine(x[i], x[j]))
            assert result.reason[i] == Reason.FOLDED and int(result.source[i]) == home
            taken[home].append(i)
    for j, members in taken.items():
        pictures = [p for p in stream.video_index.tolist() if stream.window[p] == stream.window[j]]
        weights = torch.tensor([max(cosine(x[i], x[p]) for p in pictures) for i in members]).softmax(0)
        expected = (x[j] + sum(w * x[i] for w, i in zip(weights, members, strict=True))) / 2 if members else x[j]
        torch.testing.assert_close(result.embeds[j], expected, rtol=1e-4, atol=1e-5)


def test_what_the_question_asks_for_merges_later():
    """The second step is like the first by a cosine between 0.58 and 0.58 + 0.21 * 0.42: merged where nobody asks, else dropped."""
    stream = make_stream(steps=4, rows=2, columns=2, audio=100, seed=2)
    embeds, question = stream.embeds.clone(), question_of(stream)
    unit = torch.linalg.qr(torch.cat([question[:, None], torch.randn(24, 23, generator=torch.Generator().manual_seed(5))], 1)).Q.T
    rows = stream.video_index.view(4, 4)
    for step in range(4):
        for place in range(4):
            new, old = unit[1 + 5 * step + place], embeds[rows[step - 1, place]]
            embeds[rows[step, place]] = new if step % 2 == 0 else 0.62 * old + (1 - 0.62**2) ** 0.5 * new
    asked = rows[2:].flatten()
    embeds[asked] += 0.3 * unit[0] * torch.sign(question @ unit[0])
    stream = rebuilt(stream, embeds)
    for step in (1, 3):
        for place in range(4):
            assert 0.58 < cosine(embeds[rows[step, place]], embeds[rows[step - 1, place]]) < 0.668
    result = OmniRoute(rho_video=0.5, alpha=0.0, gain=0.0).compress(stream)
    reasons = result.reason[rows]
    assert bool(result.keep[rows[[0, 2]]].all()), "what a window shows first stays"
    assert bool((reasons[1] == Reason.FOLDED).all()) and bool((reasons[3] == Reason.DROPPED).all())


def test_another_question_chooses_otherwise():
    stream = towards_question(0)
    embeds = stream.embeds.clone()
    embeds[-7:] *= -1
    method = OmniRoute()
    assert method.reads_question and "further question reads the clip anew" in method.later
    assert not torch.equal(method.compress(stream).keep, method.compress(rebuilt(stream, embeds)).keep)
