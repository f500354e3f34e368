"""A benchmark's results as Markdown and CSV, with their conditions and the published numbers beside them, marked as such."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from ..tables import NONE, percent, table
from .published import PROTOCOLS, REMARKS, published, published_captions

Row = dict[str, Any]
NOTE = (
    "Percent of the answers that name an option, with 95 % intervals from a bootstrap over clips, none of one clip. Less full, less "
    "random: paired difference on the questions both answered, random at the same share; p: McNemar's exact test over questions, "
    "against several seeds a sign-flip test over clips. Unparsed: answers that name no option; failed: questions that could not be "
    "asked; both are in no accuracy. Tokens: mean of what the model read of clip and text. First token: median, encoding and choosing "
    "counted."
)
PUBLISHED_NOTE = "Not measured here. Baselines of different papers differ by frames, pixels and fine-tuning; compare within one paper."
HEAD = (
    ["method", "asked for", "kept", "of sound", "of picture", "accuracy", "less full", "p", "less random", "p"]
    + ["n", "unparsed", "failed", "tokens", "first token"]
)  # fmt: skip


def markdown(result: Row) -> str:
    """The whole result under headings."""
    parts = [conditions_text(result["conditions"])]
    rows, benchmark = result["results"], result["conditions"]["benchmark"]
    if any(row["accuracy"] for row in rows):
        parts += [f"### {result['conditions']['label']}\n\n{NOTE}", table(HEAD, map(_line, rows), left=1)]
        for kind in dict.fromkeys(found["kind"] for row in rows for found in row["accuracy"] if found["kind"] != "all"):
            parts += [f"By {kind}:", by_group(rows, kind)]
    elif not result.get("descriptions"):
        parts.append("No question was answered with an option.")
    parts += [f"{row['label']}: {count} questions failed: {reason}" for row in rows for reason, count in _reasons(row)]
    if result.get("descriptions"):
        parts += [DESCRIPTIONS_NOTE, described(result["descriptions"])]
    parts += published_section(benchmark)
    return "\n\n".join(parts) + "\n"


def _reasons(row: Row) -> Iterable[tuple[str, int]]:
    """Why questions failed, each reason on one line: some of Python's own have several."""
    return ((" ".join(reason.split()), count) for reason, count in row["failed"].items())


DESCRIPTIONS_NOTE = (
    "With 95 % intervals over clips. Likelihood: mean nats per token at which a method finds the full model's own description; "
    "0 is the same for certain. Missed, invented: percent of a reference's facts, as counted by the judge named above."
)


def described(rows: Sequence[Row]) -> str:
    """One row a line: likelihood agreement and, where a judge was asked, facts missed and invented."""
    return table(
        ["method", "descriptions", "likelihood", "facts", "missed", "invented"],
        (
            [
                row["name"],
                str(row["log_likelihood"]["n"]),
                _mean(row["log_likelihood"], 1, "{:.3f}"),
                NONE if row["facts"] is None else f"{row['facts']:.1f}",
                _mean(row["missed"], 100, "{:.1f}"),
                _mean(row["invented"], 100, "{:.1f}"),
            ]
            for row in rows
        ),
        left=1,
    )


def _mean(found: Row, scale: float, shown: str) -> str:
    if found["mean"] is None:
        return NONE
    ends = [shown.format(scale * end) for end in found["ci95"] or ()]  # one clip alone has none
    return shown.format(scale * found["mean"]) + (f" [{', '.join(ends)}]" if ends else "")


def conditions_text(c: Row) -> str:
    """The conditions of a result in one paragraph."""
    p, processes = c["protocol"], f"{c['workers']} process{'es' if c['workers'] > 1 else ''}"
    parts = [
        f"{c['label']}, {c['clips']} of {c['all_clips']} clips and {c['questions']} questions",
        *(["with subtitles"] if c["subtitles"] else []),
        f"protocol {p['name']} ({p['source']}): {c['fps']:g} frames/s, {c['max_frames']} frames, {c['tokens_per_step']} tokens a step",
        f"greedy, at most {c['max_new_tokens']} tokens",
        *([f"departing: {p['departs']}"] if p["departs"] else []),
        f"{c['model']} (weights {c['weights']}), {c['dtype']}, {c['device']}, {processes}",
        ", ".join(f"{name} {c[name]}" for name in ("torch", "transformers", "omnizip")),
        c["date"][:10],
        *([f"judge {c['judge']}"] if c.get("judge") else []),
    ]
    return f"{'; '.join(parts)}. `{c['command']}`"


def _line(row: Row) -> Iterable[str]:
    seeds = row.get("by_seed")
    yield row["label"] + (f", {row['seeds']} seeds (spread {100 * seeds['sd']:.1f})" if seeds else "")
    yield NONE if row["retention_target"] is None else f"{100 * row['retention_target']:.0f}"
    yield from (percent(row["retained"][name]) for name in ("total", "audio", "video"))
    whole = next((found for found in row["accuracy"] if found["kind"] == "all"), None)
    yield _share(whole)
    for name in ("vs_full", "vs_random"):
        yield from _difference(row.get(name))
    yield str(whole["n"] if whole else 0)
    yield from (str(row["counts"][name]) for name in ("unparsed", "failed"))
    yield NONE if row["tokens"]["total"] is None else f"{row['tokens']['total']:,.0f}"
    yield milliseconds(row["ms"]["to_first_token"])


def _share(found: Row | None) -> str:
    if found is None:
        return NONE
    if not found["ci95"]:
        return percent(found["accuracy"])
    low, high = found["ci95"]
    return f"{percent(found['accuracy'])} [{percent(low)}, {percent(high)}]"


def _difference(found: Row | None) -> tuple[str, str]:
    if not found:
        return NONE, NONE
    p = found.get("mcnemar_p", found["sign_flip_p"])
    within = f" [{', '.join(f'{100 * end:+.1f}' for end in found['ci95'])}]" if found["ci95"] else ""
    return f"{100 * found['difference']:+.1f}{within}", "<0.001" if p < 0.001 else f"{p:.3f}"


def milliseconds(value: float | None) -> str:
    """Milliseconds, or seconds from a thousand on."""
    return NONE if value is None else f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def by_group(rows: Sequence[Row], kind: str) -> str:
    """Accuracy per group of one kind, one column a group, with how many questions counted in the full run."""
    found = [{f["group"]: f for f in row["accuracy"] if f["kind"] == kind} for row in rows]
    groups = list(dict.fromkeys(name for here in found for name in here))
    head = ["method", "asked for", *(f"{_cell(name)} ({found[0][name]['n'] if name in found[0] else 0})" for name in groups)]
    lines = (
        [
            row["label"],
            NONE if row["retention_target"] is None else f"{100 * row['retention_target']:.0f}",
            *(_share(here.get(name)) for name in groups),
        ]
        for row, here in zip(rows, found, strict=True)
    )
    return table(head, lines, left=1)


def _cell(name: str) -> str:
    """A name of a data set's as a table can hold it: there a bar ends a cell."""
    return " ".join(name.replace("|", "/").split())


def published_section(benchmark: str) -> list[str]:
    """What papers say of the same benchmark; nothing where none says anything."""
    if benchmark == "captions":
        rows = [
            [source, model, method, str(share), *(f"{value:.1f}" for value in values)]
            for source, model, method, share, values in published_captions()
        ]
        head = ["source", "model", "method", "share", "missed", "invented", "both"]
    else:
        rows = [[n.source, n.model, n.method, str(n.retention), f"{n.value:.1f}"] for n in published(benchmark)]
        head = ["source", "model", "method", "share", "accuracy"]
    if not rows:
        return []
    told = [f"{source}: {PROTOCOLS[source]}. {REMARKS.get(source, '')}".strip() for source in dict.fromkeys(row[0] for row in rows)]
    return [f"### Published\n\n{PUBLISHED_NOTE}", table(head, rows, left=3), *told]


COLUMNS = (
    ["benchmark", "method", "name", "retention_target", "kept", "kept_audio", "kept_video", "kind", "group", "accuracy", "low", "high", "n"]
    + ["unparsed", "failed", "floor", "less_full", "less_full_low", "less_full_high", "less_full_p"]
    + ["less_random", "less_random_low", "less_random_high", "less_random_p", "tokens", "ms_to_first_token", "source"]
)  # fmt: skip


def as_csv(result: Row) -> str:
    """One row a line of the table and group, then the published numbers; shares from 0 to 1, `source` says whose they are."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    benchmark = result["conditions"]["benchmark"]
    for row in result["results"]:
        for found in row["accuracy"]:
            writer.writerow(_csv_row(benchmark, row, found))
    for n in published(benchmark):
        shared = {"kind": "all", "group": "all", "source": f"{n.source}, {n.model}"}
        writer.writerow(
            {
                "benchmark": benchmark,
                "method": n.method,
                "retention_target": n.retention / 100,
                "accuracy": round(n.value / 100, 4),
                **shared,
            }
        )
    return out.getvalue()


def _csv_row(benchmark: str, row: Row, found: Row) -> Row:
    low, high = found["ci95"] or (None, None)
    kept, line = row["retained"], {"benchmark": benchmark, "method": row["method"], "name": row["name"], "source": "measured"}
    line |= {"retention_target": row["retention_target"], "kept": kept["total"], "kept_audio": kept["audio"], "kept_video": kept["video"]}
    line |= {"kind": found["kind"], "group": found["group"], "accuracy": found["accuracy"], "low": low, "high": high, "n": found["n"]}
    if found["kind"] == "all":  # they are counted of all questions, not by group
        line |= {name: row["counts"][name] for name in ("unparsed", "failed")} | {"floor": row["floor"]}
    for name, key in (("less_full", "vs_full"), ("less_random", "vs_random")):
        if found["kind"] == "all" and (other := row.get(key)):
            low, high = other["ci95"] or (None, None)
            line |= {
                name: other["difference"],
                f"{name}_low": low,
                f"{name}_high": high,
                f"{name}_p": other.get("mcnemar_p", other["sign_flip_p"]),
            }
    return line | {"tokens": row["tokens"]["total"], "ms_to_first_token": row["ms"]["to_first_token"]}
