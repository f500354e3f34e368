"""Intervals and tests over clips: questions about one clip stand or fall together, so clips are what is drawn again.

- 95 % interval: percentile bootstrap over clips, `DRAWS` times, from a fixed seed; every arm sees the same draws, so the
  difference of two arms is paired.
- McNemar's exact test: of the items on which two arms differ, is either side more than a fair coin would give? It takes items
  as independent, which questions about one clip are not quite.
- Sign-flip test over clips: were the two arms alike, each clip's difference could as well have had the other sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

DRAWS = 2000
FLIPS = 10_000
SEED = 95
Interval = tuple[float, float]


def clip_weights(clips: int, draws: int = DRAWS) -> np.ndarray:
    """(draws, clips) float64: how often each clip occurs in each resampled set of `clips` clips."""
    return np.random.default_rng([SEED, clips]).multinomial(clips, np.full(clips, 1 / clips), size=draws).astype(np.float64)


def interval(values: np.ndarray, clips: int) -> Interval | None:
    """The middle 95 % of resampled values (draws,); None where none of them is defined.

    Args:
        clips: how many have a part in it. None of one alone, which drawn again is itself and would look certain.
    """
    defined = values[np.isfinite(values)]
    if clips < 2 or not defined.size:
        return None
    low, high = np.quantile(defined, (0.025, 0.975))
    return float(low), float(high)


def ratios(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where there is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def macro(rates: np.ndarray) -> np.ndarray:
    """Mean over the kinds (last axis) that were asked; NaN where none was."""
    asked = np.isfinite(rates)
    return ratios(np.where(asked, rates, 0).sum(-1), asked.sum(-1))


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p of `only_a` items right under a alone and `only_b` under b alone."""
    n = only_a + only_b
    if not n:
        return 1.0
    tail = sum(comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n
    return min(1.0, 2 * tail)


def sign_flip(differences: Sequence[float] | np.ndarray, flips: int = FLIPS) -> float:
    """Two-sided p of the sum of per-clip differences against random signs."""
    values = np.asarray(differences, dtype=np.float64)
    values = values[values != 0]
    if not values.size:
        return 1.0
    rng = np.random.default_rng([SEED, values.size])
    at_least, observed = 1, abs(values.sum()) - 1e-12
    for _ in range(0, flips, 1000):
        signs = rng.integers(0, 2, (1000, values.size), dtype=np.int8) * 2 - 1
        at_least += int((np.abs(signs @ values) >= observed).sum())
    return at_least / (1 + -(-flips // 1000) * 1000)


def interval_of_mean(values: Sequence[float]) -> dict[str, float | int | list[float] | None]:
    """Mean of one value per clip, how many there are, and its interval."""
    if not values:
        return {"n": 0, "mean": None, "ci95": None}
    data = np.asarray(values, dtype=np.float64)
    found = interval(clip_weights(data.size) @ data / data.size, data.size)
    return {"n": data.size, "mean": float(data.mean()), "ci95": list(found) if found else None}


def pearson(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Pearson's correlation; None where either never varies."""
    x, y = (np.asarray(v, dtype=np.float64) - np.mean(v) for v in (a, b))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 1e-12 else None


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Pearson's correlation of the ranks, ties sharing their mean rank."""
    return pearson(ranks(a), ranks(b))


def ranks(values: Sequence[float]) -> np.ndarray:
    """(N,) ranks from 0, ties sharing their mean."""
    data = np.asarray(values, dtype=np.float64)
    below = (data[None, :] < data[:, None]).sum(1)
    same = (data[None, :] == data[:, None]).sum(1)
    return below + (same - 1) / 2
