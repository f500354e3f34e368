"""OmniRefine's pictures as quadtrees, and its clips as blocks in which sound and picture belong together (arXiv 2605.12056)."""

from __future__ import annotations

from ..deferred import Tensor, torch
from ..stream import TokenStream, placed
from .ops.blocks import block_bytes, edges, step_rows
from .ops.similarity import norms

STEPS_PER_BLOCK = range(3, 6)
AUDIO_PER_BLOCK = range(90, 141)
VARIANCE_WEIGHT = 0.02
LEAST_BAND = 48


def quadtree(x: Tensor, rows: int, columns: int, threshold: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Merge regions of alike patches: a region collapses if its parts have, and all are as like its mean as `threshold`.

    Args:
        x: (s, rows * columns, D) float32 tokens of s steps.
        threshold: one for all, or (s, 1) of each step.

    Returns:
        (s, n) the likeness at which each token goes into the first of its region, -inf for the first of the picture;
        (s, n) int64 the place each token's collapsed region is represented by; (s, n, D) the means of those regions.
    """
    s, n, width = x.shape
    place = torch.arange(n, device=x.device)
    row, column = place // columns, place % columns
    total, count = x.view(s, rows, columns, width), x.new_ones(rows, columns)
    value = x.new_full((s, rows, columns), torch.inf)
    likeness = x.new_full((s, n), -torch.inf)
    home, node = place.expand(s, n), x
    level = 0
    while total.shape[1] > 1 or total.shape[2] > 1:
        level += 1
        edge = (0, total.shape[2] % 2, 0, total.shape[1] % 2)
        total = torch.nn.functional.pad(total, (0, 0, *edge))
        count, value = torch.nn.functional.pad(count, edge), torch.nn.functional.pad(value, edge, value=torch.inf)
        parts, held = _quarters(total), _quarters(count[None, ..., None])[..., 0]
        whole, count = parts.sum(dim=3), held.sum(dim=3)[0]
        cosine = torch.linalg.vecdot(parts, whole[:, :, :, None]) / (norms(parts) * norms(whole)[:, :, :, None]).squeeze(-1)
        cosine = torch.where(held > 0, cosine, torch.inf)
        value = torch.minimum(cosine.amin(dim=3), _quarters(value[..., None])[..., 0].amin(dim=3))
        total = whole
        here = value[:, row >> level, column >> level]
        half = (1 << level) - 1
        first = (row & half == 0) & (column & half == 0)
        was_first = (row & half >> 1 == 0) & (column & half >> 1 == 0)
        likeness = torch.where(was_first & ~first, here, likeness)
        collapsed = here >= threshold
        home = torch.where(collapsed, (row >> level << level) * columns + (column >> level << level), home)
        mean = (total / count[..., None])[:, row >> level, column >> level]
        node = torch.where(collapsed[..., None], mean, node)
    return likeness, home, node


def _quarters(x: Tensor) -> Tensor:
    """(s, R / 2, C / 2, 4, D) from (s, R, C, D)."""
    s, rows, columns, width = x.shape
    return x.view(s, rows // 2, 2, columns // 2, 2, width).transpose(2, 3).reshape(s, rows // 2, columns // 2, 4, width)


def correspondence(stream: TokenStream) -> tuple[Tensor, Tensor] | None:
    """(steps,) and (A,) int64 on the host: the block each step and each audio token belongs to, in order; None: impossible here.

    The division into blocks of 3 to 5 steps and 90 to 140 audio tokens with the least sum of minus the mean likeness plus 0.02
    times its variance; likeness is the cosine of a step's mean to audio tokens of its own and the neighbouring windows, else 0.
    Cuts stay within a band around the clip's even pace. One pass over the steps, each over all cuts at once.
    """
    steps, audio = stream.grid[0], stream.n_audio
    if steps < STEPS_PER_BLOCK[0] or audio < AUDIO_PER_BLOCK[0]:
        return None
    start, running = _likeness(stream)
    pace = audio / steps
    band = max(LEAST_BAND, round(2 * pace * STEPS_PER_BLOCK[-1]))
    reach = torch.arange(-band, band + 1)
    sizes = torch.arange(AUDIO_PER_BLOCK[0], AUDIO_PER_BLOCK[-1] + 1)
    cost = torch.full((steps + 1, reach.numel()), torch.inf, dtype=torch.float64)
    cost[0, band] = 0
    came = torch.zeros(steps + 1, reach.numel(), 2, dtype=torch.int64)
    for step in range(STEPS_PER_BLOCK[0], steps + 1):
        end = round(step * pace) + reach
        begin = end[:, None] - sizes  # (band, sizes)
        for size in STEPS_PER_BLOCK:
            if size > step:
                break
            rows = slice(step - size, step)
            slot = begin - round((step - size) * pace) + band
            fits = (slot >= 0) & (slot < reach.numel()) & (begin >= 0) & (end[:, None] <= audio)
            before = torch.where(fits, cost[step - size][slot.clamp(0, reach.numel() - 1)], torch.inf)
            at_end, at_begin = (_sum_until(running[:, rows], start[rows], t) for t in (end, begin.flatten()))
            mean, square = (at_end[:, :, None] - at_begin.view(2, *begin.shape)) / (size * sizes)
            total = before - mean + VARIANCE_WEIGHT * (square - mean**2)
            best, which = total.min(dim=1)
            better = best < cost[step]
            cost[step] = torch.where(better, best, cost[step])
            came[step][better] = torch.stack([torch.full_like(which, size), sizes[which]], dim=1)[better]
    last = audio - round(steps * pace) + band
    if torch.isinf(cost[steps, last]):
        return None
    return _trace(came, steps, audio, pace, band)


def _trace(came: Tensor, steps: int, audio: int, pace: float, band: int) -> tuple[Tensor, Tensor]:
    """The blocks of the cheapest division, followed back from its end."""
    step_sizes, audio_sizes = [], []
    while steps:
        size, heard = came[steps, audio - round(steps * pace) + band].tolist()
        step_sizes.insert(0, size)
        audio_sizes.insert(0, heard)
        steps, audio = steps - size, audio - heard
    blocks = torch.arange(len(step_sizes))
    return blocks.repeat_interleave(torch.tensor(step_sizes)), blocks.repeat_interleave(torch.tensor(audio_sizes))


def _sum_until(running: Tensor, start: Tensor, time: Tensor) -> Tensor:
    """(2, T) likeness and its square summed over some steps and over audio before each of `time` (T,)."""
    place = (time[None] - start[:, None]).clamp(0, running.shape[2] - 1)
    return running.gather(2, place.expand(2, -1, -1)).sum(dim=1)


def _likeness(stream: TokenStream) -> tuple[Tensor, Tensor]:
    """(steps,) first audio token near each step, and (2, steps, P + 1) running sums of likeness and its square, on the host."""
    counts, window = stream.structure.audio_counts, stream.structure.step_window
    ends = edges(counts)
    first = ends[(window - 1).clamp(min=0)]
    after = ends[(window + 2).clamp(max=counts.numel())]
    most = int((after - first).max())
    means = torch.cat([x.mean(dim=1) for _, x in step_rows(stream)])
    made = []
    for block in torch.arange(window.numel()).split(max(1, block_bytes(means.device) // (4 * most * means.shape[1] + 1))):
        place = first[block, None] + torch.arange(most)
        absent = placed(place >= after[block, None], means.device)
        rows = stream.embeds[stream.audio_index[placed(place.clamp(max=stream.n_audio - 1), means.device)]].float()
        mean = means[placed(block, means.device)][:, None]
        made.append((torch.linalg.vecdot(rows, mean) / (norms(rows) * norms(mean)).squeeze(-1)).masked_fill(absent, 0))
    likeness = torch.cat(made).cpu().double()
    return first, torch.nn.functional.pad(torch.stack([likeness, likeness**2]).cumsum(dim=2), (1, 0))
