"""The committed measurements and evaluations, docs/results/*.json, and what their numbers depend on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "results"


def load(name: str) -> dict[str, Any] | None:
    """What a file of docs/results holds; None where there is none."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def conditions(known: dict[str, Any]) -> str:
    """What the numbers of a measurement depend on, in a line."""
    load = "" if not known.get("load_average") else f", load average {known['load_average'][0]:.1f} on {known['cores']} cores"
    threads = f"{known['threads']} thread{'s' if known['threads'] > 1 else ''}"
    made = f"{known['dtype']}, torch {known['torch']}; medians of {known['repeats']}; {known['date'][:10]}"
    return f"{known['device']}, {threads}{load}; {made}"


def listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them: "a", "a and b", "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
