"""How SEATS shares a count among windows, against a search for the level."""

import pytest
import torch

from omnizip.compressors.ops.selection import cumulative_rounding
from omnizip.compressors.seats import _shared


def searched(count, demand, sizes):
    """The level found by bisection."""
    demand = demand.clamp(min=1e-12) * (sizes > 0)
    low, high = 0.0, float((sizes / demand.clamp(min=1e-12)).max())
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float((demand * middle).minimum(sizes).sum()) < count else (low, middle)
    return cumulative_rounding((demand * high).minimum(sizes))


@pytest.mark.parametrize("seed", range(200))
def test_the_level_is_the_one_a_search_finds(seed):
    generator = torch.Generator().manual_seed(seed)
    windows = 1 + seed % 17
    sizes = torch.randint(0, 40, (windows,), generator=generator).double()
    sizes[0] += 1
    demand = 2 * torch.rand(windows, generator=generator, dtype=torch.float64) ** 8
    demand[demand < 0.3 * (seed % 3 == 0)] = 0
    for count in {0, 1, int(sizes.sum()) // 3, int(sizes.sum())}:
        found = _shared(count, demand, sizes)
        assert int(found.sum()) == count and bool((found <= sizes).all())
        assert torch.equal(found, searched(count, demand, sizes))
