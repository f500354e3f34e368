"""OmniRefine against slow readings of its description: every division tried, every region walked, what merges planted."""

import functools

import pytest
import torch
from streams import make_stream

from omnizip.compressors import omnirefine_blocks
from omnizip.compressors.omnirefine import SPATIAL, OmniRefine
from omnizip.stream import Reason


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-6) * (b.norm() + 1e-6)))


@pytest.mark.parametrize("rows, columns", [(4, 4), (3, 5), (1, 6), (7, 2)])
def test_a_quadtree_by_recursion(rows, columns):
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(8, generator=generator) + 0.9 * torch.randn(rows, columns, 8, generator=generator)
    x[: rows // 2 + 1, :2] = x[0, 0] + 0.05 * torch.randn(rows // 2 + 1, min(2, columns), 8, generator=generator)
    goes, mean_of = {}, {}

    def collapse(row, column, side):
        """Whether a region becomes one, its members; writes where its tokens go."""
        members = [(r, c) for r in range(row, min(rows, row + side)) for c in range(column, min(columns, column + side))]
        if side == 1 or not members:
            return True, members
        half = side // 2
        parts = [collapse(r, c, half) for r in (row, row + half) for c in (column, column + half)]
        mean = torch.stack([x[m] for m in members]).mean(0)
        alike = all(not part or cosine(torch.stack([x[m] for m in part]).mean(0), mean) >= SPATIAL for _, part in parts)
        if all(done for done, _ in parts) and alike:
            for m in members:
                goes[m], mean_of[m] = (row, column), mean
            return True, members
        return False, members

    collapse(0, 0, 8)
    _, home, node = omnirefine_blocks.quadtree(x.view(1, rows * columns, 8), rows, columns, SPATIAL)
    assert 0 < sum(goes.get(m) not in (None, m) for m in goes) < rows * columns
    for r in range(rows):
        for c in range(columns):
            r0, c0 = goes.get((r, c), (r, c))
            assert int(home[0, r * columns + c]) == r0 * columns + c0
            torch.testing.assert_close(node[0, r * columns + c], mean_of.get((r, c), x[r, c]))


@pytest.mark.independent("omnirefine")
def test_blocks_are_the_best_of_all_divisions(monkeypatch):
    """Small blocks, so that every division can be tried."""
    monkeypatch.setattr(omnirefine_blocks, "STEPS_PER_BLOCK", range(2, 4))
    monkeypatch.setattr(omnirefine_blocks, "AUDIO_PER_BLOCK", range(40, 61))
    stream = make_stream(steps=8, audio=200, width=6, seed=3)
    x = stream.embeds[stream.video_index].view(8, 20, -1).mean(1)
    audio = stream.embeds[stream.audio_index]
    table = torch.tensor([[cosine(x[f], audio[t]) if abs(f // 2 - t // 50) <= 1 else 0.0 for t in range(200)] for f in range(8)]).double()

    @functools.cache
    def cost(f0, f1, t0, t1):
        block = table[f0:f1, t0:t1]
        return float(-block.mean() + 0.02 * block.var(unbiased=False))

    @functools.cache
    def best(f, t):
        if f == 8 and t == 200:
            return 0.0, ()
        options = [
            (cost(f, f + k, t, t + a) + rest[0], ((k, a), *rest[1]))
            for k in (2, 3)
            if f + k <= 8
            for a in range(40, 61)
            if t + a <= 200 and (rest := best(f + k, t + a))
        ]
        return min(options) if options else None

    step_block, audio_block = omnirefine_blocks.correspondence(stream)
    found = tuple(zip(torch.bincount(step_block).tolist(), torch.bincount(audio_block).tolist(), strict=True))
    assert found == best(0, 0)[1]


def test_a_clip_that_cannot_be_divided_falls_back():
    assert omnirefine_blocks.correspondence(make_stream(steps=2, audio=50)) is None
    assert omnirefine_blocks.correspondence(make_stream(steps=6, audio=0)) is None
    assert omnirefine_blocks.correspondence(make_stream(steps=12, audio=90)) is None  # 3 blocks of steps at least, sound for one
    step_block, audio_block = omnirefine_blocks.correspondence(make_stream(steps=12, audio=300))
    assert step_block.numel() == 12 and audio_block.numel() == 300
    assert set(torch.bincount(step_block).tolist()) <= {3, 4, 5} and int(torch.bincount(audio_block).max()) <= 140
    kept = OmniRefine().compress(make_stream(steps=2, audio=50)).keep
    assert bool(kept.any())


def test_what_repeats_in_space_and_time_merges_into_the_first_of_it():
    """Four flat quarters that never change, in two of four steps' places noise: quarters become one token each, later ones none."""
    stream = make_stream(steps=4, rows=4, columns=4, audio=100)
    generator = torch.Generator().manual_seed(0)
    quarter = torch.linalg.qr(torch.randn(24, 4, generator=generator)).Q.T
    picture = quarter.view(2, 2, 24).repeat_interleave(2, 0).repeat_interleave(2, 1).reshape(16, 24)
    embeds = stream.embeds.clone()
    index = stream.video_index.view(4, 16)
    embeds[index] = picture + 0.01 * torch.randn(4, 16, 24, generator=generator)
    stream = type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency)
    result = OmniRefine(counts="exact", rho_video=1 - 4 / 64).compress(stream)
    kept = result.keep[index]
    assert kept[0].nonzero().flatten().tolist() == [0, 2, 8, 10] and not kept[1:].any()
    for token in range(16):
        corner = (token // 8) * 8 + (token % 4) // 2 * 2
        assert set(result.source[index[:, token]].tolist()) == {int(index[0, corner])}
    torch.testing.assert_close(result.embeds[index[0, 2]], embeds[index[:, [2, 3, 6, 7]]].mean((0, 1)), atol=1e-5, rtol=1e-4)
    bounded = OmniRefine().compress(stream).keep[index]
    assert int(bounded.sum()) == round(0.18 * 64)  # the least share that is left


def test_audio_goes_into_the_best_anchor_of_its_interval():
    stream = make_stream(steps=4, audio=100, seed=5)
    generator = torch.Generator().manual_seed(1)
    embeds = stream.embeds.clone()
    themes = torch.linalg.qr(torch.randn(24, 4, generator=generator)).Q.T
    embeds[stream.audio_index] = themes.repeat_interleave(25, 0) + 0.1 * torch.randn(100, 24, generator=generator)
    stream = type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency)
    result = OmniRefine(rho_audio=0.5, counts="exact").compress(stream)
    a, reasons = embeds[stream.audio_index], result.reason[stream.audio_index]
    dominant = (reasons == Reason.SALIENT).nonzero().flatten().tolist()
    score = stream.saliency[stream.audio_index].tolist()
    assert set(dominant) == set(sorted(range(100), key=lambda i: -score[i])[:50])
    anchors = (reasons == Reason.ANCHOR).nonzero().flatten().tolist()
    assert len(anchors) == 5
    taken = {i: [] for i in anchors}
    for i in set(range(100)) - set(dominant) - set(anchors):
        near = [j for j in anchors if j // 25 == i // 25]  # themes differ, so every 25 tokens are an interval
        assert (reasons[i] == Reason.FOLDED) == bool(near)
        if near:
            home = max(near, key=lambda j: cosine(a[i], a[j]))
            taken[home].append(i)
            assert result.source[stream.audio_index[i]] == stream.audio_index[home]
    for j, members in taken.items():
        weights = [max(0.0, cosine(a[i], a[j])) for i in members]
        expected = (a[j] + sum(w * a[i] for w, i in zip(weights, members, strict=True))) / (1 + sum(weights))
        torch.testing.assert_close(result.embeds[stream.audio_index[j]], expected, atol=1e-5, rtol=1e-4)


def test_more_picture_left_means_more_sound_left():
    """The published coupling: 0.4 of what is left of the picture beyond 1 - rho_video."""
    stream = make_stream(steps=4, rows=4, columns=4, audio=100)
    result = OmniRefine().compress(stream)  # random pictures do not merge, so 0.55 is left
    assert int(result.keep[stream.video_index].sum()) == round(0.55 * 64)
    salient = int((result.reason[stream.audio_index] == Reason.SALIENT).sum())
    assert salient == round((1 - (0.3 - 0.4 * (35.2 / 64 - 0.4))) * 100)
