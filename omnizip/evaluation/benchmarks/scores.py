"""Records of a benchmark's clips -> accuracy by group with intervals, paired differences, tokens read and times, as plain data.

Accuracy is the share of right answers among those that name an option. What was unparsed and what failed is counted beside it and is
in no accuracy and no difference; `floor` is the share of all questions that were right, which is what an accuracy becomes where
both are taken for wrong. An item that several seeds answered counts as the share of them that was right.

Intervals come from the bootstrap over clips and the tests from `..statistics`, which the synthetic world's tables use as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..arms import FULL, RANDOM, Entry
from ..runner import Record
from ..statistics import clip_weights, interval, interval_of_mean, mcnemar, ratios, sign_flip
from ..summary import label

ALL = ("all", "all")
VALUES = {"right": 1.0, "wrong": 0.0}  # of what counts; everything else is NaN
COUNTED = ("right", "wrong", "unparsed", "failed", "said")
TIMES = ("encode", "compress", "prefill", "first_token", "to_first_token", "decode")


@dataclass(frozen=True, eq=False)
class LineOutcomes:
    """What came of one line of the table: per clip (C) and seed (S) the outcomes of its questions."""

    entry: Entry
    records: Sequence[Record]

    @cached_property
    def found(self) -> list[list[list[Record]]]:
        """(C, S) of (questions,)."""
        failed = [
            [{"status": "failed", "reason": record["failed"]}] * len(record["questions"]) if "failed" in record else None
            for record in self.records
        ]
        return [
            [record["arms"][key] if lost is None else lost for key in self.entry.keys]
            for record, lost in zip(self.records, failed, strict=True)
        ]

    @cached_property
    def by_seed(self) -> list[np.ndarray]:
        """(C,) of (S, questions): 1 right, 0 wrong, NaN where it counts nowhere."""
        return [np.array([[VALUES.get(o["status"], np.nan) for o in seed] for seed in seeds], dtype=np.float64) for seeds in self.found]

    @cached_property
    def values(self) -> list[np.ndarray]:
        """(C,) of (questions,): share of seeds that were right, of those that count; NaN where none does."""
        return [ratios(np.nansum(clip, 0), np.isfinite(clip).sum(0)) for clip in self.by_seed]

    @cached_property
    def outcomes(self) -> list[Record]:
        """All of them, whichever clip and seed."""
        return [outcome for seeds in self.found for seed in seeds for outcome in seed]


def group_masks(records: Sequence[Record]) -> dict[tuple[str, str], list[np.ndarray]]:
    """Which questions of each clip belong to each group; a question may be in several of one kind."""
    names = dict.fromkeys([ALL, *sorted({tuple(g) for r in records for q in r["questions"] for g in q["groups"]})])
    return {
        name: [
            np.array([name == ALL or list(name) in [list(g) for g in q["groups"]] for q in record["questions"]], dtype=bool)
            for record in records
        ]
        for name in names
    }


def _counts(
    values: Sequence[np.ndarray], mask: Sequence[np.ndarray], where: Sequence[np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(C,) right and (C,) counted, of the questions in `mask` that count here and, where it is given, in `where`."""
    right, asked = np.zeros((2, len(values)))
    for clip, (found, inside) in enumerate(zip(values, mask, strict=True)):
        known = np.isfinite(found) & inside if where is None else np.isfinite(found) & np.isfinite(where[clip]) & inside
        right[clip], asked[clip] = found[known].sum(), known.sum()
    return right, asked


def _interval(part: np.ndarray, asked: np.ndarray, weights: np.ndarray) -> tuple[float, float] | None:
    """Of the share part / asked over clips (C,)."""
    return interval(ratios(weights @ part, weights @ asked), int((asked > 0).sum()))


def accuracy(line: LineOutcomes, masks: Mapping[tuple[str, str], Sequence[np.ndarray]], weights: np.ndarray) -> list[dict[str, Any]]:
    """One entry a group: kind, which, share right, interval (empty where one clip alone counts), how many counted."""
    found = []
    for (kind, which), mask in masks.items():
        right, asked = _counts(line.values, mask)
        if not asked.sum():
            continue
        low_high = _interval(right, asked, weights)
        found.append(
            {
                "kind": kind,
                "group": which,
                "accuracy": float(right.sum() / asked.sum()),
                "ci95": list(low_high or ()),
                "n": int(asked.sum()),
            }
        )
    return found


def paired(one: LineOutcomes, other: LineOutcomes, mask: Sequence[np.ndarray], weights: np.ndarray) -> dict[str, Any] | None:
    """`one` less `other` on the questions that count in both, with interval and tests; None where there are none.

    McNemar's exact test is of single runs: where one side has several seeds, one p for each of them.
    """
    (right, asked), (right_other, _) = _counts(one.values, mask, other.values), _counts(other.values, mask, one.values)
    if not asked.sum():
        return None
    low_high = _interval(right - right_other, asked, weights)
    found: dict[str, Any] = {
        "difference": float((right - right_other).sum() / asked.sum()),
        "ci95": list(low_high or ()),
        "n": int(asked.sum()),
        "sign_flip_p": sign_flip(right - right_other),
    }
    pairs = [_discordant(one.by_seed, a, other.by_seed, b, mask) for a in range(one.entry.seeds) for b in range(other.entry.seeds)]
    tests = [{"only_this_right": a, "only_other_right": b, "mcnemar_p": mcnemar(a, b)} for a, b in pairs]
    return found | (tests[0] if len(tests) == 1 else {"by_seed": tests})


def _discordant(one: Sequence[np.ndarray], a: int, other: Sequence[np.ndarray], b: int, mask: Sequence[np.ndarray]) -> tuple[int, int]:
    only = [0, 0]
    for here, there, inside in zip(one, other, mask, strict=True):
        only[0] += int((inside & (here[a] == 1) & (there[b] == 0)).sum())
        only[1] += int((inside & (here[a] == 0) & (there[b] == 1)).sum())
    return only[0], only[1]


def summarise(records: Sequence[Record], entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """One row a line of the table, in the order of `entries`; full comes first."""
    masks, weights = group_masks(records), clip_weights(len(records))
    lines = {entry: LineOutcomes(entry, records) for entry in entries}
    drawn = {entry.retention: line for entry, line in lines.items() if entry.method == RANDOM and not entry.options}
    rows = []
    for entry, line in lines.items():
        row = _row(line, masks, weights)
        if entry.method != FULL:
            row["vs_full"] = paired(line, lines[Entry(FULL)], masks[ALL], weights)
        if (random := drawn.get(entry.retention)) is not None and random is not line:
            row["vs_random"] = paired(line, random, masks[ALL], weights)
        rows.append(row)
    return rows


def _row(line: LineOutcomes, masks: Mapping[tuple[str, str], Sequence[np.ndarray]], weights: np.ndarray) -> dict[str, Any]:
    entry, outcomes = line.entry, line.outcomes
    counts = {status: sum(outcome["status"] == status for outcome in outcomes) for status in COUNTED}
    reasons: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        if outcome["status"] == "failed":
            reasons[outcome["reason"]] += 1
    asked = len(outcomes) - counts["said"]
    row = {
        "method": entry.method,
        "name": entry.name,
        "label": label(entry),
        "retention_target": entry.retention,
        "parameters": dict(entry.options),
        "seeds": entry.seeds,
        "clips": len(line.records),
        "counts": {status: counts[status] for status in COUNTED if counts[status] or status != "said"},
        "accuracy": accuracy(line, masks, weights),
        "floor": counts["right"] / asked if asked else None,
        "failed": dict(reasons),
        "retained": _means(line, "retained", ("total", "audio", "video")),
        "tokens": _means(line, "tokens", ("total", "audio", "video", "text")),
        "ms": {name: _median([o["ms"][name] for o in outcomes if "ms" in o]) for name in TIMES},
    }
    if entry.seeds > 1:
        each = [LineOutcomes(Entry(entry.method, entry.retention, entry.options), _single(line, n)) for n in range(entry.seeds)]
        shares = [float(ratios(*(part.sum() for part in _counts(one.values, masks[ALL])))) for one in each]
        row["by_seed"] = {"accuracy": shares, "sd": float(np.std(shares, ddof=1))}
    return row


def _single(line: LineOutcomes, number: int) -> list[Record]:
    """The records with one seed alone, as a line that ran once has them."""
    name = Entry(line.entry.method, line.entry.retention, line.entry.options).name
    key = line.entry.keys[number]
    return [record if "failed" in record else {**record, "arms": {name: record["arms"][key]}} for record in line.records]


def _means(line: LineOutcomes, field: str, names: Sequence[str]) -> dict[str, float | None]:
    found = {}
    for name in names:
        values = [o[field][name] for o in line.outcomes if field in o and o[field][name] is not None]
        found[name] = float(np.mean(values)) if values else None
    return found


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def descriptions(
    records: Sequence[Record], entries: Sequence[Entry], verdicts: Mapping[tuple[str, str, int], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What descriptions are worth: how likely the full model's own is to each method, and what a judge missed or found invented.

    Args:
        verdicts: of the judge, by clip, arm and number of the question; empty without one.
    """
    rows = []
    for entry in entries:
        likely, missed, invented, facts = [], [], [], []
        for record in records:
            found: dict[str, list[float]] = {"likely": [], "missed": [], "invented": []}
            for key in entry.keys if "failed" not in record else ():
                for number, outcome in enumerate(record["arms"][key]):
                    if outcome.get("log_likelihood") is not None:
                        found["likely"].append(outcome["log_likelihood"])
                    if verdict := verdicts.get((record["clip"], key, number)):
                        facts.append(verdict["facts"])
                        found["missed"].append(verdict["missed"] / max(1, verdict["facts"]))
                        found["invented"].append(verdict["invented"] / max(1, verdict["facts"]))
            for values, of_clip in ((likely, found["likely"]), (missed, found["missed"]), (invented, found["invented"])):
                values += [float(np.mean(of_clip))] if of_clip else []  # several seeds of one clip are one clip
        rows.append(
            {
                "name": entry.name,
                "log_likelihood": interval_of_mean(likely),
                "facts": float(np.mean(facts)) if facts else None,
                "missed": interval_of_mean(missed),
                "invented": interval_of_mean(invented),
            }
        )
    return rows
