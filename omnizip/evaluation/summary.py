"""Records of clips -> accuracy with intervals, paired tests, retention, failures and descriptions, as plain data.

The headline, "all", is the mean over the listed kinds, so it does not depend on how many questions of a kind were drawn;
"micro" is the share of all listed questions. Descriptions and auxiliary kinds are in neither. An item that several seeds
answered counts as the share of them that was right; one that failed counts nowhere but among the failures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..compressors import COMPRESSORS
from . import dataset, density
from .arms import FULL, RANDOM, Entry
from .losses import locate_differences
from .runner import Record
from .statistics import clip_weights, interval, interval_of_mean, macro, mcnemar, ratios, sign_flip
from .world.questions import DESCRIPTION

KINDS = (*dataset.LISTED, *dataset.AUXILIARY, DESCRIPTION)
GROUPS = {"all": dataset.LISTED, **dataset.GROUPS}


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What came of one line of the table (or a control) on the clips of one length; C clips, S seeds."""

    records: Sequence[Record]
    found: Sequence[Sequence[Record]]  # (C, S)

    @cached_property
    def values(self) -> list[np.ndarray]:
        """(C,) of (questions,): share of seeds that were right, NaN where all failed."""
        return [_mean([[np.nan if r is None else float(r) for r in f["right"]] for f in seeds]) for seeds in self.found]

    @cached_property
    def kinds(self) -> list[list[int]]:
        """(C,) of (questions,): number of each question's kind."""
        return [[KINDS.index(q["kind"]) for q in record["questions"]] for record in self.records]

    def counts(self, where: Sequence[np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(C, kinds) right and asked, of the items that did not fail, here or in `where`."""
        right, asked = np.zeros((2, len(self.records), len(KINDS)))
        for clip, (kinds, values) in enumerate(zip(self.kinds, self.values, strict=True)):
            known = np.isfinite(values) if where is None else np.isfinite(values) & np.isfinite(where[clip])
            np.add.at(right[clip], np.array(kinds)[known], values[known])
            np.add.at(asked[clip], np.array(kinds)[known], 1)
        return right, asked


def _mean(rows: list[list[float]]) -> np.ndarray:
    data = np.array(rows, dtype=np.float64)
    known = np.isfinite(data)
    return ratios(np.where(known, data, 0).sum(0), known.sum(0))


def accuracies(right: np.ndarray, asked: np.ndarray) -> dict[str, np.ndarray]:
    """(...,) of counts (..., kinds): the headline, micro, groups and kinds that were asked."""
    rates = ratios(right, asked)
    listed = [KINDS.index(kind) for kind in dataset.LISTED]
    found = {"all": macro(rates[..., listed]), "micro": ratios(right[..., listed].sum(-1), asked[..., listed].sum(-1))}
    found |= {name: macro(rates[..., [KINDS.index(kind) for kind in kinds]]) for name, kinds in dataset.GROUPS.items()}
    return found | {kind: rates[..., i] for i, kind in enumerate(KINDS)}


def _clips(asked: np.ndarray) -> dict[str, int]:
    """How many clips asked (C, kinds) have a part in each accuracy."""
    return {name: int(np.isfinite(shares).sum()) for name, shares in accuracies(asked, asked).items()}


def score(outcomes: Outcomes) -> dict[str, Any]:
    """Accuracies with their intervals, and how many questions of each kind were asked."""
    right, asked = outcomes.counts()
    weights = clip_weights(len(outcomes.records))
    point, drawn = accuracies(right.sum(0), asked.sum(0)), accuracies(weights @ right, weights @ asked)
    clips = _clips(asked)
    known = [name for name, value in point.items() if np.isfinite(value)]
    return {
        "accuracy": {name: float(point[name]) for name in known},
        "ci95": {name: list(interval(drawn[name], clips[name]) or ()) for name in known},
        "asked": {kind: int(asked[:, i].sum()) for i, kind in enumerate(KINDS) if asked[:, i].any()},
    }


def compare(one: Outcomes, other: Outcomes) -> dict[str, Any]:
    """Compare two lines on the items both answered: `one` less `other`, with intervals and tests."""
    (right, asked), (right_other, _) = one.counts(other.values), other.counts(one.values)
    weights = clip_weights(len(one.records))
    found: dict[str, Any] = {}
    clips = _clips(asked)
    point = [accuracies(r.sum(0), asked.sum(0)) for r in (right, right_other)]
    drawn = [accuracies(weights @ r, weights @ asked) for r in (right, right_other)]
    for name in ("all", "micro", *dataset.GROUPS):
        difference = float(point[0][name] - point[1][name])
        if np.isfinite(difference):
            low_high = interval(drawn[0][name] - drawn[1][name], clips[name])
            found[name] = {"difference": difference, "ci95": list(low_high or ())}
    listed = [KINDS.index(kind) for kind in dataset.LISTED]
    found["sign_flip_p"] = sign_flip((right - right_other)[:, listed].sum(1))
    if all(len(seeds) == 1 for outcomes in (one, other) for seeds in outcomes.found):
        only_one, only_other = _discordant(one, other)
        found |= {"only_this_right": only_one, "only_other_right": only_other, "mcnemar_p": mcnemar(only_one, only_other)}
    return found


def _discordant(one: Outcomes, other: Outcomes) -> tuple[int, int]:
    """Listed items right in one alone and in the other alone."""
    counts = [0, 0]
    for kinds, a, b in zip(one.kinds, one.values, other.values, strict=True):
        listed = np.array([KINDS[kind] in dataset.LISTED for kind in kinds])
        counts[0] += int((listed & (a == 1) & (b == 0)).sum())
        counts[1] += int((listed & (a == 0) & (b == 1)).sum())
    return counts[0], counts[1]


def _answered(outcomes: Outcomes) -> int:
    """Listed questions that were answered, each seed for itself."""
    return sum(
        right is not None and question["kind"] in dataset.LISTED
        for record, seeds in zip(outcomes.records, outcomes.found, strict=True)
        for found in seeds
        for right, question in zip(found["right"], record["questions"], strict=True)
    )


def _retained(outcomes: Outcomes) -> dict[str, Any]:
    """Shares of the clips' tokens that were really kept, and the least and most of any clip."""
    pairs = [(f["kept"], r["tokens"]) for r, seeds in zip(outcomes.records, outcomes.found, strict=True) for f in seeds if f["kept"]]
    found: dict[str, Any] = dict.fromkeys(("audio", "video", "total", "total_range"))
    if pairs:
        kept, held = (np.array([[p[i]["audio"], p[i]["video"]] for p in pairs], dtype=np.float64) for i in (0, 1))
        audio, video = ratios(kept.sum(0), held.sum(0))
        each = kept.sum(1) / held.sum(1)
        found = {"audio": audio, "video": video, "total": kept.sum() / held.sum(), "total_range": [each.min(), each.max()]}
    return {name: value if value is None or isinstance(value, list) else float(value) for name, value in found.items()}


def _failures(outcomes: Outcomes) -> dict[str, Any]:
    clips = defaultdict(set)
    questions = 0
    for record, seeds in zip(outcomes.records, outcomes.found, strict=True):
        for f in seeds:
            if "failed" in f:
                clips[f["failed"]].add(record["seed"])
                questions += len(f["right"])
    return {"failures": questions, "failed": [{"sentence": s, "clips": len(c), "seeds": sorted(c)[:5]} for s, c in clips.items()]}


def _descriptions(outcomes: Outcomes) -> dict[str, Any] | None:
    """Facts left out and made up per description, apart from accuracy."""
    described = [[f["told"] for f in seeds if "told" in f] for seeds in outcomes.found]
    described = [seeds for seeds in described if seeds]
    if not described:
        return None
    place = KINDS.index(DESCRIPTION)
    right, asked = (part[:, place] for part in outcomes.counts())
    exact = ratios(right, asked)
    per_clip = {name: [float(np.mean([t[name] for t in seeds])) for seeds in described] for name in ("facts", "missed", "invented")}
    return {
        "n": sum(len(seeds) for seeds in described),
        "facts": float(np.mean(per_clip["facts"])),
        "exact": interval_of_mean(exact[np.isfinite(exact)].tolist()),
        "missed": interval_of_mean(per_clip["missed"]),
        "invented": interval_of_mean(per_clip["invented"]),
    }


def _notes(outcomes: Outcomes) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for seeds in outcomes.found:
        for note in {note for f in seeds for note in f["notes"]}:
            counts[note] += 1
    return dict(counts)


def label(entry: Entry) -> str:
    """The method as people read it, with what departs from its defaults."""
    known = {option.name: option for option in COMPRESSORS[entry.method].options()}
    parts = [COMPRESSORS[entry.method].label]
    for name, value in entry.options:
        option = known[name].label.lower()
        parts.append(
            (f"with {option}" if value else f"without {option}")
            if isinstance(value, bool)
            else f"{option} {value}".replace(" by random", " at random")
        )
    return ", ".join(parts)


def _row(entry: Entry, outcomes: Outcomes) -> dict[str, Any]:
    row = {
        "method": entry.method,
        "name": entry.name,
        "label": label(entry),
        "retention_target": entry.retention,
        "parameters": dict(entry.options),
        "clips": len(outcomes.records),
        "n": _answered(outcomes),
        **score(outcomes),
        "retained": _retained(outcomes),
        **_failures(outcomes),
        "descriptions": _descriptions(outcomes),
        "notes": _notes(outcomes),
    }
    if entry.seeds > 1:
        singles = [Outcomes(outcomes.records, [[seeds[n]] for seeds in outcomes.found]) for n in range(entry.seeds)]
        found = [float(accuracies(r.sum(0), a.sum(0))["all"]) for r, a in (single.counts() for single in singles)]
        row["seeds"] = {"count": entry.seeds, "all": found, "sd": float(np.std(found, ddof=1))}
    return row


def results(records: Sequence[Record], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """One row per line of the table and clip length."""
    rows = []
    for seconds, of_length in by_length(records):
        outcomes = {entry: Outcomes(of_length, [[r["arms"][key] for key in entry.keys] for r in of_length]) for entry in entries}
        drawn, ours = (
            {entry.retention: o for entry, o in outcomes.items() if entry.method == method and not entry.options}
            for method in (RANDOM, OMNIZIP)
        )
        for entry, found in outcomes.items():
            row = {"seconds": seconds, **_row(entry, found)}
            if entry.method != FULL:
                row["vs_full"] = compare(found, outcomes[Entry(FULL)])
            if entry.retention in drawn and drawn[entry.retention] is not found:
                row["vs_random"] = compare(found, drawn[entry.retention])
                if entry.method in LOCATED_METHODS and not entry.options:
                    row["vs_random"] |= _locate(found, drawn[entry.retention], entry.retention)
            if entry.retention in ours and ours[entry.retention] is not found:
                row["vs_omnizip"] = compare(found, ours[entry.retention])
            rows.append(row)
    return rows


OMNIZIP = "omnizip"  # every other line at its shares is compared with its defaults
LOCATED_METHODS = (OMNIZIP, "omnizip-official")  # methods whose gains and losses against random choice are listed by kind of clip


def _locate(one: Outcomes, other: Outcomes, retention: float | None) -> dict[str, Any]:
    listed = [KINDS.index(kind) for kind in dataset.LISTED]
    (right, asked), (right_other, _) = one.counts(other.values), other.counts(one.values)
    return locate_differences(one.records, *(part[:, listed].sum(1) for part in (right, right_other, asked)), retention)


def by_length(records: Sequence[Record]) -> list[tuple[float, list[Record]]]:
    """Clip lengths with their records."""
    found: dict[float, list[Record]] = {}
    for record in records:
        found.setdefault(record["seconds"], []).append(record)
    return list(found.items())


def densities(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Per clip length: how well S_a follows what happens."""
    return [{"seconds": seconds, **density.summarise(of_length)} for seconds, of_length in by_length(records)]
