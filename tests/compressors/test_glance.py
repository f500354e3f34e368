"""Glance: farthest points by a slow reading, counts, what is seen, and its swaps."""

from dataclasses import replace

import pytest
import torch
from streams import make_stream

from omnizip import COMPRESSORS, Modality, OmniZip
from omnizip.compressors.audio_selectors import AUDIO_SELECTORS
from omnizip.compressors.base import Sight
from omnizip.compressors.glance import PICTURE_RULES, FirstGlance
from omnizip.compressors.ops.farthest import farthest_points
from omnizip.stream import Reason


def slow_farthest(points, count):
    """The greedy choice, point by point and in plain numbers: the farthest from the mean, then the farthest from all chosen."""
    points = [[float(v) for v in point] for point in points]
    mean = [sum(column) / len(points) for column in zip(*points, strict=True)]

    def apart(a, b):
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    chosen = []
    while len(chosen) < count:
        left = [i for i in range(len(points)) if i not in chosen]
        scores = [min(apart(points[i], points[j]) for j in chosen) if chosen else apart(points[i], mean) for i in left]
        chosen.append(left[scores.index(max(scores))])
    return set(chosen)


def sight_of(stream, seed=0):
    steps, rows, columns = stream.grid
    pixels = torch.randn(steps, rows * columns, 2, 48, generator=torch.Generator().manual_seed(seed))
    layout = replace(stream, embeds=stream.embeds[:, :0])
    return Sight(layout, pixels, stream.embeds[stream.audio_index])


def seen_stream(stream, seen):
    """The stream of a clip of which only `seen` was encoded."""
    embeds = stream.embeds.clone()
    embeds[stream.step_places[~seen]] = 0
    return replace(stream, embeds=embeds, seen=seen)


def with_mel(stream, seed=1):
    mel = torch.randn(stream.n_audio, 128, generator=torch.Generator().manual_seed(seed))
    return replace(stream, observers={"log_mel": lambda: (mel, 0.0)}), mel


@pytest.mark.independent("glance")
def test_what_is_looked_at_is_the_farthest_points_and_the_shares_are_even():
    stream = make_stream(steps=5, audio=125)
    sight = sight_of(stream)
    method = FirstGlance.at_retention(0.3, stream)
    seen = method.look(sight)
    expected = (1 - method.rho_video) * stream.n_video
    assert int(seen.sum()) == round(expected) and int(seen.sum(dim=1).max() - seen.sum(dim=1).min()) <= 1
    for step in range(5):
        points = sight.pixels[step].mean(dim=1)
        assert set(seen[step].nonzero().flatten().tolist()) == slow_farthest(points, int(seen[step].sum()))
    found = method.compress(seen_stream(stream, seen))
    assert torch.equal(found.keep[stream.step_places], seen)
    assert bool((found.reason[stream.step_places[~seen]] == Reason.UNSEEN).all())
    sound = found.keep[stream.audio_index]
    kept = sound.nonzero().flatten()
    assert int(found.keep[stream.media_index].sum()) == round(0.3 * stream.media_index.numel())
    assert int(kept.diff().max()) <= 2 / (1 - method.rho_audio), "sound is kept at equal distances, anchors in between"


@pytest.mark.parametrize("seed", range(5))
def test_many_sets_of_points_are_each_what_the_slow_reading_gives(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 4, (6, 16, 3), generator=generator).float()  # with many ties, and a mean that float32 holds
    counts = torch.randint(0, 17, (6,), generator=generator)
    chosen = farthest_points(x, counts)
    for points, count, row in zip(x, counts.tolist(), chosen, strict=True):
        assert set(row.nonzero().flatten().tolist()) == slow_farthest(points, count)
    x = torch.randn(6, 16, 3, generator=generator)
    allowed = torch.rand(6, 16, generator=generator) < 0.6
    counts = torch.minimum(counts, allowed.sum(dim=1))
    for points, count, may, row in zip(x, counts.tolist(), allowed, farthest_points(x, counts, allowed), strict=True):
        places = may.nonzero().flatten()
        assert {int(i) for i in row.nonzero()} == {int(places[i]) for i in slow_farthest(points[places], count)}


def test_two_stages_encode_more_and_keep_the_same_number():
    stream = make_stream(steps=6, audio=150)
    one, two = (FirstGlance.at_retention(0.3, stream, encode_share=share) for share in (0.0, 0.6))
    seen = two.look(sight_of(stream))
    assert int(seen.sum()) == round(0.6 * stream.n_video)
    found = two.compress(seen_stream(stream, seen))
    kept = found.keep[stream.step_places]
    assert torch.equal(kept & seen, kept) and int(kept.sum()) == round((1 - one.rho_video) * stream.n_video)
    reasons = found.reason[stream.step_places]
    assert bool((reasons[~seen] == Reason.UNSEEN).all()) and bool((reasons[seen & ~kept] == Reason.DROPPED).all())


@pytest.mark.parametrize("picture", list(PICTURE_RULES))
@pytest.mark.parametrize("guide", ["none", "audio"])
@pytest.mark.parametrize("audio", ["uniform", "random", "energy", "novelty", "saliency"])
def test_every_swap_meets_the_budget_and_is_the_same_twice(picture, guide, audio):
    stream, _ = with_mel(make_stream(steps=6, audio=150))
    method = FirstGlance.at_retention(0.35, stream, picture=picture, guide=guide, audio=audio, seed=3)
    sight = sight_of(stream)
    seen = method.look(sight)
    assert torch.equal(seen, method.look(sight))
    found = method.compress(seen_stream(stream, seen))
    assert int(found.keep[stream.media_index].sum()) == round(0.35 * stream.media_index.numel())
    assert not bool((found.keep[stream.step_places] & ~seen).any())


def test_every_other_step_is_whole_steps():
    stream = make_stream(steps=8, audio=0)
    seen = FirstGlance.at_retention(0.5, stream, picture="steps").look(sight_of(stream))
    assert seen.any(dim=1).tolist() == [False, True] * 4 and bool(seen[1::2].all())


def test_change_and_variance_find_what_was_planted():
    stream = make_stream(steps=4, audio=0)
    sight = sight_of(stream)
    pixels = torch.zeros_like(sight.pixels)
    pixels[2:, 7] = 5.0  # appears in step 2 and stays
    pixels[:, 3, :, ::2] = 1.0  # striped, always
    planted = replace(sight, pixels=pixels)
    few = 1 - 1 / stream.tokens_per_step
    change = FirstGlance(rho_video=min(0.95, few), picture="change").look(planted)
    assert bool(change[2, 7])
    assert bool(FirstGlance(rho_video=min(0.95, few), picture="variance").look(planted)[:, 3].all())


def test_seeds_draw_differently_and_only_where_something_is_drawn():
    stream = make_stream(steps=6, audio=150)
    sight = sight_of(stream)
    looks = {(rule, seed): FirstGlance(picture=rule, seed=seed).look(sight) for rule in ("random", "farthest") for seed in (0, 1)}
    assert not torch.equal(looks["random", 0], looks["random", 1])
    assert torch.equal(looks["farthest", 0], looks["farthest", 1])


def test_sound_is_ranked_as_the_option_says():
    """By slow readings: loudness is the mean, novelty the distance to the mean of the second before."""
    stream, mel = with_mel(make_stream(steps=2, audio=60))
    scores = {name: rank(stream, 0, "clip") for name, rank in AUDIO_SELECTORS.items()}
    assert torch.equal(scores["uniform"], torch.ones(60))
    for i in (1, 10, 40):
        assert float(scores["energy"][i]) == pytest.approx(sum(mel[i].tolist()) / 128, abs=1e-5)
        past = mel[max(0, i - 25) : i].mean(dim=0)
        assert float(scores["novelty"][i]) == pytest.approx(float((mel[i] - past).norm()), rel=1e-4)
    for name in ("uniform", "energy", "novelty"):
        method = OmniZip.at_retention(0.35, stream, audio_selector=name)
        assert "saliency" not in method.needs
        assert int(method.compress(stream).keep[stream.media_index].sum()) == round(0.35 * stream.media_index.numel())


def test_without_pixels_it_says_so():
    stream = make_stream(steps=4, audio=100)
    assert any("No pixels" in note for note in FirstGlance().compress(stream).notes)
    assert not FirstGlance().compress(seen_stream(stream, FirstGlance().look(sight_of(stream)))).notes


def test_methods_that_need_all_of_the_picture_are_given_it():
    """Who ranks by what the encoder or the model says cannot choose before."""
    for name, kind in COMPRESSORS.items():
        assert not (kind.chooses_before_encoding and "saliency_video" in (kind.needs if isinstance(kind.needs, frozenset) else ())), name
    stream = make_stream(steps=4, audio=100)
    assert bool(OmniZip().look(sight_of(stream)).all())


def test_what_was_never_encoded_is_kept_by_nobody():
    stream = make_stream(steps=4, audio=100)
    seen = torch.zeros(stream.grid[0], stream.tokens_per_step, dtype=torch.bool)
    seen[:, ::2] = True
    found = COMPRESSORS["full"]().compress(seen_stream(stream, seen))
    video = found.stream.modality == Modality.VIDEO
    assert int(found.keep[video].sum()) == int(seen.sum())
    assert int((found.reason == Reason.UNSEEN).sum()) == int((~seen).sum())
    assert bool((found.source[found.reason == Reason.UNSEEN] == -1).all())
