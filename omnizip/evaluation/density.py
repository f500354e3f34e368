"""How well OmniZip's guide follows what happens: S_a of each window beside the world's true density of events.

S_a is the share of a window's audio tokens that are salient (`Compression.audio_retention`); the method keeps more picture
where it is high. True density of sound: the share of the window in which a sound event is heard. Of picture: the share in
which a shape appears or vanishes (half a second from either on) or moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compressors import COMPRESSORS
from ..stream import TokenStream
from ..windows import WINDOW_S
from .statistics import interval_of_mean, pearson, spearman
from .world.scene import Scene

GRID_S = 0.01
CHANGE_S = 0.5  # a frame at two per second shows a change for so long
SERIES = ("sound", "picture")
WORST = 3


def densities(scene: Scene, windows: int) -> dict[str, list[float]]:
    """Share of each window filled by sound events and by changes of the picture."""
    heard = [(sound.start_s, sound.end_s) for sound in scene.sounds]
    changes = []
    for actor in scene.actors:
        changes += [(actor.start_s, actor.start_s + CHANGE_S)] if actor.start_s > 0 else []
        changes += [(actor.end_s, actor.end_s + CHANGE_S)]
        changes += [(actor.start_s, actor.end_s)] if actor.motion != "still" else []
    return {"sound": _shares(heard, scene.duration_s, windows), "picture": _shares(changes, scene.duration_s, windows)}


def _shares(stretches: Sequence[tuple[float, float]], duration_s: float, windows: int) -> list[float]:
    """Share of each window covered by at least one stretch."""
    times = np.arange(GRID_S / 2, duration_s, GRID_S)
    covered = np.zeros(times.size, dtype=bool)
    for start_s, end_s in stretches:
        covered |= (times >= start_s) & (times < end_s)
    window = (times // WINDOW_S).astype(int)
    return [round(float(covered[window == i].mean()), 4) if (window == i).any() else 0.0 for i in range(windows)]


def guide_by_window(stream: TokenStream, retentions: Sequence[float]) -> dict[str, list[float | None]]:
    """S_a of each window at each retention; None in a window without sound."""
    found = {}
    for retention in retentions:
        shares = COMPRESSORS["omnizip"].at_retention(retention, stream).compress(stream).audio_retention.tolist()
        found[f"{retention:g}"] = [None if share != share else round(share, 4) for share in shares]
    return found


def summarise(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summarise correlations within clips, averaged over the clips of each ambient and pattern, with the clips that are worst."""
    rows = []
    for retention in records[0]["density"]["guidance"]:
        for group, of_group in groups(records):
            row = {"retention": float(retention), "group": group, "clips": len(of_group)}
            for series in SERIES:
                for name, measure in (("spearman", spearman), ("pearson", pearson)):
                    values = [v for r in of_group if (v := _correlation(r, retention, series, measure)) is not None]
                    row[f"{series} {name}"] = interval_of_mean(values)
            rows.append(row)
    first = next(iter(records[0]["density"]["guidance"]))
    ranked = [(value, _correlation(r, first, "sound", pearson), r) for r in records if _known(value := _rank(r, first))]
    ranked.sort(key=lambda found: (found[0], found[1], found[2]["seed"]))
    return {"rows": rows, "worst": [_case(record, first, value) for value, _, record in ranked[:WORST]]}


def _known(value: float | None) -> bool:
    return value is not None


def _rank(record: dict[str, Any], retention: str) -> float | None:
    return _correlation(record, retention, "sound", spearman)


def groups(records: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Clips by what lies under the events and by the backdrop."""
    found: dict[str, list[dict[str, Any]]] = {"all": list(records)}
    for kind in ("ambient", "pattern"):
        for value in sorted({record[kind] for record in records}):
            found[f"{kind}: {value}"] = [record for record in records if record[kind] == value]
    return list(found.items())


def _correlation(record: dict[str, Any], retention: str, series: str, measure: Any) -> float | None:
    """Correlation over the windows of a clip that have sound; None where one of the two never varies."""
    guide, truth = record["density"]["guidance"][retention], record["density"][series]
    pairs = [(g, t) for g, t in zip(guide, truth, strict=True) if g is not None]
    return measure(*zip(*pairs, strict=True)) if len(pairs) > 1 else None


def _case(record: dict[str, Any], retention: str, value: float) -> dict[str, Any]:
    named = {name: record[name] for name in ("seed", "seconds", "ambient", "pattern")}
    series = {name: record["density"][name] for name in SERIES}
    return {**named, "retention": float(retention), "spearman": value, "s_a": record["density"]["guidance"][retention], **series}
