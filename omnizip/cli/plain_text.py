"""Reports and methods as plain text for a terminal: aligned columns, numbers with units."""

from __future__ import annotations

from collections.abc import Sequence

from ..compressors.base import Compressor, Option
from ..report import formats, wording
from ..report.report import RunReport


def printable(text: str) -> str:
    """`text` without control characters, which a terminal would obey; lines stay."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def clip_line(report: RunReport) -> str:
    """What was read of the clip."""
    return f"{printable(report.clip.name)}: {wording.clip_line(report.clip)}"


def heading(label: str, retention: float | None) -> str:
    """The line above an answer: the method, and what it was asked to keep."""
    return wording.asked_title(label, retention)


def indent(answer: str) -> str:
    """Sets an answer in below its heading, without control characters."""
    return "  " + printable(answer).replace("\n", "\n  ")


def cost_table(report: RunReport) -> str:
    """What every run read and cost, one column per run."""
    rows = [["", *(run.label for run in report.runs)]]
    rows += [[name, *(value(run) for run in report.runs)] for name, value in _COSTS]
    if any(run.timing.encode_reused for run in report.runs):
        return "\n".join([*align(rows), f"* {wording.ENCODING_REUSED}"])
    return "\n".join(align(rows))


_COSTS = (
    ("tokens read", lambda run: formats.count(run.tokens["total"])),
    ("  text", lambda run: formats.count(run.tokens["text"])),
    ("  sound", lambda run: formats.count(run.tokens["audio"])),
    ("  picture", lambda run: formats.count(run.tokens["video"])),
    ("kept of the clip", lambda run: formats.percent(run.retained["total"])),
    ("  of its sound", lambda run: formats.percent(run.retained["audio"])),
    ("  of its picture", lambda run: formats.percent(run.retained["video"])),
    ("compress", lambda run: formats.duration(run.timing.compress_ms)),
    ("  saliency in it", lambda run: formats.duration(run.timing.saliency_ms)),
    ("prefill", lambda run: formats.duration(run.timing.prefill_ms)),
    ("first token after", lambda run: formats.duration(run.timing.ttft_ms)),
    ("encoders", lambda run: formats.duration(run.timing.encode_ms) + ("*" if run.timing.encode_reused else "")),
    ("first token with them", lambda run: formats.duration(run.timing.ttft_encoded_ms)),
    ("decode", lambda run: formats.duration(run.timing.decode_ms)),
    ("decode speed", lambda run: formats.rate(run.timing.tokens_per_s)),
    ("key-value cache", lambda run: formats.size(run.kv_cache_bytes)),
    ("peak memory", lambda run: formats.size(run.peak_memory_bytes)),
    ("agreement, first rank", lambda run: wording.agreement(run.agreement)),
    ("prefill, counted", lambda run: formats.operations(run.flops_counted.prefill)),
    ("paper's equation 9", lambda run: formats.operations(run.flops_paper)),
)


def ratio_lines(report: RunReport) -> list[str]:
    """One line per compressed run: how many times less it takes than the full model."""
    names = {"tokens": "tokens", "prefill": "prefill", "ttft": "first token", "ttft_encoded": "with encoders"}
    names |= {"kv_cache": "cache", "flops": "operations"}
    lines = []
    for run in report.runs[1:]:
        ratios = report.ratios(run)
        parts = [f"{name} {formats.UNKNOWN if ratios[key] is None else f'{ratios[key]:.2f}x'}" for key, name in names.items()]
        lines.append(f"{report.runs[0].label} / {run.label}: {', '.join(parts)}")
    return lines


def remarks(report: RunReport) -> list[str]:
    """What the reader has to know: of the model, the clip and every method, one sentence each."""
    lines = []
    if report.conditions.embedded:
        lines.append("Note: the embedded model knows a small world of shapes and sounds; real footage needs Qwen2.5-Omni (--model).")
    lines += [f"Warning: {printable(text)}" for text in report.clip.warnings]
    lines += [f"Note ({run.label}): {text}" for run in report.runs for text in run.compression.notes]
    return lines


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Sets rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]


def bounds(option: Option) -> str:
    """What values an option takes."""
    if option.kind == "switch":
        return "on or off"
    return ", ".join(option.choices) if option.choices else f"{option.low:g} to {option.high:g}"


def method_text(kind: type[Compressor]) -> str:
    """One method with its options."""
    lines = [f"{kind.name}: {kind.label}", f"  {kind.summary}", f"  Source: {kind.source}; {kind.fidelity}", f"  Later: {kind.later}"]
    for option in kind.options():
        default = ("on" if option.default else "off") if option.kind == "switch" else option.default
        mark = " (set by --retention)" if option.is_rate else ""
        lines.append(f"    {flag(option):<20} {bounds(option)}; default {default}{mark}. {option.help}")
    return "\n".join(lines)


def flag(option: Option) -> str:
    """The option's flag on the command line."""
    return f"--{option.name.replace('_', '-')}"
