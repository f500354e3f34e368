"""The public benchmarks: what they are, how long they take by the operations they need, and what the papers published."""

from __future__ import annotations

from collections.abc import Iterator

from omnizip.evaluation.benchmarks import READERS
from omnizip.evaluation.benchmarks.annotations import BenchmarkReader
from omnizip.evaluation.benchmarks.protocols import EXACT, PAPERS, PROTOCOLS
from omnizip.evaluation.benchmarks.published import BENCHMARKS, REMARKS, published, published_captions
from omnizip.evaluation.benchmarks.published import PROTOCOLS as PAPERS_INPUTS
from omnizip.model.memory import AUDIO_TOKENS_PER_S, SHAPES
from omnizip.report.flops import prefill_flops

from .results import load

MODEL = "Qwen/Qwen2.5-Omni-7B"
QUESTION_TOKENS = 170  # of text: system, question, options
FRAMES_PER_STEP = 2
CLIP_S = 60  # of the measurement that gives the rates
LINES = (("full", None), ("omnizip", 0.35), ("glance", 0.35))


def table() -> str:
    """One row a benchmark."""
    lines = ["| benchmark | clips | questions | length | licence | from |", "| --- | ---: | ---: | ---: | --- | --- |"]
    for name, reader in READERS.items():
        clips, questions = (f"{count:,}" if count else "–" for count in (reader.clips, reader.questions))
        length = f"{reader.mean_s:g} s" if reader.mean_s else "–"
        lines.append(
            f"| `{name}` | {clips} | {questions} | {length} | {reader.licence} | [{reader.label}]({reader.home}), {reader.paper} |"
        )
    return "\n".join(lines)


def protocols() -> str:
    """One row a protocol, then the rows of papers."""
    lines = ["| protocol | frames/s | frames | of long clips | tokens a step | answer | source | departs |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |")
    for name, p in PROTOCOLS.items():
        numbers = f"{p.fps:g} | {p.frames} | {p.long_frames} | {p.tokens_per_step} | {p.max_new_tokens}"
        lines.append(f"| `{name}` | {numbers} | {p.source} | {p.departs or '–'} |")
    lines += ["", "| paper's rows | protocol | lines besides full |", "| --- | --- | --- |"]
    for name, rows in PAPERS.items():
        avut = f"; on AVUT merge_size={rows.avut_merge_size}" if rows.avut_merge_size else ""
        lines.append(f"| `{name}` | `{rows.protocol.name}` | {', '.join(f'`{arm}`' for arm in rows.arms)}{avut} |")
    return "\n".join(lines)


def hours() -> str:
    """Hours on one GPU by benchmark and line, from operations and measured rates."""
    rates = load("ttft-cuda")
    if rates is None:
        return "Not computed: there are no measured rates."
    (of_clip,) = (t["rows"] for t in rates["tables"] if (t["shape"], t["seconds"]) == ("7b", CLIP_S))
    known = [reader for reader in READERS.values() if reader.mean_s and reader.questions]
    lines = [f"| hours | {' | '.join(f'`{reader.name}`' for reader in known)} |", f"| --- |{' ---: |' * len(known)}"]
    for method, share in LINES:
        (row,) = (r for r in of_clip if (r["method"], r["retention"]) == (method, share))
        name = f"`{method}`" + (f" at {share:.0%}" if share else "")
        lines.append(f"| {name} | {' | '.join(f'{_hours(reader, row):.1f}' for reader in known)} |")
    device = rates["conditions"]["device"]
    told = (
        f"Computed, not measured: operations of the 7B at the protocol `{EXACT.name}`, at the rates that a clip of {CLIP_S} s had on one "
        f"{device} with random weights ([ttft-cuda.json](results/ttft-cuda.json)), each clip of the mean length and encoded once a line. "
        "Decoding files and writing answers come on top. All lines of one command share the encoding but `glance`, which has its own. "
        "Where the number of clips is not known, one a question is taken; benchmarks whose mean length is not known are left out."
    )
    return "\n".join([*lines, "", told])


def _hours(reader: BenchmarkReader, row: dict) -> float:
    """Hours of one line on all clips and questions of a benchmark."""
    assert reader.mean_s and reader.questions
    frames = min(EXACT.fps * reader.mean_s, EXACT.long_frames if reader.long else EXACT.frames)
    steps, sound = frames / FRAMES_PER_STEP, AUDIO_TOKENS_PER_S * reader.mean_s
    picture_ms = (row["encode_ms"] - row["audio_encode_ms"]) / (CLIP_S * EXACT.fps / FRAMES_PER_STEP)
    encode_ms = steps * picture_ms + reader.mean_s * row["audio_encode_ms"] / CLIP_S + (row["compress_ms"] * reader.mean_s / CLIP_S)
    tokens = QUESTION_TOKENS + (row["retention"] or 1.0) * (steps * EXACT.tokens_per_step + sound)
    prefill_ms = prefill_flops(SHAPES[MODEL], round(tokens)) * row["prefill_ms"] / row["flops_prefill"]
    return ((reader.clips or reader.questions) * encode_ms + reader.questions * prefill_ms) / 3.6e6


def numbers() -> str:
    """The papers' numbers, one table a paper."""
    return "\n\n".join(_paper(source) for source in BENCHMARKS) + "\n\n" + _captions()


def _paper(source: str) -> str:
    names = BENCHMARKS[source]
    lines = [
        f"| {source} | model | share | {' | '.join(READERS[name].label for name in names)} |",
        f"| --- | --- | ---: |{' ---: |' * len(names)}",
    ]
    found: dict[tuple[str, str, int], dict[str, float]] = {}
    for n in published():
        if n.source == source:
            found.setdefault((n.method, n.model, n.retention), {})[n.benchmark] = n.value
    for (method, model, share), values in found.items():
        cells = " | ".join(f"{values[name]:.1f}" if name in values else "–" for name in names)
        lines.append(f"| {method} | {model} | {share} | {cells} |")
    return "\n".join([*lines, "", " ".join(_told(source))])


def _told(source: str) -> Iterator[str]:
    yield f"{PAPERS_INPUTS[source]}."
    if source in REMARKS:
        yield REMARKS[source]


def _captions() -> str:
    lines = [
        "| video-SALMONN 2 captions | source | model | share | missed | invented | both |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for source, model, method, share, values in published_captions():
        lines.append(f"| {method} | {source} | {model} | {share} | {' | '.join(f'{value:.1f}' for value in values)} |")
    return "\n".join([*lines, "", "Percent of facts, as the paper's judge counted them; lower is better."])
