"""Accuracy as evaluated: one table for README.md, and every evaluation with what came out for docs/accuracy.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from omnizip.evaluation import dataset, tables

from .results import FOLDER, listed, load

Row = dict[str, Any]
SHARES = (0.45, 0.35, 0.25)
ENOUGH = 0.005  # what a method may keep beyond its share and still count as keeping to it
PARTS = (  # rows of README's table: label, method and parameters
    ("Random choice", "random", {}),
    ("OmniZip", "omnizip", {}),
    ("OmniZip, its sound kept evenly over time", "omnizip", {"audio_selector": "uniform"}),
    ("OmniZip, its sound chosen at random", "omnizip", {"audio_selector": "random"}),
    ("Glance, which encodes only what it keeps", "glance", {}),
    ("Glance, which encodes 60 % of the picture first", "glance", {"encode_share": 0.6}),
    ("Glance, its picture chosen at random", "glance", {"picture": "random"}),
)


def find(result: Row, share: float | None, method: str, parameters: Row | None = None) -> Row:
    """The row of a method at a share of the clip."""
    wanted = (method, share, parameters or {})
    return next(row for row in result["results"] if (row["method"], row["retention_target"], row["parameters"]) == wanted)


def difference(row: Row, other: str = "vs_random") -> float:
    """Points of a row above random choice, or above the full model, on the same questions."""
    return 100 * row[other]["all"]["difference"]


def above(row: Row) -> bool:
    """Whether the whole interval of the difference to random choice lies above zero."""
    return row["vs_random"]["all"]["ci95"][0] > 0


def below(row: Row) -> bool:
    """Whether it lies below zero."""
    return row["vs_random"]["all"]["ci95"][1] < 0


def in_short() -> str:
    """README's table: all tokens, random choice, OmniZip and Glance at three shares, and how many methods beat random choice."""
    result, conditions = load("nano-glance"), load("nano-glance")["conditions"]
    accuracy = find(result, None, "full")["accuracy"]
    full, kinds = tables.percent(accuracy["all"]), sum(kind in accuracy for kind in dataset.LISTED)
    lines = [f"| asked to keep | {' | '.join(f'{share:.0%}' for share in SHARES)} |", f"| --- |{' ---: |' * len(SHARES)}"]
    lines.append(f"| All tokens | {' | '.join([full] * len(SHARES))} |")
    for label, method, parameters in PARTS:
        rows = [find(result, share, method, parameters) for share in SHARES]
        if any(row["retained"]["total"] > row["retention_target"] + ENOUGH for row in rows):
            label += f" (keeps {_kept(rows)})"
        lines.append(f"| {label} | {' | '.join(map(_cell, rows))} |")
    told = (
        f"Percent of answers right, mean over {kinds} kinds of question; in brackets, points above random choice on the same "
        f"questions, with a 95 % interval over clips ([nano-glance.json](docs/results/nano-glance.json): {conditions['clips']} clips of "
        f"{conditions['seconds'][0]:g} s, {conditions['questions']:,} questions, {conditions['date'][:10]})."
    )
    return "\n".join([*lines, "", told, "", beaten()])


def _cell(row: Row) -> str:
    right = tables.percent(row["accuracy"]["all"])
    if "vs_random" not in row:
        return right
    low, high = row["vs_random"]["all"]["ci95"]
    return f"{right} ({difference(row):+.1f}: {100 * low:+.1f} to {100 * high:+.1f})"


def others(share: float) -> list[Row]:
    """Every method at a share, each once, without random choice and the full model."""
    rows = load("nano-methods")["results"]
    return [row for row in rows if row["retention_target"] == share and not row["parameters"] and "vs_random" in row]


def beaten() -> str:
    """How many of the methods are clearly above random choice, and how many clearly below."""
    parts = [f"{sum(map(above, others(share)))} above and {sum(map(below, others(share)))} below at {share:.0%}" for share in SHARES]
    clips = load("nano-methods")["conditions"]["clips"]
    return (
        f"Of {len(others(SHARES[0]))} methods on {clips} clips, with the whole interval on one side of random choice: {listed(parts)} "
        "([nano-methods.json](docs/results/nano-methods.json))."
    )


def findings() -> str:
    """What came out, a sentence each, with its numbers."""
    return "\n".join(
        f"- {' '.join(sentence.split())}" for sentence in (*_of_glance(), *_of_omnizip(), *_of_all(), *_of_newer(), _of_lengths())
    )


def _points(values: Iterable[float]) -> str:
    return listed(f"{value:.1f}" for value in values)


def _span(values: Iterable[float]) -> str:
    values = sorted(values)
    return f"{values[0]:.1f} to {values[-1]:.1f}"


def _asked(rows: Iterable[Row]) -> str:
    return listed(f"{row['retention_target']:.0%}" for row in rows)


def _kept(rows: Iterable[Row]) -> str:
    return listed(f"{row['retained']['total']:.0%}" for row in rows)


def _of_omnizip() -> Iterable[str]:
    result = load("nano")

    def rows(method: str = "omnizip", **parameters: Any) -> list[Row]:
        return [find(result, share, method, parameters) for share in SHARES]

    def lead(better: list[Row], worse: list[Row]) -> list[float]:
        pairs = zip(better, worse, strict=True)
        return [100 * (a["accuracy"]["all"] - b["accuracy"]["all"]) for a, b in pairs]

    conditions = result["conditions"]
    own, alike, unanchored = rows(), rows(dynamic=False), rows(dynamic=False, anchors=False)
    drawn_sound, drawn_picture, official = rows(audio_selector="random"), rows(video_selector="random"), rows("omnizip-official")
    won, rest = [row for row in own if above(row)], [row for row in own if not above(row)]
    yield f"""With weights {_weights("nano")}, on {conditions["clips"]} clips of {conditions["seconds"][0]:g} s,
        OmniZip beats random choice at {_asked(won)} (by
        {_points(map(difference, won))} points) and not at {_asked(rest)}; it loses
        {_points(-difference(row, "vs_full") for row in own)} points to all tokens at {_asked(own)}."""
    yield f"""What carries it are the choice of picture, density peaks and change (a picture chosen at random costs
        {_span(lead(own, drawn_picture))} points), and the audio anchors (worth {_span(lead(alike, unanchored))} points, measured without
        dynamic pruning)."""
    groups = result["density"][0]["rows"]
    guide = next(row for row in groups if row["retention"] == SHARES[0] and row["group"] == "all")["sound spearman"]["mean"]
    yield f"""The audio guide does not help here. Sound chosen at random is better at every share (by
        {_points(lead(drawn_sound, own))} points), and pruning every window alike costs little or helps (better by
        {_points(lead(alike, own))}). The reason is in the table of S_a: attention in this model's small audio encoder goes to the quiet,
        so S_a falls where a sound is heard (Spearman {guide:.2f} over windows at {SHARES[0]:.0%}). Whether the 7B model's encoder does
        better can be asked with the same command."""
    yield f"The published code keeps more than it is asked to: {_kept(official)} for {_asked(official)}."


def _of_all() -> Iterable[str]:
    ranked = {share: sorted(_within(share), key=lambda row: -difference(row, "vs_full")) for share in SHARES}
    best, middle, least = (ranked[share][:n] for share, n in zip(SHARES, (4, 2, 1), strict=True))
    yield f"""With weights {_weights("nano-methods")},
        of {len(others(SHARES[0]))} methods on {load("nano-methods")["conditions"]["clips"]} clips, among those that keep to their share: at
        {SHARES[0]:.0%} those that keep all or most of the sound and drop what does not change in the picture lose least ({_named(best)});
        at {SHARES[1]:.0%} {_named(middle)}; at {SHARES[2]:.0%} {_named(least)}."""
    sparing = [row for row in others(SHARES[2]) if row["retained"]["audio"] == 1]
    stopped = [row for row in sparing if row["retained"]["total"] > SHARES[1]]
    blind = [row for row in sparing if row["retained"]["video"] == 0]
    yield f"""Methods that spare all sound run out of picture: {listed(row["label"] for row in stopped)} stop at
        {max(row["retained"]["total"] for row in stopped):.0%} of the clip, {listed(row["label"] for row in blind)} keep no picture at
        {SHARES[2]:.0%}."""
    worse = [rows[0]["label"] for rows in zip(*map(others, SHARES), strict=True) if all(map(below, rows))]
    selector = [difference(find(load("nano-methods"), share, "omnisift")) for share in SHARES]
    yield f"""Worse than random choice at every share: {listed(worse)}. All but OmniSIFT go by the attention of this model's encoders or
        layers, as OmniZip's audio guide does. OmniSIFT with the selector trained for this model does not beat random choice either
        ({listed(f"{points:+.1f}" for points in selector)} points)."""


def _weights(name: str) -> str:
    """The beginning of the digest of the weights that a result was made with."""
    return load(name)["conditions"]["weights"][:8]


def _within(share: float) -> list[Row]:
    return [row for row in others(share) if row["retained"]["total"] <= share + ENOUGH]


def _named(rows: Iterable[Row]) -> str:
    return listed(f"{row['label']} {difference(row, 'vs_full'):+.1f}" for row in rows)


def _of_lengths() -> str:
    rows = load("nano-lengths")["results"]

    def percents(kind: str) -> str:
        return listed(f"{row['accuracy'][kind]:.0%}" for row in rows)

    return f"""By length, with all tokens at {listed(f"{row['seconds']:g}" for row in rows)} s: {percents("all")} over all kinds;
        cross-modal questions {percents("cross-modal")}; counting {percents("counting")}."""


def _of_glance() -> Iterable[str]:
    for name, kind in (("nano-glance", ""), ("nano-glance-filmed", " filmed"), ("nano-glance-16s", "")):
        result = load(name)
        conditions = result["conditions"]
        rows = [
            [find(result, share, *arm) for share in SHARES]
            for arm in (("glance",), ("omnizip",), ("omnizip", {"audio_selector": "uniform"}))
        ]
        glance, own, even = ([100 * row["accuracy"]["all"] for row in found] for found in rows)
        yield f"""On {conditions["clips"]}{kind} clips of {conditions["seconds"][0]:g} s that no method was tuned on, at
            {_asked(rows[0])}: Glance {_points(glance)} (random choice and {_points(map(difference, rows[0]))} more),
            OmniZip {_points(own)}, OmniZip with its sound kept evenly {_points(even)}."""
    yield """So what OmniZip gains from keeping sound evenly is more than what its guide brings, and Glance, which never encodes what it
        drops, pays for that with what it cannot know: places that look alike in pixels, and how the picture changes."""


def _of_newer() -> Iterable[str]:
    for name, methods in NEWER.items():
        if (result := load(name)) is None:
            continue
        conditions, told = result["conditions"], []
        for method in methods:
            rows = [find(result, share, method) for share in SHARES]
            more = listed(f"{difference(row):+.1f}" for row in rows)
            blind = [row for row in rows if row["retained"]["audio"] == 1 and row["retained"]["video"] == 0]
            why = f"; at {_asked(blind)} its sound, all kept, leaves no picture" if blind else ""
            told.append(f"{rows[0]['label']} {_points(100 * row['accuracy']['all'] for row in rows)} ({more} to random choice{why})")
        yield f"""On {conditions["clips"]} clips of {conditions["seconds"][0]:g} s, at {listed(f"{share:.0%}" for share in SHARES)}:
            {"; ".join(told)}. They came after the others and are in no count of methods above."""


NEWER = {"nano-newer": ("dash", "flashvid"), "nano-omniroute": ("omniroute",)}  # files of methods that nano-methods has not
EVALUATIONS = (  # files in docs/results, and what they show
    ("nano-paired", "Full, random choice, OmniZip and Glance alone, each pair on the same questions"),
    ("nano-glance", "Glance, OmniZip, and what can be put in the place of their parts"),
    ("nano-glance-filmed", "The same on filmed clips, where highlights and textures move"),
    ("nano-glance-16s", "The same on clips of 16 s"),
    ("nano", "OmniZip, its parts and random choice, and S_a beside what happens"),
    ("nano-methods", "Every method but DASH, FlashVID and OmniRoute"),
    ("nano-newer", "DASH and FlashVID"),
    ("nano-omniroute", "OmniRoute"),
    ("nano-full", "All tokens on a thousand clips"),
    ("nano-lengths", "Longer clips"),
    ("nano-controls", "Controls: what is left when picture and sound are blanked or belong to different clips"),
)


def evaluations() -> str:
    """The committed evaluations, each with its conditions."""
    parts = []
    for name, shown in EVALUATIONS:
        if result := load(name):
            path = (FOLDER / f"{name}.json").relative_to(FOLDER.parent)
            parts.append(f"### {shown}\n\n[{path.name}]({path}). {tables.compact_markdown(result)}")
    return "\n\n".join(parts)
