"""DASH against a slow reading of its description, token by token, on sound that changes its theme where it was planted to."""

import math

import pytest
import torch
from streams import make_stream

from omnizip.compressors.dash import DASH, piece_of_steps, pieces
from omnizip.stream import Reason


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-6) * (b.norm() + 1e-6)))


def best(scores, count):
    """The `count` highest, the earlier of equals first."""
    return set(sorted(range(len(scores)), key=lambda i: -scores[i])[:count])


def themed(lengths, steps, **clip):
    """A stream whose sound has one theme after the other, of these lengths."""
    stream = make_stream(steps=steps, audio=sum(lengths), **clip)
    generator = torch.Generator().manual_seed(4)
    themes = torch.linalg.qr(torch.randn(24, len(lengths), generator=generator)).Q.T
    embeds = stream.embeds.clone()
    noise = 0.12 * torch.randn(sum(lengths), 24, generator=generator)
    embeds[stream.audio_index] = themes.repeat_interleave(torch.tensor(lengths), 0) + noise
    return type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency)


def cut_slowly(rows):
    """Where pieces begin, as the description has it."""
    starts, last = [0], 0
    for t in range(1, len(rows)):
        if cosine(rows[t], rows[t - 1]) < 0.4 and t - last >= 30:
            starts.append(t)
            last = t
    return starts


def score_slowly(rows, attention):
    boundary = [1.0] + [(1 - cosine(rows[t], rows[t - 1])) / 2 for t in range(1, len(rows))]
    steady = rows.double().var(dim=0, unbiased=False).argsort()[: rows.shape[1] // 2]
    unit = torch.stack([row[steady] / (row[steady].norm() + 1e-6) for row in rows])
    centre = unit.mean(0)
    common = [sum(math.exp(-float(((u - centre) ** 2).sum()) / (2 * a)) for a in (0.125, 0.25, 0.5, 1, 2)) for u in unit]
    return [
        0.4 * b / max(boundary) + 0.3 * (1 - c / max(common)) + 0.3 * float(w) / float(attention.max())
        for b, c, w in zip(boundary, common, attention, strict=True)
    ]


@pytest.mark.independent("dash")
@pytest.mark.parametrize("lengths, edges", [((60, 25, 65, 70), (0, 60, 150)), ((40, 40, 31, 29, 60), (0, 40, 80, 111))])
def test_dash_is_its_description(lengths, edges):
    """A theme of less than 30 tokens ends without a cut."""
    stream = themed(lengths, steps=9, rows=3, columns=4)
    rows = stream.embeds[stream.audio_index]
    n_audio, n_steps, n = len(rows), 9, 12
    starts = cut_slowly(rows)
    assert tuple(starts) == edges
    result = DASH(rho_audio=0.5, rho_video=0.7).compress(stream)
    reasons = result.reason[stream.audio_index].tolist()
    salient = {i for i, reason in enumerate(reasons) if reason == Reason.SALIENT}
    assert salient == best(score_slowly(rows, stream.saliency[stream.audio_index]), n_audio // 2)
    stays = result.keep[stream.audio_index]
    assert int(stays.sum()) == n_audio // 2 + round(0.05 * n_audio)

    x = stream.embeds[stream.video_index].view(n_steps, n, -1)
    kept = result.keep[stream.video_index].view(n_steps, n)
    ends = [*starts[1:], n_audio]
    home = [next(p for p, end in enumerate(ends) if (t + 0.5) / n_steps * n_audio < end) for t in range(n_steps)]
    for t in range(n_steps):
        first, p = home.index(home[t]), home[t]
        if home.count(p) < 2:
            assert bool(kept[t].all())
            continue
        share = float(stays[starts[p] : ends[p]].float().mean())
        count = int(n * (1 - min(0.95, max(0.1, 0.7 + 0.1 * (0.5 - share)))))
        if (t - first) % 2 == 0:
            alike = [sorted((cosine(x[t, i], x[t, j]) for j in range(n) if j != i), reverse=True)[:5] for i in range(n)]
            scores = [-sum(values) / 5 for values in alike]
        else:
            scores = [-cosine(x[t, i], x[t - 1, i]) for i in range(n)]
        assert set(kept[t].nonzero().flatten().tolist()) == best(scores, count)


def test_a_budget_is_met_and_pieces_with_more_sound_left_keep_more_picture():
    stream = themed((100, 100), steps=8, rows=4, columns=5)
    embeds, attention = stream.embeds, stream.saliency.clone()
    attention[stream.audio_index[:100]] += 5
    stream = type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, attention, attention)
    result = DASH.at_retention(0.4, stream).compress(stream)
    assert int(result.keep[stream.media_index].sum()) == round(0.4 * (200 + 160))
    per_step = result.keep[stream.video_index].view(8, 20).sum(1)
    assert int(per_step[:4].sum()) > int(per_step[4:].sum()) + 3


def test_pieces_are_no_shorter_than_thirty_tokens_but_the_last():
    likeness = torch.ones(100)
    likeness[[0, 20, 30, 59, 60, 95]] = -1
    assert pieces(likeness).tolist() == [30, 30, 35, 5]
    assert pieces(torch.ones(0)).tolist() == [] and pieces(torch.ones(7)).tolist() == [7]
    assert piece_of_steps(torch.tensor([30, 30, 40]), 10).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert piece_of_steps(torch.tensor([], dtype=torch.int64), 3).tolist() == [0, 0, 0]


def test_without_sound_the_picture_is_pruned_less():
    stream = make_stream(steps=4, audio=0)
    result = DASH(rho_video=0.6).compress(stream)
    assert result.keep[stream.video_index].view(4, 20).sum(1).tolist() == [11, 11, 11, 11]  # int(20 * 0.55)
    assert "no sound" in result.notes[0]
