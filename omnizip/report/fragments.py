"""Pieces of HTML that the page and the HTML report share: answers, costs, counts. Pure: values in, markup out.

Every text is escaped here. Classes are styled in assets/style.css; numbers stand in cells of their own, so that they align.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ..compressors import COMPRESSORS
from ..types import Conditions, MachineLoad, Turn
from . import formats, languages, wording
from .decision import CompressionRecord, ratio
from .report import Run, ratios_of

Spans = Sequence[tuple[int, int]]
SHORT_STRIP = 60  # windows, two minutes: more are too narrow to be told apart, and folded away
NAMED = 2  # windows that are named in words


def heading(title: str, hint: str = "") -> str:
    """A section's heading and one line about it."""
    return f'<h2 class="oz-h2">{escape(title)}</h2>' + (f'<p class="oz-hint">{escape(hint)}</p>' if hint else "")


def hint(text: str) -> str:
    """A quiet line; nothing for no text."""
    return f'<p class="oz-hint">{escape(text)}</p>' if text else ""


def sentences(items: Sequence[str]) -> str:
    """What there is to know about a clip or a decision, one line each."""
    return f'<ul class="oz-notes">{"".join(f"<li>{escape(item)}</li>" for item in items)}</ul>' if items else ""


def language_switch() -> str:
    """A button for each language, brought to life by assets/languages/language.js."""
    buttons = "".join(
        f'<button type="button" translate="no" lang="{code}" data-language="{code}" aria-pressed="{str(not number).lower()}">'
        f"{escape(name)}</button>"
        for number, (code, name) in enumerate(languages.names())
    )
    return f'<div class="oz-languages" role="group" aria-label="{escape(wording.LANGUAGE, quote=True)}">{buttons}</div>'


def embedded_notice() -> str:
    """What the embedded model knows."""
    return f'<p class="oz-notice" role="note">{wording.EMBEDDED}</p>'


def model_notice(conditions: Conditions, *more: str) -> str:
    """The model line, what the embedded model knows where it answers, and `more` facts at the line's end."""
    notice = embedded_notice() if conditions.embedded else ""
    return f'{notice}<p class="oz-model">{escape(" · ".join([wording.model_line(conditions), *more]))}</p>'


def headline(ratios: Mapping[str, float | None]) -> str:
    """The line of gains above the answers, from RunReport.ratios; nothing where none is known."""
    items = "".join(f'<span class="oz-ratio"><b>{escape(figure)}</b> {escape(text)}</span>' for figure, text in wording.savings(ratios))
    return f'<p class="oz-headline">{items}</p>' if items else ""


def mark(text: str, spans: Spans) -> str:
    """Marks the given spans (start, end) of a text, which the page underlines."""
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
        f'<p class="oz-asked" translate="no">{escape(turn.question)}</p>{_said(escape(turn.answer) if turn.answer else "")}'
        for turn in turns
    )
    if turns and question:
        talk += f'<p class="oz-asked" translate="no">{escape(question)}</p>'
    if text is None:
        body = f'<p class="oz-said oz-empty">{escape(empty)}</p>'
    else:
        body = _said(mark(text, spans) if text.strip() or now else "", now)
    return f'<article class="oz-answer"><h3>{escape(title)}</h3><div class="oz-talk" aria-live="polite">{talk}{body}</div></article>'


def _said(written: str, now: bool = False) -> str:
    """What a model wrote, as markup, which stays in its own language; that it wrote nothing is the page's own sentence."""
    if not written and not now:
        return f'<p class="oz-said">{escape(wording.NO_WORDS)}</p>'
    return f'<p class="oz-said{" oz-now" if now else ""}" translate="no">{written}</p>'


@dataclass(frozen=True)
class CostRow:
    """One row of the cost table: what it is called, how a run's number is read and shown, how two are compared."""

    words: tuple[str, str]
    number: Callable[[Run], float | int | None]  # less is better; None where two are not compared
    shown: Callable[[Run], str]
    better_worse: tuple[str, str]
    part: bool = False  # of the row above
    is_time: bool = False  # may gain more than operations allow, which is noise


def _time_row(words: tuple[str, str], name: str) -> CostRow:
    def shown(run: Run) -> str:
        return formats.duration(getattr(run.timing, name))

    return CostRow(words, lambda run: getattr(run.timing, name), shown, wording.FASTER, is_time=True)


def _token_row(words: tuple[str, str], name: str, part: bool = False) -> CostRow:
    return CostRow(words, lambda run: run.tokens[name], lambda run: formats.count(run.tokens[name]), wording.FEWER, part)


def _peak(run: Run, on_cpu: bool) -> str:
    if run.peak_memory_bytes is None:
        return wording.NOT_ON_CPU if on_cpu else wording.NOT_MEASURED
    return formats.size(run.peak_memory_bytes)


def _choosing(run: Run) -> str:
    return formats.UNKNOWN if run.method == "full" else formats.duration(run.timing.compress_ms)


def _uncompared(run: Run) -> None:
    return None


def _cost_rows(on_cpu: bool, reused: bool) -> tuple[CostRow, ...]:
    known = CostRow(wording.COST_REUSED, _uncompared, lambda run: formats.count(run.reused_tokens), wording.FEWER, part=True)
    return (
        _token_row(wording.COST_TOKENS, "total"),
        *((known,) if reused else ()),
        _token_row(wording.COST_PICTURE, "video", part=True),
        _token_row(wording.COST_SOUND, "audio", part=True),
        CostRow(wording.COST_CHOOSING, _uncompared, _choosing, wording.FASTER),
        _time_row(wording.COST_READING, "prefill_ms"),
        _time_row(wording.COST_FIRST, "ttft_ms"),
        CostRow(wording.COST_ENCODING, lambda run: run.timing.encode_ms, lambda run: wording.encoding(run.timing), wording.FASTER),
        _time_row(wording.COST_FIRST_ENCODED, "ttft_encoded_ms"),
        CostRow(
            wording.COST_WRITING,
            lambda run: run.timing.tokens_per_s and 1 / run.timing.tokens_per_s,
            lambda run: wording.writing(run.timing),
            wording.FASTER,
        ),
        CostRow(wording.COST_CACHE, lambda run: run.kv_cache_bytes, lambda run: formats.size(run.kv_cache_bytes), wording.LESS),
        CostRow(wording.COST_PEAK, lambda run: run.peak_memory_bytes, lambda run: _peak(run, on_cpu), wording.LESS),
        CostRow(wording.COST_AGREEMENT, _uncompared, lambda run: wording.agreement(run.agreement), wording.FEWER),
        CostRow(
            wording.COST_OPERATIONS,
            lambda run: run.flops_counted.prefill,
            lambda run: formats.operations(run.flops_counted.prefill),
            wording.FEWER,
        ),
    )


def first_word(runs: Sequence[Run]) -> str:
    """Which windows the first word of each answer looked at, as strips on one scale; folded away for a long clip, empty where unknown."""
    looks = [run.first_token_attention for run in runs]
    most = max((share for look in looks for share in look or ()), default=0.0)
    if not most:
        return ""
    rows = []
    for run, look in zip(runs, looks, strict=True):
        cells = "".join(
            f'<i style="--share:{100 * share / most:.0f}%" title="{escape(_window_share(run, window, share))}"></i>'
            for window, share in enumerate(look or ())
        )
        rows.append(f'<div class="oz-look" aria-hidden="true">{cells}</div><p class="oz-hint">{escape(_looked_most(run))}</p>')
    opened = " open" if len(runs[0].windows) <= SHORT_STRIP else ""
    return (
        f'<details class="oz-looks"{opened}><summary>{escape(wording.FIRST_WORD)}</summary>{"".join(rows)}'
        f"{hint(wording.FIRST_WORD_HINT)}</details>"
    )


def _window_share(run: Run, window: int, share: float) -> str:
    record = run.windows[window]
    return wording.FIRST_WORD_SPAN.format(start=record.start_s, end=record.end_s, share=formats.share(share))


def _looked_most(run: Run) -> str:
    """The windows that got most, in words."""
    look = run.first_token_attention or ()
    if not sum(look):
        return wording.FIRST_WORD_NONE.format(label=run.label)
    best = sorted(range(len(look)), key=lambda window: -look[window])[:NAMED]
    named = ", ".join(_window_share(run, window, look[window]) for window in best if look[window])
    return wording.FIRST_WORD_MOST.format(label=run.label, most=named, all=formats.share(sum(look)))


def costs(runs: Sequence[Run], on_cpu: bool, load: MachineLoad | None = None) -> str:
    """Each run's cost, side by side, and how the last compares with the first; `load` is the machine's, once all is done."""
    if not runs:
        return ""
    both = len(runs) > 1
    head = "".join(f'<th scope="col">{escape(run.label)}</th>' for run in runs)
    head += f'<th scope="col">{escape(wording.VERSUS)}</th>' if both else ""
    rows = []
    reused = any(run.reused_tokens for run in runs)
    for row in _cost_rows(on_cpu, reused):
        cells = "".join(f"<td>{escape(row.shown(run))}</td>" for run in runs)
        if both:
            full, last = row.number(runs[0]), row.number(runs[-1])
            compared = wording.versus(full, last, *row.better_worse)
            if row.is_time and full and last and wording.is_noise(full / last, ratios_of(runs[0], runs[-1])):
                compared = wording.NOISE_MARK.format(gain=compared)
            cells += f'<td class="oz-gain">{escape(compared)}</td>'
        name, explained = row.words
        small = f"<small>{escape(explained)}</small>" if explained else ""
        rows.append(f'<tr{" class=oz-part" if row.part else ""}><th scope="row">{escape(name)}{small}</th>{cells}</tr>')
    looked = first_word([runs[0], runs[-1]]) if both else ""
    return looked + (
        f'<table class="oz-costs"><caption class="oz-sr">{escape(wording.COSTS)}</caption><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{''.join(map(hint, _cost_notes(runs, reused, load)))}"
    )


def _cost_notes(runs: Sequence[Run], reused: bool, load: MachineLoad | None) -> list[str]:
    """Sentences below the table."""
    full, last = runs[0], runs[-1]
    notes = []
    if last is not full:
        allowed = ratio(full.flops_counted.prefill, last.flops_counted.prefill)
        times = last.timing.prefill_runs
        notes.append(wording.speed_up(ratio(full.timing.prefill_ms, last.timing.prefill_ms), allowed, times))
        notes.append(wording.timed(times, load))
    if reused and COMPRESSORS[last.method].reads_question:
        notes.append(wording.CHOSEN_ANEW.format(label=last.label))
    if any(run.timing.encode_reused for run in runs):
        notes.append(wording.ENCODING_REUSED)
    return [*notes, wording.shared_cost(full.timing)]


def reasons(record: CompressionRecord) -> str:
    """Per modality a bar of where every token went, and the same in numbers."""
    blocks = []
    for modality, counts in record.reasons.items():
        total = sum(counts.values())
        if not total:
            continue
        parts, rows = [], []
        for reason, n in sorted(counts.items(), key=lambda item: list(wording.REASON_WORDS).index(item[0])):
            name, why = wording.LOOKED_AT if reason == "dropped" and counts.get("unseen") else wording.REASON_WORDS[reason]
            swatch = f"oz-r-{reason.replace('_', '-')} oz-m-{modality}"
            parts.append(f'<span class="{swatch}" style="flex-grow:{n}" title="{escape(name)}: {formats.count(n)}"></span>')
            rows.append(
                f'<tr><th scope="row"><i class="{swatch}" aria-hidden="true"></i>{escape(name)}<small>{escape(why)}</small></th>'
                f"<td>{formats.count(n)}</td><td>{formats.share(n / total)}</td></tr>"
            )
        title = escape(wording.MODALITY_TOKENS[modality].format(n=formats.count(total)))
        blocks.append(
            f'<section class="oz-reasons"><h4>{title}</h4><div class="oz-stack" aria-hidden="true">{"".join(parts)}</div>'
            f'<table><caption class="oz-sr">{title}</caption><tbody>{"".join(rows)}</tbody></table></section>'
        )
    return f'<div class="oz-reason-grid">{"".join(blocks)}</div>'
