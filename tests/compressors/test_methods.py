"""Targets met on made-up streams, and each method that ranks video against a slow reading of its description."""

import itertools
import math

import pytest
import torch
from streams import make_stream
from tiny import INSIDE

from omnizip import COMPRESSORS, Modality
from omnizip.compressors.dtd import DTD
from omnizip.compressors.dycoke import DyCoke
from omnizip.compressors.evs import EVS
from omnizip.compressors.vidcom2 import VidCom2


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-6) * (b.norm() + 1e-6)))


def kept_places(stream, result, index):
    return set(index[result.keep[index]].tolist())


def best(scores, count):
    """The `count` highest of a list, the earlier of equals first."""
    return set(sorted(range(len(scores)), key=lambda i: -scores[i])[:count])


@pytest.mark.parametrize("clip", [{"steps": 10, "audio": 250}, {"steps": 7, "audio": 90}, {"audio": 0}, {"steps": 1, "audio": 25}])
@pytest.mark.parametrize("retention", [0.12, 0.25, 0.35, 0.45, 0.8])
@pytest.mark.parametrize("name", [name for name, kind in COMPRESSORS.items() if kind.meets_retention and name not in INSIDE])
def test_a_target_is_met_or_the_method_says_why_not(name, retention, clip):
    stream = make_stream(**clip)
    method = COMPRESSORS[name].at_retention(retention, stream)
    result = method.compress(stream)
    media = stream.modality != Modality.TEXT
    if int(result.keep[media].sum()) != round(retention * int(media.sum())):
        assert method.shortfall in result.notes and method.shortfall.endswith("asked.")


def video_rows(stream):
    return stream.video_index.view(stream.grid[0], -1)


@pytest.mark.independent("dtd")
def test_dtd_drops_what_did_not_change():
    stream = make_stream(steps=5)
    x = stream.embeds[video_rows(stream)]
    result = DTD(threshold=0.1).compress(stream)
    for t, i in itertools.product(range(5), range(20)):
        expected = t == 0 or cosine(x[t, i], x[t - 1, i]) <= 0.1
        assert bool(result.keep[video_rows(stream)[t, i]]) == expected
    shared = DTD(mode="share", video_share=0.6).compress(stream)
    for t in range(1, 5):
        expected = best([-cosine(x[t, i], x[t - 1, i]) for i in range(20)], 10)
        assert set(shared.keep[video_rows(stream)[t]].nonzero().flatten().tolist()) == expected


@pytest.mark.independent("evs")
def test_evs_ranks_change_over_the_whole_clip():
    stream = make_stream(steps=6)
    x = stream.embeds[video_rows(stream)].flatten(0, 1)
    change = [math.inf] * 20 + [-cosine(x[i], x[i - 20]) for i in range(20, 120)]
    result = EVS(video_share=0.4).compress(stream)
    assert set(result.keep[stream.video_index].nonzero().flatten().tolist()) == best(change, 48)
    assert bool(EVS(video_share=0.01).compress(stream).keep[video_rows(stream)[0]].all())


@pytest.mark.independent("dycoke")
@pytest.mark.parametrize("steps", [4, 5, 6, 7, 9])
def test_dycoke_keeps_change_within_groups_of_four(steps):
    """K = 0.7 of the reduced frames; counts by hand, choice by cosine to the frame the description names."""
    stream = make_stream(steps=steps, audio=25 * steps - 7)
    whole = math.ceil(steps / 4)
    kept_share = (whole + (steps - whole) * 0.3) / steps
    result = DyCoke(rho_video=1 - kept_share, rho_audio=0.4).compress(stream)
    x, rows = stream.embeds[video_rows(stream)], video_rows(stream)
    for t in range(steps):
        kept = set(result.keep[rows[t]].nonzero().flatten().tolist())
        if t % 4 == 0:
            assert len(kept) == 20
        else:
            other = t - 2 if t % 4 == 2 else t - 1
            assert len(kept) == 6
            assert kept == best([-cosine(x[t, i], x[other, i]) for i in range(20)], 6)
    audio = stream.embeds[stream.audio_index]
    for second in range(steps):
        places = range(second * 25, min((second + 1) * 25, stream.n_audio))
        kept = [bool(result.keep[stream.audio_index[i]]) for i in places]
        if second % 4 == 0:
            assert all(kept)
        else:
            back = 50 if second % 4 == 2 else 25
            expected = best([-cosine(audio[i], audio[i - back]) for i in places], sum(kept))
            assert {i for i, k in enumerate(kept) if k} == expected
    assert int(result.keep[stream.audio_index].sum()) == max(round(0.6 * stream.n_audio), 0)


def test_dycoke_thins_whole_frames_evenly_below_a_quarter():
    stream = make_stream(steps=8, audio=0)
    result = DyCoke(rho_video=0.9).compress(stream)
    kept = result.keep[video_rows(stream)]
    assert kept.sum(1).tolist() == [8, 0, 0, 0, 8, 0, 0, 0]
    gaps = kept[0].nonzero().flatten().diff()
    assert int(gaps.max() - gaps.min()) <= 1
    assert "thinned" in result.notes[0]


@pytest.mark.independent("vidcom2")
def test_vidcom2_is_the_published_formula():
    stream = make_stream(steps=5, rows=3, columns=4)
    x = stream.embeds[stream.video_index].double()
    steady = x.var(dim=0, unbiased=False).argsort()[:12]
    unit = x[:, steady] / (x[:, steady].norm(dim=1, keepdim=True) + 1e-6)

    def likeness(rows, mean):
        squared = ((rows - mean) ** 2).sum(-1)
        return sum(torch.exp(-squared / (2 * a)) for a in (0.125, 0.25, 0.5, 1, 2))

    to_clip = likeness(unit, unit.mean(0)).view(5, 12)
    to_frame = torch.stack([likeness(f, f.mean(0)) for f in unit.view(5, 12, -1)])
    unusual = -to_clip.mean(1)
    weight = torch.softmax((unusual - unusual.max()) / 0.01, 0)
    counts = ((0.4 * (1 + weight - weight.mean())).clamp(max=1) * 12).round().clamp(min=1)
    result = VidCom2(video_share=0.4).compress(stream)
    for t in range(5):
        expected = best((-(to_clip + to_frame))[t].tolist(), int(counts[t]))
        assert set(result.keep[video_rows(stream)[t]].nonzero().flatten().tolist()) == expected


def test_vidcom2_gives_unusual_frames_more_room():
    stream = make_stream(steps=6, rows=4, columns=4, audio=0)
    embeds = stream.embeds.clone()
    rows = video_rows(stream)
    embeds[rows] = embeds[rows[0]][None] + 0.05 * torch.randn(6, 16, 24, generator=torch.Generator().manual_seed(2))
    embeds[rows[4]] = torch.randn(16, 24, generator=torch.Generator().manual_seed(3))
    stream = type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency_windowed)
    per_step = VidCom2(video_share=0.3, counts="exact").compress(stream).keep[rows].sum(1)
    assert int(per_step.argmax()) == 4 and int(per_step[4]) > int(per_step[[0, 1, 2, 3, 5]].max())
    assert int(per_step.sum()) == round(0.3 * 96)
