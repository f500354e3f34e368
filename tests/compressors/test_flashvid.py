"""FlashVID against a slow reading of its description: every distance by hand, every tree walked, every group averaged."""

import math

import pytest
import torch
from streams import make_stream

from omnizip.compressors.flashvid import FlashVID, segments
from omnizip.compressors.ops.farthest import unlike
from omnizip.compressors.ops.selection import cumulative_rounding
from omnizip.stream import Reason


def cosine(a, b):
    return float(a @ b / ((a.norm() + 1e-6) * (b.norm() + 1e-6)))


def filmed(steps, rows, columns, seed=0, change_at=(), still=0.5, audio=60):
    """A stream whose picture moves little but at some steps, with attention of its own."""
    plain = make_stream(steps=steps, rows=rows, columns=columns, audio=audio, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    n, embeds = rows * columns, plain.embeds.clone()
    picture = torch.randn(n, 24, generator=generator)
    frames = []
    for step in range(steps):
        if step in change_at:
            picture = torch.randn(n, 24, generator=generator)
        noise = torch.rand(n, 1, generator=generator) * still * 2
        frames.append(picture[torch.randperm(n, generator=generator)] + noise * torch.randn(n, 24, generator=generator))
    embeds[plain.video_index] = torch.cat(frames)
    scores = torch.rand(plain.n_video, generator=generator)
    rest = (plain.positions, plain.modality, plain.window, plain.grid, plain.saliency, plain.saliency_windowed)
    return type(plain)(embeds, *rest, "attention", {"saliency_video": lambda: (scores, 1.0)}), scores.view(steps, n)


def select_slowly(x, attention, count):
    """Max-min diversity: distances weigh by the attention of the patch that may be taken."""
    n = len(x)
    distance = [[max(0.0, 1 - cosine(x[i], x[j])) * float(attention[j]) for j in range(n)] for i in range(n)]
    taken = []
    while len(taken) < count:
        others = {j: (taken or [i for i in range(n) if i != j]) for j in range(n) if j not in taken}
        taken.append(max(others, key=lambda j: (min(distance[i][j] for i in others[j]), -j)))
    return set(taken)


def peaks_slowly(x, members, count):
    """The centres among `members` of one step, and the centre each goes to."""
    if not count:
        return {}

    def apart(i, j):
        return float((x[i] - x[j]).norm()) / math.sqrt(x.shape[1])

    density = {}
    for i in members:
        near = sorted(apart(i, j) for j in members)[: min(7, count)]
        density[i] = math.exp(-sum(d * d for d in near) / len(near))
    score = {}
    for i in members:
        denser = [apart(i, j) for j in members if (density[j], -j) > (density[i], -i)]
        score[i] = density[i] * (min(denser) if denser else max(apart(a, b) for a in members for b in members))
    centres = sorted(members, key=lambda i: -score[i])[:count]
    return {i: i if i in centres else min(centres, key=lambda c: apart(i, c)) for i in members}


@pytest.mark.independent("flashvid")
@pytest.mark.parametrize("seed, still, share", [(0, 0.4, 0.4), (1, 0.4, 0.6), (2, 1.5, 0.5), (3, 0.2, 0.25)])
def test_flashvid_is_its_description(seed, still, share):
    steps, n = 12, 12
    stream, attention = filmed(steps, 3, 4, seed, change_at=(5,), still=still)
    result = FlashVID(video_share=share).compress(stream)
    index = stream.video_index
    x = stream.embeds[index].view(steps, n, -1)
    total = round(share * steps * n)
    assert int(result.keep[index].sum()) == total and bool(result.keep[stream.audio_index].all())

    by_step = cumulative_rounding(torch.full((steps,), total / steps, dtype=torch.float64))
    selected = cumulative_rounding(by_step.double() * (round(0.7 * total) / total)).tolist()
    taken = {(t, i) for t in range(steps) for i in select_slowly(x[t], attention[t], selected[t])}
    reasons = result.reason[index].view(steps, n)
    assert taken == {(int(t), int(i)) for t, i in (reasons == Reason.METHOD_SCORE).nonzero()}

    likeness = [cosine(x[t].mean(0), x[t - 1].mean(0)) for t in range(1, steps)]
    cuts = {t + 1 for t, value in enumerate(likeness) if value < 0.9}
    for t in sorted(range(1, steps), key=lambda t: likeness[t - 1]):
        if len(cuts) < 7:
            cuts.add(t)
    edges = [0, *sorted(cuts), steps]
    survivor = {}
    for start, end in zip(edges, edges[1:], strict=False):
        free = [(t, i) for t in range(start, end) for i in range(n) if (t, i) not in taken]
        wanted = sum(by_step[start:end].tolist()) - sum(selected[start:end])
        links = {}
        for t, i in free:
            before = [j for j in range(n) if t > start and (t - 1, j) not in taken]
            if before:
                j = max(before, key=lambda j: cosine(x[t, i], x[t - 1, j]))
                if cosine(x[t, i], x[t - 1, j]) > 0.8:
                    links[t, i] = (t - 1, j)
        most_alike = sorted(links, key=lambda p: -cosine(x[p], x[links[p]]))
        links = {p: links[p] for p in most_alike[: len(free) - wanted]}
        roots = [p for p in free if p not in links]
        per_step = [sum(p[0] == t for p in roots) for t in range(start, end)]
        counts = (reasons[start:end] == Reason.ANCHOR).sum(1).tolist()  # of a step within one of its share of the segment's
        assert all(abs(c - held * wanted / max(1, len(roots))) < 1 for c, held in zip(counts, per_step, strict=True))
        assert sum(counts) == wanted
        homes = {}
        for t in range(start, end):
            members = [p[1] for p in roots if p[0] == t]
            for i, c in peaks_slowly(x[t], members, counts[t - start]).items():
                homes[t, i] = (t, c)
        for p in free:
            root = p
            while root in links:
                root = links[root]
            survivor[p] = homes.get(root)
    groups = {}
    for (t, i), home in survivor.items():
        place = int(result.source[index[t * n + i]])
        assert place == (-1 if home is None else int(index[home[0] * n + home[1]])), (t, i)
        if home is not None:
            groups.setdefault(home, []).append(x[t, i])
    for (t, i), rows in groups.items():
        torch.testing.assert_close(result.embeds[index[t * n + i]], torch.stack(rows).mean(0), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(result.embeds[index[t * n + i]], x[t, i]) for t, i in taken)


def test_what_stands_still_becomes_one_token_where_it_was_first_seen():
    stream, _ = filmed(8, 3, 4, still=0.0, audio=0)
    x = stream.embeds[stream.video_index].view(8, 12, -1)
    result = FlashVID(video_share=16 / 96, selected=0.5).compress(stream)
    survivors = result.source[stream.video_index].view(8, 12)
    seen = {}
    merged = 0
    for t in range(8):
        for i in range(12):
            place = int(survivors[t, i])
            if place >= 0 and result.reason[stream.video_index[t * 12 + i]] == Reason.FOLDED:
                merged += 1
                seen.setdefault(place, []).append((t, i))
    assert merged > 0 and int(result.keep[stream.video_index].sum()) == 16
    assert bool((result.keep[stream.video_index].view(8, 12).sum(1) > 0).all()) and x.shape == (8, 12, 24)


def test_there_are_eight_segments_where_nothing_cuts_and_more_where_much_does():
    calm, _ = filmed(12, 3, 4, still=0.05, change_at=(4,))
    assert int(segments(calm)[-1]) == 7 and int(segments(calm).diff()[3]) == 1
    short, _ = filmed(3, 3, 4, still=0.05)
    assert segments(short).tolist() == [0, 1, 2]
    wild, _ = filmed(12, 3, 4, change_at=range(12))
    assert segments(wild).tolist() == list(range(12))


def test_unlike_takes_a_planted_order():
    """Four points on a line: the one farthest from its neighbour, then from what was taken."""
    places = torch.tensor([0.0, 1.0, 3.0, 10.0])
    distance = (places[:, None] - places[None]).abs()[None]
    for count, expected in ((1, [3]), (2, [0, 3]), (3, [0, 2, 3]), (0, [])):
        assert unlike(distance, torch.tensor([count]))[0].nonzero().flatten().tolist() == expected
