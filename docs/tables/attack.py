"""What was tried to break a server, and what came of it, as a table."""

from __future__ import annotations

from .results import load


def held() -> str:
    """Damaged files, faults beside the server, visitors at once, pages left open, and being told to stop."""
    damage, siege = load("attack-damage"), load("attack-siege")
    if damage is None or siege is None:
        return "Not run."
    faults, visitors, pages, stop = (siege[name] for name in ("faults", "visitors", "open_pages", "stop"))
    leaks = damage["leaked_processes"] + damage["leaked_descriptors"] + damage["leaked_files"]
    answered = sum(row["next_answered"] for row in faults)
    rows = (
        (
            f"{damage['files']:,} damaged files of {len(damage['by_container'])} containers",
            f"{damage['clips']:,} read, {damage['sentences']:,} refused in a sentence; crashes {len(damage['escaped'])}, "
            f"hangs {len(damage['hangs'])}, leaks {leaks}; contained: {damage['decoder_crashes']} crashes and "
            f"{damage['decoder_timeouts']} timeouts of the decoder",
        ),
        (
            f"{visitors['visitors']} visitors at the same moment, a third of whom the queue holds",
            f"served {visitors['served']}, lost {visitors['lost']}, crossed {visitors['crossed']}; told to ask again "
            f"{visitors['refused']} times",
        ),
        (f"{len(faults)} faults: {', '.join(row['fault'] for row in faults)}", f"{answered} times the next visitor was answered"),
        (
            f"{pages['pages']} comparisons whose pages stay open",
            f"memory of the server {pages['warm_mb']:.0f} MB after {pages['warm']}, {pages['last_mb']:.0f} MB after {pages['pages']} "
            f"({pages['grown']:+.1%})",
        ),
        (
            "SIGTERM in the middle of an answer",
            f"exit after {stop['seconds']:.1f} s with status {stop['status']}; {stop['files_left']} files left",
        ),
    )
    known = siege["conditions"]
    told = (
        f"[attack-damage.json](results/attack-damage.json), [attack-siege.json](results/attack-siege.json): {known['cores']} cores, load "
        f"average {known['load_average'][0]:.1f}, {known['date'][:10]}. `{known['command']}`; "
        f"`python tests/support/damage.py --count {damage['files']}`."
    )
    return "\n".join(["| tried | came of it |", "| --- | --- |", *(f"| {tried} | {came} |" for tried, came in rows), "", told])


def faults() -> str:
    """What a visitor was told when something broke."""
    found = load("attack-siege")
    if found is None:
        return "Not run."
    lines = ["| fault | what the visitor was told |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {row['fault']} | {row['told']} |" for row in found["faults"] if row["told"])])
