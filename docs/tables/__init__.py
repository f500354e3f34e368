"""Every number in README.md and in this folder's pages, filled in from code and from docs/results/*.json.

`python -m docs.tables` rewrites what stands between `<!-- name -->` and `<!-- end name -->` on every page, and draws the
figures; a test asks that this changes nothing. What stands outside of the marks is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable

from . import accuracy, attack, benchmarks, from_code, rehearsal, serving, speed, vllm_load
from .results import ROOT

PAGES: dict[str, dict[str, Callable[[], str]]] = {  # per page, its marks and what fills them
    "README.md": {"methods": from_code.methods_in_short, "accuracy": accuracy.in_short, "speed": speed.in_short},
    "docs/benchmarks.md": {
        "hours": benchmarks.hours,
        "benchmarks": benchmarks.table,
        "protocols": benchmarks.protocols,
        "published": benchmarks.numbers,
    },
    "docs/deploy.md": {"rehearsal": rehearsal.paragraph},
    "docs/methods.md": {"methods": from_code.methods, "later": from_code.later, "budget": from_code.budget},
    "docs/security.md": {"held": attack.held, "faults": attack.faults},
    "docs/serving.md": {"load": vllm_load.many_at_once},
    "docs/several-gpus.md": {"crowds": serving.crowds},
    "docs/settings.md": {"settings": from_code.settings},
    "docs/memory.md": {"sizes": from_code.sizes},
    "docs/speed.md": {"targets": speed.targets, "remarks": speed.remarks, "measurements": speed.measurements, "waits": speed.waits},
    "docs/accuracy.md": {"findings": accuracy.findings, "accuracy": accuracy.evaluations},
}


def filled(page: str, text: str) -> str:
    """The page's text with every table as code and results have it. Raises ValueError where a mark is missing."""
    for name, make in PAGES[page].items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{page} has no pair of marks for {name!r}.")
        text = f"{before}{begin}{make()}{end}{after}"
    return text


def write() -> None:
    """Rewrite every page."""
    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(page, path.read_text()))
