"""What Compare and a further question do: plain values in, text and markup out. No gradio.

A handler yields updates (chat.py). A problem a person can cure becomes one sentence in the piece "status", and nothing else on the
page changes. What a choice redraws is in decisions.py, files are in files.py, wishes to stop in stops.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from time import perf_counter
from typing import Any

from omnizip.compressors import COMPRESSORS
from omnizip.engine import ClipHandle, ComparisonEngine
from omnizip.engine.events import Arm, ArmDone, Event, Finished, Piece, Stage
from omnizip.errors import OmniZipError
from omnizip.media import AS_SET, Part
from omnizip.report import fragments, wording
from omnizip.report.report import Run, RunReport, differing_words
from omnizip.types import Turn

from . import decisions, files, markup, words
from .chat import COMPRESSED, FULL, Chat, Turns, Update, arm_of, check_question

REFRESH_S = 0.08  # text is shown as it is written, at most so often: a slow browser must not slow the model


def compare(
    engine: ComparisonEngine,
    path: str | None,
    question: str,
    method: str,
    retention: str,
    options: Mapping[str, Any],
    flag: Flag,
    part: Part = AS_SET,
) -> Iterator[Update]:
    """A new conversation about a clip, or a part of it: both models answer, with progress by stage and text as it is written."""
    if not path:
        yield {"status": markup.problem(words.NO_CLIP)}
    elif not (question or "").strip():
        yield {"status": markup.problem(words.NO_QUESTION.format(hint=words.QUESTION_HINT))}
    else:
        try:
            check_question(question, engine.settings)
            arm = arm_of(method, retention, options)
            yield {"status": markup.progress(wording.STAGES["decode"], None)}
            yield from _converse(engine, engine.open_clip(path, part), question.strip(), arm, ((), ()), flag)
        except OmniZipError as problem:
            yield {"status": markup.problem(str(problem))}


def ask_on(engine: ComparisonEngine, chat: Chat | None, question: str, flag: Flag) -> Iterator[Update]:
    """A further question in the same conversation, to the same two models."""
    if chat is None:
        yield {"status": markup.problem(words.NO_CHAT)}
    elif not (question or "").strip():
        yield {"status": markup.problem(words.NO_QUESTION.format(hint=words.QUESTION_HINT))}
    else:
        try:
            check_question(question, engine.settings, chat.turns[FULL])
            yield {"follow_up": "", "status": markup.progress(wording.STAGES["decode"], None)}
            yield from _converse(engine, chat.clip, question.strip(), chat.arm, chat.turns, flag)
        except OmniZipError as problem:
            yield {"status": markup.problem(str(problem))}


def compare_plain(
    engine: ComparisonEngine,
    path: str,
    question: str,
    method: str,
    retention: str | float,
    options: Mapping[str, Any],
    stop: Callable[[], bool] | None = None,
    part: Part = AS_SET,
) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """The same comparison for programs: (full answer, compressed answer, report) as they grow; the report comes last.

    Raises:
        OmniZipError: in one sentence.
    """
    check_question(question, engine.settings)
    texts = ["", ""]
    for event in engine.compare(engine.open_clip(path, part), question, (arm_of(method, retention, options),), stop=stop):
        if isinstance(event, Piece):
            texts[event.arm] = event.text
            yield texts[FULL], texts[COMPRESSED], None
        elif isinstance(event, Finished) and len(event.report.runs) == 2:
            answers = [run.answer.text for run in event.report.runs]
            yield answers[FULL], answers[COMPRESSED], event.report.to_json()


def _converse(engine: ComparisonEngine, clip: ClipHandle, question: str, arm: Arm, turns: Turns, flag: Flag) -> Iterator[Update]:
    """One question to both models, event by event, and what they come to."""
    drawing = _Drawing(question, arm, turns, engine)
    report: RunReport | None = None
    for event in engine.compare(clip, question, (arm,), history=dict(enumerate(turns)), stop=flag.is_set):
        if isinstance(event, Finished):
            report = event.report
        else:
            yield from drawing.updates(event)
    stopped = flag.is_set()
    if report is None or len(report.runs) < 2:
        yield {"status": markup.done(words.STOPPED) if stopped else markup.problem(words.RUN_FAILED)}
        return
    answers = [run.answer.text for run in report.runs]
    full, compressed = ((*earlier, Turn(question, answer)) for earlier, answer in zip(turns, answers, strict=True))
    chat = Chat(clip, arm, (full, compressed), report)
    with ExitStack() as stack:
        # The last update of all frees the buttons too. gradio sends each as a difference, and a busy browser that met the next
        # one before it had drawn the files would be left with buttons that save nothing.
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            written, status = files.write_report(report, Path(folder)), markup.done(words.STOPPED if stopped else words.DONE)
        except OSError as failure:  # the answer took minutes; the files are made of it
            written = {"report_json": None, "windows_csv": None}
            status = markup.problem(words.FILES_LOST.format(why=files.why_unwritten(failure)))
        yield {
            "busy": False,
            "status": status,
            "headline": fragments.headline(report.ratios(report.runs[COMPRESSED])),
            "costs": fragments.costs(report.runs, report.conditions.device == "cpu", report.load),
            "chat": chat,
            "talking": True,
            "sounded": report.clip.has_sound,
            **drawing.compared(answers),
            **written,
            **decisions.show_answered(chat),
            "clip_notes": _clip_notes(report, engine.encode(clip).clip.playable),
        }


@dataclass(eq=False)
class _Drawing:
    """Draws both sides of a conversation while it goes on, and no more often than somebody can look."""

    question: str
    arm: Arm
    turns: Turns
    engine: ComparisonEngine
    runs: list[Run] = field(default_factory=list)
    _stage: tuple[str, int | None, int] | None = None  # shown last
    _speaking: int | None = None
    _shown_at: float = 0.0

    def updates(self, event: Event) -> Iterator[Update]:
        """What an event changes on the page."""
        if isinstance(event, Stage):
            stage = (event.name, event.arm, event.ahead + int(10 * (event.fraction or 0)))
            if stage == self._stage:
                return  # tenths are enough to look at, and every update costs the browser's time
            self._stage = stage
            yield {"status": markup.progress(words.stage(event.name, event.arm, event.ahead), event.fraction)}
            if event.name == "answer" and event.arm is not None:
                yield {
                    **self._begin(event.arm),
                    **({"origin": "", "headline": markup.invitation(), "costs": ""} if event.arm == FULL else {}),
                }
        elif isinstance(event, Piece):
            if perf_counter() - self._shown_at > REFRESH_S or event.arm != self._speaking:
                yield self._side(event.arm, event.text, now=True)
                self._shown_at, self._speaking = perf_counter(), event.arm  # the time the page itself takes is not waited for twice
        elif isinstance(event, ArmDone):
            self.runs.append(event.run)
            on_cpu = self.engine.conditions.device == "cpu"  # known now, though the model may have come after the question
            yield {"costs": fragments.costs(self.runs, on_cpu), **self._side(event.arm, event.run.answer.text)}

    def compared(self, answers: Sequence[str]) -> Update:
        """Both sides at the end: what differs is underlined."""
        spans = differing_words(*answers)
        marked = {name: card for arm in (FULL, COMPRESSED) for name, card in self._side(arm, answers[arm], spans=spans[arm]).items()}
        return {**marked, "difference": fragments.hint(wording.difference(*answers, any(spans)))}

    def _begin(self, arm: int) -> Update:
        """An arm starts; the other waits, or has ended."""
        waits = self._side(COMPRESSED, None, empty=words.WAITING) if arm == FULL else {}
        return {**self._side(arm, None, empty=words.COMING), **waits}

    def _side(self, arm: int, text: str | None, **look: Any) -> Update:
        title = COMPRESSORS["full"].label if arm == FULL else wording.asked_title(COMPRESSORS[self.arm.method].label, self.arm.retention)
        name = "answer_full" if arm == FULL else "answer_compressed"
        return {name: fragments.answer(title, self.turns[arm], text, question=self.question, **look)}


def _clip_notes(report: RunReport, playable: bool) -> str:
    line = wording.clip_line(report.clip)
    return fragments.hint(line) + fragments.sentences((*report.clip.warnings, *(() if playable else (words.UNPLAYABLE,))))
