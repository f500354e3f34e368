"""Controls: on clips without the media a question is about, the full model must fall to what is left to guess."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import dataset
from .arms import FULL
from .runner import Record
from .summary import KINDS, Outcomes, by_length, score
from .world.questions import DESCRIPTION

LEFT = {dataset.OTHER_SOUND: "by eye", dataset.OTHER_PICTURE: "by ear"}  # the sense that a control leaves intact


def measure(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Measure per clip length: the full model on changed clips beside the priors the cross-modal kinds must fall to."""
    found = []
    for seconds, of_length in by_length(records):
        runs = {dataset.UNCHANGED: [[r["arms"][FULL]] for r in of_length]}
        runs |= {name: [[r["controls"][name]] for r in of_length] for name in dataset.CONTROLS}
        priors = _priors(of_length)
        rows = [{"control": name, **score(Outcomes(of_length, run))} for name, run in runs.items()]
        for row in rows:
            row["above_guessing"] = _above_guessing(row, priors)
        found.append({"seconds": seconds, "clips": len(of_length), "prior": priors, "rows": rows})
    return found


def _above_guessing(row: dict[str, Any], priors: dict[str, dict[str, float]]) -> list[str]:
    """Cross-modal kinds whose whole interval lies above the better guess that the control leaves: constant, or by one sense."""
    asked = [kind for kind in dataset.GROUPS["cross-modal"] if kind in row["accuracy"]]
    guess = {kind: max(priors[kind]["constant"], priors[kind].get(LEFT.get(row["control"], ""), 0.0)) for kind in asked}
    return [kind for kind in asked if row["ci95"][kind] and row["ci95"][kind][0] > guess[kind]]


def _priors(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Per kind: the best constant answer, and guessing among what is seen ("by eye") or heard ("by ear")."""
    asked = defaultdict(list)
    for record in records:
        for question in record["questions"]:
            asked[question["kind"]].append(question)
    found = {}
    for kind in (kind for kind in KINDS if kind in asked and kind != DESCRIPTION):
        found[kind] = {"constant": dataset.prior([q["answer"] for q in asked[kind]])}
        for sense in ("by eye", "by ear"):
            if known := [1 / q[sense] for q in asked[kind] if q[sense]]:
                found[kind][sense] = float(np.mean(known))
    return found
