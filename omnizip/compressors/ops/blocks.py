"""Pieces of a clip in the size that suits a device, so that memory does not grow with the clip.

What a piece holds follows from the prompt's layout, so it is planned on the host and no value is ever waited for.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...deferred import Tensor, torch
from ...stream import TokenStream, placed


def block_bytes(device: torch.device) -> int:
    """Working memory of one block of steps: cache-sized on a CPU, large on an accelerator, which wants few launches."""
    return 8 << 20 if device.type == "cpu" else 512 << 20


def step_rows(stream: TokenStream) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of steps: which (slice) and their embeddings (s, n, D) float32."""
    n, total = stream.tokens_per_step, stream.grid[0]
    size = max(1, block_bytes(stream.embeds.device) // max(1, n * stream.embeds.shape[1] * 4))
    for start in range(0, total, size):
        block = slice(start, min(total, start + size))
        index = stream.video_index[block.start * n : block.stop * n]
        yield block, stream.embeds[index].float().view(-1, n, stream.embeds.shape[1])


def rows_at(embeds: Tensor, places: Tensor) -> Tensor:
    """(s, n, D) float32 rows of `embeds` (L, D) at `places` (s, n) on the host.

    Where the rows stand in s evenly spaced pieces, as the steps of a clip do, a float32 stream is not copied.
    """
    s, n = places.shape
    if places.numel():
        first = int(places[0, 0])
        apart = int(places[1, 0]) - first if s > 1 else n
        if apart > 0 and torch.equal(places, first + apart * torch.arange(s)[:, None] + torch.arange(n)):
            row, column = embeds.stride()
            strides = (apart * row, row, column)
            return embeds.as_strided((s, n, embeds.shape[1]), strides, embeds.storage_offset() + first * row).float()
    return embeds[placed(places, embeds.device)].float()


def edges(counts: Tensor) -> Tensor:
    """(G + 1,) int64 where each group starts and the last one ends, for `counts` (G,) items that stand group by group."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def padded(counts: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """(g, q) int64 places of the items of some groups, padded to the largest of them, and (g, q) bool where there is none.

    Args:
        counts: (G,) items of each group, which stand group by group; groups: (g,) the wanted ones. All on the host.
    """
    column = torch.arange(int(counts[groups].max()) if groups.numel() else 0)
    places = (counts.cumsum(0) - counts)[groups, None] + column
    return places.clamp(max=max(0, int(counts.sum()) - 1)), column >= counts[groups, None]


def present(absent: Tensor, device: torch.device) -> Tensor:
    """(f,) int64 on `device`: which entries of a padded table, row by row, are real; a mask there would be waited for.

    Args:
        absent: (g, q) bool on the host, True at padding.
    """
    return placed((~absent).flatten().nonzero().flatten(), device)


def evenly_spaced(mask: Tensor) -> slice | Tensor:
    """The rows a host mask marks: a slice where they are evenly spaced, so that indexing copies nothing."""
    rows = mask.nonzero().flatten()
    stride = int(rows[1] - rows[0]) if rows.numel() > 1 else 1
    if rows.numel() and torch.equal(rows, torch.arange(int(rows[0]), int(rows[-1]) + 1, stride)):
        return slice(int(rows[0]), int(rows[-1]) + 1, stride)
    return rows


def picked(values: Tensor, rows: slice | Tensor) -> Tensor:
    """`values` at host rows as `evenly_spaced` gives them, on whatever device they are."""
    return values[rows if isinstance(rows, slice) else placed(rows, values.device)]
