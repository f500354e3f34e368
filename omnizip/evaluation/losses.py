"""Where a method gains or loses against random choice: by kind of clip, and the clips on which it loses most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .density import SERIES, groups
from .runner import Record
from .statistics import clip_weights, interval, ratios

WORST = 3


def locate_differences(
    records: Sequence[Record], right: np.ndarray, other: np.ndarray, asked: np.ndarray, retention: float | None
) -> dict[str, Any]:
    """Find where a method gains and loses: differences of the share of listed questions that were right.

    Args:
        right, other, asked: (clips,) listed questions right for the method, right for random choice, and answered by both.
    """
    place = {id(record): i for i, record in enumerate(records)}
    kinds = []
    for name, of_group in groups(records):
        chosen = np.array([place[id(record)] for record in of_group])
        gain, n = (right - other)[chosen], asked[chosen]
        if not n.sum():
            continue
        weights = clip_weights(chosen.size)
        found = interval(ratios(weights @ gain, weights @ n), int((n > 0).sum()))
        kinds.append({"group": name, "clips": chosen.size, "difference": float(gain.sum() / n.sum()), "ci95": list(found or ())})
    order = sorted(np.flatnonzero(asked), key=lambda i: ((right[i] - other[i]) / asked[i], records[i]["seed"]))
    worst = [_case(records[i], right[i], other[i], asked[i], retention) for i in order[:WORST] if right[i] < other[i]]
    return {"by_kind_of_clip": kinds, "worst": worst}


def _case(record: Record, right: float, other: float, asked: float, retention: float | None) -> dict[str, Any]:
    named = {name: record[name] for name in ("seed", "seconds", "ambient", "pattern")}
    found = {**named, "right": float(right), "random_right": float(other), "asked": int(asked)}
    guide = record.get("density", {}).get("guidance", {}).get(f"{retention:g}") if retention else None
    return {**found, **({"s_a": guide, **{name: record["density"][name] for name in SERIES}} if guide else {})}
