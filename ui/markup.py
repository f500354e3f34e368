"""The page's pieces of HTML: answers, costs, counts, frames. Pure: values in, markup out; every text is escaped here.

Classes are styled in assets/style.css. Numbers stand in cells of their own, so that they align.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from omnizip.compressors import COMPRESSORS
from omnizip.report.decision import CompressionRecord
from omnizip.report.report import Run, ratio
from omnizip.types import Turn

from . import words

Spans = Sequence[tuple[int, int]]


def masthead() -> str:
    """The page's name and what it does."""
    return f'<header class="oz-masthead"><h1>{escape(words.TITLE)}</h1><p>{escape(words.TAGLINE)}</p></header>'


def conditions(line: str, embedded: bool) -> str:
    """The model line, and what the embedded model knows where it answers."""
    notice = f'<p class="oz-notice" role="note">{words.EMBEDDED}</p>' if embedded else ""
    return f'{notice}<p class="oz-model">{escape(line)}</p>'


def heading(title: str, hint: str = "") -> str:
    """A section's heading and one line about it."""
    return f'<h2 class="oz-h2">{escape(title)}</h2>' + (f'<p class="oz-hint">{escape(hint)}</p>' if hint else "")


def subheading(title: str, hint: str = "") -> str:
    """The heading of a part of a section."""
    return f'<h3 class="oz-h3">{escape(title)}</h3>' + (f'<p class="oz-hint">{escape(hint)}</p>' if hint else "")


def hint(text: str) -> str:
    """A quiet line."""
    return f'<p class="oz-hint">{escape(text)}</p>' if text else ""


def progress(text: str, fraction: float | None) -> str:
    """What is being done, with a bar that is filled as far as is known."""
    known = fraction is not None
    bar = f'<span style="width:{100 * min(1.0, max(0.0, fraction)):.0f}%"></span>' if known else "<span></span>"
    return (
        f'<div class="oz-status" role="status"><p>{escape(text)}</p><div class="oz-bar{"" if known else " oz-unknown"}">{bar}</div></div>'
    )


def done(text: str) -> str:
    """A quiet word that something ended."""
    return f'<div class="oz-status" role="status"><p>{escape(text)}</p></div>' if text else ""


def problem(sentence: str) -> str:
    """One sentence about what is wrong and what to do."""
    return f'<div class="oz-status oz-problem" role="alert"><p>{escape(sentence)}</p></div>'


def headline(parts: Sequence[tuple[str, str]]) -> str:
    """The line of ratios above the answers; an invitation while there are none."""
    if not parts:
        return f'<p class="oz-headline oz-empty">{escape(words.HEADLINE_EMPTY)}</p>'
    items = "".join(f'<span class="oz-ratio"><b>{escape(figure)}</b> {escape(text)}</span>' for figure, text in parts)
    return f'<p class="oz-headline">{items}</p>'


def how_it_works() -> str:
    """Three short steps, where costs will stand."""
    steps = "".join(f"<li><b>{escape(title)}</b><span>{escape(text)}</span></li>" for title, text in words.HOW)
    return f'<ol class="oz-how">{steps}</ol>'


def marked(text: str, spans: Spans) -> str:
    """Text with the given spans (start, end) underlined."""
    out, at = [], 0
    for start, end in spans:
        out += [escape(text[at:start]), "<mark>", escape(text[start:end]), "</mark>"]
        at = end
    return "".join([*out, escape(text[at:])])


def answer(
    title: str, turns: Sequence[Turn], text: str | None, *, question: str = "", empty: str = "", spans: Spans = (), now: bool = False
) -> str:
    """One model's side of the conversation.

    Args:
        turns: earlier questions with their answers.
        text: the answer so far; None while there is none, then `empty` is shown.
        question: the present question; shown only within a longer conversation.
        now: the answer is being written.
    """
    talk = "".join(
        f'<p class="oz-asked">{escape(turn.question)}</p><p class="oz-said">{escape(turn.answer or words.NO_WORDS)}</p>' for turn in turns
    )
    if turns and question:
        talk += f'<p class="oz-asked">{escape(question)}</p>'
    if text is None:
        body = f'<p class="oz-said oz-empty">{escape(empty)}</p>'
    else:
        said = marked(text, spans) if text.strip() or now else escape(words.NO_WORDS)
        body = f'<p class="oz-said{" oz-now" if now else ""}">{said}</p>'
    return f'<article class="oz-answer"><h3>{escape(title)}</h3><div class="oz-talk" aria-live="polite">{talk}{body}</div></article>'


Reading = Callable[[Run], float | int | None]
FASTER, LESS, FEWER = ("faster", "slower"), ("less", "more"), ("fewer", "more")


@dataclass(frozen=True)
class _Cost:
    """One row of the cost table: what it is called, how a run's number is read and shown, how two are compared."""

    words: tuple[str, str]
    number: Reading
    shown: Callable[[Run], str]
    better_worse: tuple[str, str]
    part: bool = False  # of the row above


def _time(text: tuple[str, str], name: str) -> _Cost:
    return _Cost(text, lambda run: getattr(run.timing, name), lambda run: words.duration(getattr(run.timing, name)), FASTER)


def _tokens(text: tuple[str, str], name: str, part: bool = False) -> _Cost:
    return _Cost(text, lambda run: run.tokens[name], lambda run: words.count(run.tokens[name]), FEWER, part)


def _peak(run: Run, on_cpu: bool) -> str:
    if run.peak_memory_bytes is None:
        return words.NOT_ON_CPU if on_cpu else words.NOT_MEASURED
    return words.size(run.peak_memory_bytes)


def _choosing(run: Run) -> str:
    return words.UNKNOWN if run.method == "full" else words.duration(run.timing.compress_ms)


def _cost_rows(on_cpu: bool, reused: bool) -> tuple[_Cost, ...]:
    known = _Cost(words.COST_REUSED, lambda run: None, lambda run: words.count(run.reused_tokens), FEWER, part=True)
    return (
        _tokens(words.COST_TOKENS, "total"),
        *((known,) if reused else ()),
        _tokens(words.COST_PICTURE, "video", part=True),
        _tokens(words.COST_SOUND, "audio", part=True),
        _Cost(words.COST_CHOOSING, lambda run: None, _choosing, FASTER),
        _time(words.COST_READING, "prefill_ms"),
        _time(words.COST_FIRST, "ttft_ms"),
        _Cost(
            words.COST_WRITING,
            lambda run: run.timing.tokens_per_s and 1 / run.timing.tokens_per_s,
            lambda run: words.writing(run.timing),
            FASTER,
        ),
        _Cost(words.COST_CACHE, lambda run: run.kv_cache_bytes, lambda run: words.size(run.kv_cache_bytes), LESS),
        _Cost(words.COST_PEAK, lambda run: run.peak_memory_bytes, lambda run: _peak(run, on_cpu), LESS),
        _Cost(words.COST_AGREEMENT, lambda run: None, lambda run: words.agreement(run.agreement), FEWER),
        _Cost(
            words.COST_OPERATIONS,
            lambda run: run.flops_counted.prefill,
            lambda run: words.operations(run.flops_counted.prefill),
            FEWER,
        ),
    )


def costs(runs: Sequence[Run], on_cpu: bool) -> str:
    """Each run's cost, side by side, and how the last compares with the first."""
    if not runs:
        return ""
    both = len(runs) > 1
    head = "".join(f'<th scope="col">{escape(run.label)}</th>' for run in runs)
    head += f'<th scope="col">{escape(words.VERSUS)}</th>' if both else ""
    rows = []
    reused = any(run.reused_tokens for run in runs)
    for row in _cost_rows(on_cpu, reused):
        cells = "".join(f"<td>{escape(row.shown(run))}</td>" for run in runs)
        if both:
            cells += f'<td class="oz-gain">{escape(words.versus(row.number(runs[0]), row.number(runs[-1]), *row.better_worse))}</td>'
        name, explained = row.words
        small = f"<small>{escape(explained)}</small>" if explained else ""
        rows.append(f'<tr{" class=oz-part" if row.part else ""}><th scope="row">{escape(name)}{small}</th>{cells}</tr>')
    return (
        f'<table class="oz-costs"><caption class="oz-sr">{escape(words.COSTS)}</caption><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{''.join(map(hint, _about_costs(runs, reused)))}"
    )


def _about_costs(runs: Sequence[Run], reused: bool) -> list[str]:
    """Sentences below the table."""
    full, last = runs[0], runs[-1]
    said = []
    if last is not full:
        allowed = ratio(full.flops_counted.prefill, last.flops_counted.prefill)
        said.append(words.speed_up(ratio(full.timing.prefill_ms, last.timing.prefill_ms), allowed))
    if reused and COMPRESSORS[last.method].reads_question:
        said.append(words.CHOSEN_ANEW.format(label=last.label))
    return [*said, words.shared_cost(full.timing)]


def reasons(record: CompressionRecord) -> str:
    """Per modality a bar of where every token went, and the same in numbers."""
    blocks = []
    for modality, counts in record.reasons.items():
        total = sum(counts.values())
        if not total:
            continue
        parts, rows = [], []
        for reason, n in sorted(counts.items(), key=lambda item: list(words.REASON_WORDS).index(item[0])):
            name, why = words.REASON_WORDS[reason]
            swatch = f"oz-r-{reason.replace('_', '-')} oz-m-{modality}"
            parts.append(f'<span class="{swatch}" style="flex-grow:{n}" title="{escape(name)}: {words.count(n)}"></span>')
            rows.append(
                f'<tr><th scope="row"><i class="{swatch}" aria-hidden="true"></i>{escape(name)}<small>{escape(why)}</small></th>'
                f"<td>{words.count(n)}</td><td>{words.share(n / total)}</td></tr>"
            )
        title = escape(f"{words.MODALITY_WORDS[modality]}: {words.count(total)} tokens")
        blocks.append(
            f'<section class="oz-reasons"><h4>{title}</h4><div class="oz-stack" aria-hidden="true">{"".join(parts)}</div>'
            f'<table><caption class="oz-sr">{title}</caption><tbody>{"".join(rows)}</tbody></table></section>'
        )
    return f'<div class="oz-reason-grid">{"".join(blocks)}</div>'


def sentences(items: Sequence[str]) -> str:
    """What there is to know about this clip and this decision, one line each."""
    return f'<ul class="oz-notes">{"".join(f"<li>{escape(item)}</li>" for item in items)}</ul>' if items else ""
