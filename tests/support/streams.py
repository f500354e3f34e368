"""Streams for tests: the token layout of Qwen2.5-Omni over made-up embeddings."""

import torch

from omnizip import TokenStream

AUDIO, VIDEO, TEXT, D = 1, 2, 9, 24


def make_stream(
    steps=6,
    rows=4,
    columns=5,
    audio=150,
    *,
    seconds_per_step=1.0,
    width=D,
    seed=0,
    saliency=None,
    text=(5, 7),
    with_positions=True,
    dtype=torch.float32,
):
    """A clip of `steps` video steps and `audio` audio tokens, interleaved in two-second windows between text.

    Positions follow TMRoPE: 25 time ids per second. `saliency` (A,) defaults to random values.
    """
    generator = torch.Generator().manual_seed(seed)
    n = rows * columns
    step_time = [int(t * seconds_per_step * 25) for t in range(steps)]
    windows = max([t // 50 for t in step_time] + [(audio - 1) // 50 if audio else 0, 0]) + 1
    ids, time, height, across = [], [], [], []
    start = text[0]
    for w in range(windows):
        for t in step_time:
            if t // 50 == w:
                ids += [VIDEO] * n
                time += [start + t] * n
                height += [start + i // columns for i in range(n)]
                across += [start + i % columns for i in range(n)]
        here = range(w * 50, min(audio, (w + 1) * 50))
        ids += [AUDIO] * len(here)
        for axis in (time, height, across):
            axis += [start + a for a in here]
    after = max([start - 1, *time, *height, *across]) + 1
    before = list(range(start))
    behind = list(range(after, after + text[1]))
    positions = torch.tensor([before + axis + behind for axis in (time, height, across)])
    ids = torch.tensor([TEXT] * text[0] + ids + [TEXT] * text[1])
    embeds = torch.randn(ids.numel(), width, generator=generator).to(dtype)
    if saliency is None:
        saliency = torch.rand(audio, generator=generator)
    return TokenStream.from_ids(
        ids,
        embeds,
        positions if with_positions else None,
        audio_token_id=AUDIO,
        video_token_id=VIDEO,
        grid_thw=(steps, rows * 2, columns * 2),
        audio_saliency=saliency,
    )
