"""What happens when something is pressed: plain values in, figures and text out. No gradio.

A handler yields or returns updates, each a dict from the name of a piece of the page to its new value; page.py puts them
there. A problem a person can cure becomes one sentence in the piece "status", and nothing else on the page changes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread
from time import perf_counter
from typing import Any

from omnizip.compressors import COMPRESSORS
from omnizip.engine import Engine
from omnizip.engine.events import Arm, ArmDone, Finished, Piece, Stage
from omnizip.errors import MethodError, OmniZipError
from omnizip.media import Clip, transcode_preview
from omnizip.report import formats, fragments, wording
from omnizip.report.decision import CompressionRecord
from omnizip.report.report import Run, RunReport, differing_words
from omnizip.types import Turn

from . import figures, frames, markup, words

Update = dict[str, Any]
PATIENCE_S = 2.0  # how long Stop waits for a run to end by itself before it is cut off
REFRESH_S = 0.08  # text is shown as it is written, at most so often: a slow browser must not slow the model
FULL, COMPRESSED = 0, 1  # the two arms, in the order they run


@dataclass(frozen=True, eq=False)
class Chat:
    """A conversation about one clip: what each model was asked and said, and the report of the latest answer."""

    path: str
    arm: Arm
    turns: tuple[tuple[Turn, ...], tuple[Turn, ...]]  # the full model's and the compressed one's
    report: RunReport


@dataclass(frozen=True, eq=False)
class Kept:
    """What the map shows: a decision about a clip, whether it was answered with or only tried."""

    path: str
    record: CompressionRecord
    label: str  # the method's, for people


class Wish(Flag):
    """A visitor's wish that a run about the clip at `path` stop; if it is abandoned, nobody wants to see its end either."""

    def __init__(self, path: str | None) -> None:
        super().__init__()
        self.path = path
        self.over = Flag()
        self.abandoned = False


class Stops:
    """Wishes to stop, one per visitor; a run asks whether its visitor wished so."""

    def __init__(self) -> None:
        self._runs: dict[str, Wish] = {}
        self._wished: set[str] = set()

    @contextmanager
    def run(self, visitor: str, path: str | None = None) -> Iterator[Wish]:
        """The flag of a run that starts now; an older run of the same visitor is told to stop."""
        if older := self._runs.get(visitor):
            older.set()
        wish = self._runs[visitor] = Wish(path)
        try:
            yield wish
        finally:
            wish.set()
            wish.over.set()
            if self._runs.get(visitor) is wish:
                del self._runs[visitor]

    def stop(self, visitor: str, patience_s: float = 0.0) -> None:
        """Tell the visitor's run, if there is one, and wait at most so long for it to end."""
        self._wished.add(visitor)
        if wish := self._runs.get(visitor):
            wish.set()
            wish.over.wait(patience_s)

    def begin(self, visitor: str) -> None:
        """The visitor wants a run, which has yet to wait for its turn."""
        self._wished.discard(visitor)

    def wished(self, visitor: str) -> bool:
        """Whether the visitor has wished to stop since the last beginning: a run that ended without an answer did so on purpose."""
        return visitor in self._wished

    def leave(self, visitor: str) -> None:
        """The visitor has closed the tab."""
        self.stop(visitor)
        self._wished.discard(visitor)

    def turn_to(self, visitor: str, path: str | None) -> bool:
        """The visitor looks at the clip at `path` now: abandon a run about another; whether one about this clip goes on."""
        wish = self._runs.get(visitor)
        if wish is None:
            return False
        if path is not None and wish.path == path:
            return True
        wish.abandoned = True
        wish.set()
        return False


def arm_of(method: str, retention: str | float, options: Mapping[str, Any]) -> Arm:
    """The compressed arm as a person chose it: a preset or a share sets the rates, "custom" leaves them among the options."""
    if retention == words.CUSTOM:
        return Arm(method, None, dict(options))
    share = words.PRESETS.get(retention, retention) if isinstance(retention, str) else retention
    try:
        share = float(share)
    except (TypeError, ValueError):
        raise MethodError(words.BAD_RETENTION.format(given=retention)) from None
    kind = COMPRESSORS.get(method)
    rates = {item.name for item in kind.options() if item.is_rate} if kind else set()
    return Arm(method, share, {name: value for name, value in options.items() if name not in rates})


def compare(
    engine: Engine, path: str | None, question: str, method: str, retention: str, options: Mapping[str, Any], flag: Flag
) -> Iterator[Update]:
    """A new conversation: both models answer, with progress by stage and text as it is written."""
    if not path:
        yield {"status": markup.problem(words.NO_CLIP)}
    elif not (question or "").strip():
        yield {"status": markup.problem(words.NO_QUESTION.format(hint=words.QUESTION_HINT))}
    else:
        try:
            arm = arm_of(method, retention, options)
            yield from _converse(engine, path, question.strip(), arm, ((), ()), flag)
        except OmniZipError as problem:
            yield {"status": markup.problem(str(problem))}


def ask_on(engine: Engine, chat: Chat | None, question: str, flag: Flag) -> Iterator[Update]:
    """A further question in the same conversation, to the same two models."""
    if chat is None:
        yield {"status": markup.problem(words.NO_CHAT)}
    elif not (question or "").strip():
        yield {"status": markup.problem(words.NO_QUESTION.format(hint=words.QUESTION_HINT))}
    else:
        try:
            yield {"follow_up": ""}
            yield from _converse(engine, chat.path, question.strip(), chat.arm, chat.turns, flag)
        except OmniZipError as problem:
            yield {"status": markup.problem(str(problem))}


def _converse(
    engine: Engine, path: str, question: str, arm: Arm, turns: tuple[tuple[Turn, ...], tuple[Turn, ...]], flag: Flag
) -> Iterator[Update]:
    on_cpu = engine.model.conditions.device == "cpu"
    talk = _Talk(question, arm, turns)
    yield {"status": markup.progress(wording.STAGES["decode"], None)}
    runs: list[Run] = []
    report = None
    told, speaking, shown_at = None, None, 0.0
    for event in engine.compare(path, question, (arm,), history=dict(enumerate(turns)), stop=flag.is_set):
        if isinstance(event, Stage):
            now = (event.name, event.arm, int(10 * (event.fraction or 0)))
            if now == told:
                continue  # tenths are enough to look at, and every update costs the browser's time
            told = now
            yield {"status": markup.progress(words.stage(event.name, event.arm), event.fraction)}
            if event.name == "answer":
                yield {**talk.now(event.arm), **({"headline": markup.invitation(), "costs": ""} if event.arm == FULL else {})}
        elif isinstance(event, Piece):
            if perf_counter() - shown_at > REFRESH_S or event.arm != speaking:
                yield talk.say(event.arm, event.text)
                shown_at, speaking = perf_counter(), event.arm  # the time the page itself takes is not waited for twice
        elif isinstance(event, ArmDone):
            runs.append(event.run)
            yield {"costs": fragments.costs(runs, on_cpu), **talk.end(event.arm, event.run.answer.text)}
        elif isinstance(event, Finished):
            report = event.report
    stopped = flag.is_set()
    if report is None or len(report.runs) < 2:
        yield {"status": markup.done(words.STOPPED)}
        return
    answers = [run.answer.text for run in report.runs]
    asked = tuple((*earlier, Turn(question, answer)) for earlier, answer in zip(turns, answers, strict=True))
    chat = Chat(path, arm, asked, report)
    record = report.runs[COMPRESSED].compression
    with tempfile.TemporaryDirectory() as folder:
        # The last update of all frees the buttons too. gradio sends each as a difference, and a busy browser that met the next
        # one before it had drawn the files would be left with buttons that save nothing.
        yield {
            "busy": False,
            "status": markup.done(words.STOPPED if stopped else words.DONE),
            "headline": fragments.headline(report.ratios(report.runs[COMPRESSED])),
            "chat": chat,
            "talking": True,
            **talk.compared(answers),
            **_files(report, Path(folder)),
            **_map(Kept(path, record, report.runs[COMPRESSED].label), words.KEPT_OF_ANSWER),
            "clip_notes": _clip_notes(report, engine.encode(path).clip.playable),
        }


@dataclass(frozen=True, eq=False)
class _Talk:
    """Draws both sides of the conversation while it goes on."""

    question: str
    arm: Arm
    turns: tuple[tuple[Turn, ...], tuple[Turn, ...]]

    def _side(self, arm: int, text: str | None, **look: Any) -> Update:
        title = COMPRESSORS["full"].label if arm == FULL else wording.asked_title(COMPRESSORS[self.arm.method].label, self.arm.retention)
        name = "answer_full" if arm == FULL else "answer_compressed"
        return {name: fragments.answer(title, self.turns[arm], text, question=self.question, **look)}

    def now(self, arm: int) -> Update:
        """An arm starts; the other waits, or has ended."""
        waits = self._side(COMPRESSED, None, empty=words.WAITING) if arm == FULL else {}
        return {**self._side(arm, None, empty=words.COMING), **waits}

    def say(self, arm: int, text: str) -> Update:
        return self._side(arm, text, now=True)

    def end(self, arm: int, text: str) -> Update:
        return self._side(arm, text)

    def compared(self, answers: Sequence[str]) -> Update:
        """Both ended: what differs is underlined."""
        spans = differing_words(*answers)
        marked = {name: card for arm in (FULL, COMPRESSED) for name, card in self._side(arm, answers[arm], spans=spans[arm]).items()}
        return {**marked, "difference": fragments.hint(wording.difference(*answers, any(spans)))}


def _files(report: RunReport, folder: Path) -> Update:
    stem = Path(report.clip.name).stem
    (folder / f"{stem}-report.json").write_text(json.dumps(report.to_json(), indent=1, ensure_ascii=False), "utf-8")
    (folder / f"{stem}-windows.csv").write_text(report.windows_csv(), "utf-8")
    return {"report_json": str(folder / f"{stem}-report.json"), "windows_csv": str(folder / f"{stem}-windows.csv")}


def _clip_notes(report: RunReport, playable: bool) -> str:
    line = wording.clip_line(report.clip)
    return fragments.hint(line) + fragments.sentences((*report.clip.warnings, *(() if playable else (words.UNPLAYABLE,))))


def redraw(engine: Engine, chat: Chat | None, path: str | None, method: str, retention: str, options: Mapping[str, Any]) -> Update:
    """What is kept under other settings, without asking the model; nothing before the clip's first answer."""
    if chat is None or path != chat.path:
        return {}
    try:
        arm = arm_of(method, retention, options)
        if arm == chat.arm:
            run = chat.report.runs[COMPRESSED]
            return _map(Kept(path, run.compression, run.label), words.KEPT_OF_ANSWER)
        preview = engine.preview(path, arm, chat.turns[FULL][-1].question)
        return _map(Kept(path, preview.record, preview.compressor.label), words.KEPT_OF_PREVIEW)
    except OmniZipError as problem:
        return {"status": markup.problem(str(problem))}


def _map(kept: Kept, sentence: str) -> Update:
    """One decision, and what it comes to in a line."""
    share = formats.share(kept.record.retained["total"])
    return {
        "kept": kept,
        "kept_line": fragments.hint(sentence.format(label=kept.label, share=share)) + fragments.sentences(kept.record.notes),
        "video": None,  # one made of another decision would be shown beside this map
    }


def draw_charts(engine: Engine, kept: Kept | None) -> Update:
    """The decision as a chart and in counts; asked for while somebody looks."""
    if kept is None:
        return {}
    try:
        waveform = engine.encode(kept.path).clip.waveform
    except OmniZipError as problem:
        return {"status": markup.problem(str(problem))}
    return {"chart": figures.time_chart(kept.record, waveform), "reasons": fragments.reasons(kept.record)}


def make_video(engine: Engine, kept: Kept | None) -> Iterator[Update]:
    """The whole clip with what was dropped dimmed, with its sound; progress first, then the file."""
    if kept is None:
        yield {"video_status": markup.problem(words.NO_MAP)}
        return
    yield {"video_status": markup.progress(words.MAKING_VIDEO, None)}
    try:
        clip = engine.encode(kept.path).clip
    except OmniZipError as problem:
        yield {"video_status": markup.problem(str(problem))}
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{Path(kept.path).stem}-kept.mp4"
        for fraction in _drawn(kept.record, clip, path):
            yield {"video_status": markup.progress(words.MAKING_VIDEO, fraction)}
        yield {"video": str(path), "video_status": ""}


def _drawn(record: CompressionRecord, clip: Clip, path: Path) -> Iterator[float]:
    """Write the overlay video in a thread of its own, so that its progress can be yielded."""
    masks = frames.step_masks(record.keep, record.modality, record.grid)
    done: SimpleQueue[float | None] = SimpleQueue()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            frames.overlay_video(clip.frames, masks, clip.fps, clip.waveform, path, done.put)
        except BaseException as failure:
            failures.append(failure)
        finally:
            done.put(None)

    thread = Thread(target=work, name="overlay video", daemon=True)
    thread.start()
    try:
        shown = 0.0
        while (fraction := done.get()) is not None:
            if fraction - shown >= 0.04:
                shown = fraction
                yield fraction
    finally:
        thread.join()
    if failures:
        raise failures[0]


def open_gif(engine: Engine, path: str) -> Iterator[Update]:
    """A gif, or any other file the player refuses by its type, as an mp4."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / f"{Path(path).stem}.mp4"
        try:
            transcode_preview(path, film, engine.settings)
        except OmniZipError as problem:
            yield {"status": markup.problem(str(problem))}
            return
        yield {"clip": str(film), "notice": words.GIF_OPENED}


def new_chat() -> Update:
    """The page as it was before the first answer; clip and settings stay."""
    return {
        "chat": None,
        "kept": None,
        "talking": False,
        "status": "",
        "follow_up": "",
        "headline": markup.invitation(),
        "answer_full": fragments.answer(COMPRESSORS["full"].label, (), None, empty=words.FULL_EMPTY),
        "answer_compressed": fragments.answer(COMPRESSORS["omnizip"].label, (), None, empty=words.COMPRESSED_EMPTY),
        "difference": "",
        "costs": markup.how_it_works(),
        "clip_notes": "",
        "video": None,
        "video_status": "",
        "chart": None,
        "reasons": "",
    }


def compare_plain(
    engine: Engine, path: str, question: str, method: str, retention: str | float, options: Mapping[str, Any]
) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """The same comparison for programs: (full answer, compressed answer, report) as they grow; the report comes last.

    Raises:
        OmniZipError: in one sentence.
    """
    texts = ["", ""]
    for event in engine.compare(path, question, (arm_of(method, retention, options),)):
        if isinstance(event, Piece):
            texts[event.arm] = event.text
            yield texts[FULL], texts[COMPRESSED], None
        elif isinstance(event, Finished):
            answers = [run.answer.text for run in event.report.runs]
            yield answers[FULL], answers[COMPRESSED], event.report.to_json()
