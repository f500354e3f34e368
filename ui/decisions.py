"""Drawing one decision: what is kept under the settings chosen now, as a line, a map, a chart and counts. No gradio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnizip.engine import ComparisonEngine
from omnizip.errors import OmniZipError
from omnizip.report import formats, fragments

from . import figures, markup, words
from .chat import COMPRESSED, FULL, Chat, ClipDecision, Update, arm_of


def redraw(
    engine: ComparisonEngine, chat: Chat | None, path: str | None, method: str, retention: str, options: Mapping[str, Any]
) -> Update:
    """What is kept under other settings, without asking the model; nothing before the clip's first answer."""
    if chat is None or path != chat.path:
        return {}
    try:
        arm = arm_of(method, retention, options)
        if arm == chat.arm:
            return show_answered(chat)
        preview = engine.preview(chat.clip, arm, chat.turns[FULL][-1].question)
        return _show(ClipDecision(chat.clip, preview.record, preview.compressor.label), words.KEPT_OF_PREVIEW)
    except OmniZipError as problem:
        return {"status": markup.problem(str(problem))}


def show_answered(chat: Chat) -> Update:
    """The decision that the latest answer rests on."""
    run = chat.report.runs[COMPRESSED]
    return _show(ClipDecision(chat.clip, run.compression, run.label), words.KEPT_OF_ANSWER)


def _show(decision: ClipDecision, sentence: str) -> Update:
    """One decision, and what it comes to in a line."""
    share = formats.share(decision.record.retained["total"])
    return {
        "kept": decision,
        "kept_line": fragments.hint(sentence.format(label=decision.label, share=share)) + fragments.sentences(decision.record.notes),
        "video": None,  # one made of another decision would be shown beside this map
    }


def draw_charts(engine: ComparisonEngine, decision: ClipDecision | None) -> Update:
    """The decision as a chart and in counts; asked for while somebody looks."""
    if decision is None:
        return {}
    try:
        waveform = engine.encode(decision.clip).clip.waveform
    except OmniZipError as problem:
        return {"status": markup.problem(str(problem))}
    return {"chart": figures.time_chart(decision.record, waveform), "reasons": fragments.reasons(decision.record)}
