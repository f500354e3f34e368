"""Results as Markdown, with their conditions. Shares are percent, intervals 95 %."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from . import dataset
from .density import SERIES

Row = dict[str, Any]
NONE = "–"


def markdown(result: dict[str, Any]) -> str:
    """A whole result as Markdown: conditions and everything that was measured, under headings."""
    return "\n\n".join([conditions_text(result["conditions"]), *_sections(result, "### {0}\n\n{1}", whole=True)]) + "\n"


def compact_markdown(result: dict[str, Any]) -> str:
    """A result as Markdown without headings and without single kinds of question, for a page that shows several."""
    return "\n\n".join([conditions_text(result["conditions"]), *_sections(result, "{0}. {1}", whole=False)])


def _sections(result: dict[str, Any], heading: str, whole: bool) -> Iterator[str]:
    for seconds in dict.fromkeys(row["seconds"] for row in result["results"]):
        rows = [row for row in result["results"] if row["seconds"] == seconds]
        yield heading.format(f"Clips of {seconds:g} s", ACCURACY_NOTE)
        yield accuracy(rows)
        if whole:
            yield from ("Per kind of question:", kinds(rows))
        if any(row["descriptions"] for row in rows):
            yield from ("Descriptions, facts per description:", descriptions(rows))
        yield from (text for row in rows for text in failures(row))
        if any("by_kind_of_clip" in row.get("vs_random", ()) for row in rows):
            yield from (LOSSES_NOTE, losses(rows), *worst_clips(rows))
    for found in result.get("controls", ()):
        yield heading.format(f"Controls, clips of {found['seconds']:g} s", CONTROLS_NOTE)
        yield controls(found)
        yield from (kinds_above_guessing(row) for row in found["rows"] if row["control"] not in (dataset.UNCHANGED, dataset.HALF))
    for found in result.get("density", ()):
        yield heading.format(f"S_a beside what happens, clips of {found['seconds']:g} s", DENSITY_NOTE)
        yield density(found)
        yield from map(density_case, found["worst"])


ACCURACY_NOTE = (
    "Percent, with 95 % intervals from a bootstrap over clips. All: mean over the listed kinds of question. Less full, random, "
    "OmniZip: the paired difference of that on the same questions, the last two at the same share. p: McNemar's exact test over "
    "questions against full where both ran once, else a sign-flip test over clips. Failed: questions a method could not do, in no accuracy."
)
LOSSES_NOTE = "By kind of clip, share of questions right less that of random choice at the same share, in points:"
CONTROLS_NOTE = (
    "All tokens, on changed clips. Prior: the best constant answer. By eye, by ear: a guess among the answers that picture or sound alone "
    "leaves open, which is what a cross-modal kind has to fall to where only that is right. A picture of half the width and height has a "
    "quarter of the tokens, all of them read: the plainest way to read less."
)
DENSITY_NOTE = (
    "Correlation over the windows of a clip, mean over clips. Sound: share of a window in which an event is heard; picture: in which a "
    "shape appears, vanishes or moves. Clips on which either never varies have none."
)


def conditions_text(conditions: dict[str, Any]) -> str:
    """The conditions of a result in one paragraph."""
    c = conditions
    threads = f"{c['threads']} thread{'s' if c['threads'] > 1 else ''} and {c['workers']} process{'es' if c['workers'] > 1 else ''}"
    hard = "".join(f", {name} {c[name]}" for name in ("ambient", "pattern") if c[name])
    model = f"{c['model']} (weights {c['weights']}), {c['dtype']}, {c['device']} with {threads}"
    versions = ", ".join(f"{name} {c[name]}" for name in ("torch", "transformers", "omnizip"))
    clips = f"held-out seeds from {c['first_seed']}, {c['clips']} clips per length{hard}"
    questions = f"at most {c['questions_per_clip']} questions a clip and {c['questions']} in all"
    return f"{model}; {versions}; {clips}, {questions}; {c['date'][:10]}. `{c['command']}`"


def accuracy(rows: Sequence[Row]) -> str:
    """The main table: the headline and its groups, what was kept, and the tests."""
    against = [name for name, key in AGAINST if any(key in row for row in rows)]
    head = ["method", "asked for", "kept", "of sound", "of picture", "all", *dataset.GROUPS]
    return table(
        [*head, *(cell for name in against for cell in (name, "p")), "failed"], (_accuracy_row(row, against) for row in rows), left=1
    )


AGAINST = (("less full", "vs_full"), ("less random", "vs_random"), ("less OmniZip", "vs_omnizip"))  # column, and the row's comparison


def _accuracy_row(row: Row, against: Sequence[str]) -> Iterable[str]:
    seeds = row.get("seeds")
    yield row["label"] + (f", {seeds['count']} seeds (spread {100 * seeds['sd']:.1f})" if seeds else "")
    yield NONE if row["retention_target"] is None else f"{100 * row['retention_target']:.0f}"
    yield from (percent(row["retained"][name]) for name in ("total", "audio", "video"))
    yield from (_with_interval(row, name) for name in ("all", *dataset.GROUPS))
    for name, key in AGAINST:
        if name in against:
            found = row.get(key)
            yield _difference(found)
            yield _p(_p_value(found, key) if found else None)
    yield str(row["failures"])


def _p_value(found: Row, key: str) -> float | None:
    return found.get("mcnemar_p", found["sign_flip_p"]) if key == "vs_full" else found["sign_flip_p"]


def kinds(rows: Sequence[Row]) -> str:
    """Accuracy per kind of question."""
    asked = [kind for kind in (*dataset.LISTED, *dataset.AUXILIARY) if any(kind in row["accuracy"] for row in rows)]
    return table(
        ["method", "asked for", "micro", *asked],
        ([*_name(row), *(percent(row["accuracy"].get(name)) for name in ("micro", *asked))] for row in rows),
        left=1,
    )


def _name(row: Row) -> tuple[str, str]:
    target = row["retention_target"]
    return row["label"], NONE if target is None else f"{100 * target:.0f}"


def descriptions(rows: Sequence[Row]) -> str:
    """What descriptions leave out and make up."""
    shown = [row for row in rows if row["descriptions"]]
    return table(
        ["method", "asked for", "descriptions", "word for word", "facts", "missed", "invented"],
        ([*_name(row), *_description(row["descriptions"])] for row in shown),
        left=1,
    )


def _description(found: Row) -> list[str]:
    exact, missed, invented = (found[name] for name in ("exact", "missed", "invented"))
    return [str(found["n"]), _mean(exact, percent), f"{found['facts']:.1f}", _mean(missed, _decimals), _mean(invented, _decimals)]


def failures(row: Row) -> list[str]:
    """One sentence per way in which a method failed."""
    at = "" if row["retention_target"] is None else f" at {100 * row['retention_target']:.0f} %"
    return [f"{row['label']}{at} failed on {found['clips']} clips: {found['sentence']}" for found in row["failed"]]


def losses(rows: Sequence[Row]) -> str:
    """Gains and losses against random choice by kind of clip, one column per method."""
    shown = [row for row in rows if "by_kind_of_clip" in row.get("vs_random", ())]
    groups = {found["group"]: found["clips"] for row in shown for found in row["vs_random"]["by_kind_of_clip"]}
    head = ["clips with", "clips", *(f"{row['label']} at {100 * row['retention_target']:.0f}" for row in shown)]
    cells = [{f["group"]: _points(f) for f in row["vs_random"]["by_kind_of_clip"]} for row in shown]
    return table(head, ([group, str(clips), *(cell.get(group, NONE) for cell in cells)] for group, clips in groups.items()), left=1)


def worst_clips(rows: Sequence[Row]) -> Iterator[str]:
    """The clips on which OmniZip loses most, with its guide window by window where that was measured."""
    for row in (row for row in rows if row["method"] == "omnizip" and "worst" in row.get("vs_random", ())):
        for found in row["vs_random"]["worst"]:
            yield (
                f"At {100 * row['retention_target']:.0f}: seed {found['seed']} (ambient {found['ambient']}, backdrop {found['pattern']}), "
                f"{found['right']:g} of {found['asked']} right, random {found['random_right']:.1f}"
                + (f"; {_series(found)}." if "s_a" in found else ".")
            )


def controls(found: Row) -> str:
    """Accuracy per kind on changed clips, beside the priors."""
    asked = [kind for kind in dataset.LISTED if kind in found["prior"]]
    head = ["kind", "prior", "by eye", "by ear", *(row["control"] for row in found["rows"])]
    rows = (
        [
            kind,
            *(percent(found["prior"][kind].get(name)) for name in ("constant", "by eye", "by ear")),
            *(_with_interval(row, kind) for row in found["rows"]),
        ]
        for kind in asked
    )
    return table(head, (["all", *([NONE] * 3), *(_with_interval(row, "all") for row in found["rows"])], *rows), left=1)


def kinds_above_guessing(row: Row) -> str:
    """A sentence that names the cross-modal kinds which a control leaves above guessing."""
    kinds = ", ".join(row["above_guessing"]) or "none"
    return f"Cross-modal kinds clearly above guessing with the {row['control']}: {kinds}."


def density(found: Row) -> str:
    """Correlation of S_a with the density of events, per kind of clip."""
    names = [f"{series} {measure}" for series in SERIES for measure in ("spearman", "pearson")]
    rows = (
        [f"{100 * r['retention']:.0f}", r["group"], str(r["clips"]), *(_mean(r[name], _decimals) for name in names)] for r in found["rows"]
    )
    return table(["asked for", "clips with", "clips", *names], rows, left=2)


def density_case(found: Row) -> str:
    """One clip on which the guide fails, window by window."""
    return (
        f"Seed {found['seed']} ({found['seconds']:g} s, ambient {found['ambient']}, backdrop {found['pattern']}), Spearman "
        f"{found['spearman']:.2f}: {_series(found)}."
    )


def _series(found: Row) -> str:
    return "; ".join(f"{name} {' '.join(NONE if v is None else f'{v:.2f}' for v in found[key])}" for name, key in _CASE_SERIES)


_CASE_SERIES = (("S_a", "s_a"), ("sound", "sound"), ("picture", "picture"))


def table(head: Sequence[str], rows: Iterable[Iterable[str]], left: int) -> str:
    """A Markdown table whose first `left` columns are text."""
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * left + ['---:'] * (len(head) - left))} |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def percent(value: float | None) -> str:
    """A share as percent with one decimal."""
    return NONE if value is None else f"{100 * value:.1f}"


def _decimals(value: float) -> str:
    return f"{value:.2f}"


def _with_interval(row: Row, name: str) -> str:
    if name not in row["accuracy"]:
        return NONE
    return percent(row["accuracy"][name]) + _within(row["ci95"][name], percent)


def _mean(found: Row, shown: Callable[[float], str]) -> str:
    if found["mean"] is None:
        return NONE
    return shown(found["mean"]) + _within(found["ci95"], shown)


def _difference(found: Row | None) -> str:
    if not found or "all" not in found:
        return NONE
    return _points(found["all"])


def _points(found: Row) -> str:
    return _signed(found["difference"]) + _within(found["ci95"], _signed)


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"


def _within(ends: Sequence[float] | None, shown: Callable[[float], str]) -> str:
    """An interval behind its value; one clip alone has none."""
    return f" [{', '.join(map(shown, ends))}]" if ends else ""


def _p(value: float | None) -> str:
    return NONE if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
