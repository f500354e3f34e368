"""The paper's settings by name, with what it published for them. No gradio.

Source: OmniZip, arXiv 2511.14582v2, Table 1, its ablations of dynamic pruning (DP) and audio anchors (AC), and of the group size G.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omnizip.compressors import COMPRESSORS

from . import words

METHOD = "omnizip"


@dataclass(frozen=True)
class Preset:
    """Settings the paper names, and its result."""

    label: str
    published: str
    options: Mapping[str, Any] = field(default_factory=dict)  # those that differ from the method's defaults


_LESS = {"rho_audio": 0.4, "rho_video": 0.7}
_OPTIONS: dict[str, dict[str, Any]] = {
    "45": {},
    "35": _LESS,
    "no-dp": {"dynamic": False},
    "no-dp-ac": {"dynamic": False, "anchors": False},
    "g15": {"merge_size": 15},
}
PAPER = {name: Preset(*words.PAPER[name], options) for name, options in _OPTIONS.items()}


def options_of(name: str) -> dict[str, Any]:
    """Every option of the method under a preset."""
    return {item.name: PAPER[name].options.get(item.name, item.default) for item in COMPRESSORS[METHOD].options()}
