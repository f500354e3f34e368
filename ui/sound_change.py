"""What the sound changes: the same clip, question and method twice, once with its sound and once without. No gradio.

It stands in the two cards, in place of the full and the compressed answer; the conversation goes on as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from threading import Event as Flag
from time import perf_counter

import numpy as np

from omnizip.engine import ComparisonEngine
from omnizip.engine.events import ArmDone, Piece, Stage
from omnizip.errors import OmniZipError
from omnizip.report import formats, fragments, wording
from omnizip.report.decision import CompressionRecord
from omnizip.report.report import Run, differing_words

from . import frames, markup, words
from .chat import FULL, Chat, Update

CARDS = ("answer_full", "answer_compressed")
TITLES = (words.SOUND_HEARD, words.SOUND_UNHEARD)
REFRESH_S = 0.08  # as of a comparison


def compare(engine: ComparisonEngine, chat: Chat | None, flag: Flag) -> Iterator[Update]:
    """Answer the conversation's latest question anew, with and without the clip's sound, one after the other."""
    if chat is None:
        yield {"status": markup.problem(words.NO_CHAT)}
    elif not chat.report.clip.has_sound:
        yield {"status": markup.problem(words.SOUND_NONE)}
    else:
        try:
            yield from _both(engine, chat, flag)
        except OmniZipError as problem:
            yield {"status": markup.problem(str(problem))}


def _both(engine: ComparisonEngine, chat: Chat, flag: Flag) -> Iterator[Update]:
    question, label = chat.turns[FULL][-1].question, chat.report.runs[-1].label
    method = wording.asked_title(label, chat.arm.retention)
    mute = engine.open_clip(chat.path, replace(chat.clip.key.part, audio_track="none"))
    titles = [title.format(label=label) for title in TITLES]
    card = partial(fragments.answer, turns=())
    runs: list[Run] = []
    yield {
        "origin": fragments.hint(words.SOUND_ORIGIN.format(method=method)),
        "headline": markup.invitation(),
        "difference": "",
        "costs": "",
        CARDS[0]: card(titles[0], text=None, empty=words.COMING),
        CARDS[1]: card(titles[1], text=None, empty=words.WAITING),
    }
    for number, clip in enumerate((chat.clip, mute)):
        if number:
            yield {CARDS[1]: card(titles[1], text=None, empty=words.COMING)}
        shown_at, stage = 0.0, None
        for event in engine.answer(clip, question, chat.arm, stop=flag.is_set):
            if isinstance(event, Stage) and (event.name, event.ahead) != stage:
                stage = event.name, event.ahead
                said = words.stage(event.name, None, event.ahead)
                yield {"status": markup.progress(words.SOUND_ARMS[number].format(stage=said), event.fraction)}
            elif isinstance(event, Piece) and perf_counter() - shown_at > REFRESH_S:
                shown_at = perf_counter()
                yield {CARDS[number]: card(titles[number], text=event.text, now=True)}
            elif isinstance(event, ArmDone):
                runs.append(replace(event.run, label=titles[number]))
                yield {CARDS[number]: card(titles[number], text=event.run.answer.text)}
        if len(runs) <= number:
            yield {"status": markup.done(words.STOPPED) if flag.is_set() else markup.problem(words.RUN_FAILED)}
            return
    answers = [run.answer.text for run in runs]
    spans = differing_words(*answers)
    cards = {name: card(title, text=text, spans=marked) for name, title, text, marked in zip(CARDS, titles, answers, spans, strict=True)}
    yield {
        **cards,
        "headline": "",
        "difference": fragments.hint(wording.difference(*answers, any(spans))) + fragments.sentences(tuple(_differences(runs))),
        "costs": fragments.first_word(runs),  # no times: each was read once, and what is asked is what was said
        "status": markup.done(words.STOPPED if flag.is_set() else words.DONE),
        "busy": False,
    }


def _differences(runs: list[Run]) -> Iterator[str]:
    """In counts: what was read, and whether it was the same picture."""
    heard, mute = (run.tokens for run in runs)
    yield words.SOUND_COUNTS.format(with_audio=heard["audio"], with_video=heard["video"], without_video=mute["video"])
    n, total = shared_picture(*(run.compression for run in runs))
    if total:
        yield words.SOUND_SAME_PICTURE.format(share=formats.share(n / total), n=n, total=total)


def shared_picture(heard: CompressionRecord, mute: CompressionRecord) -> tuple[int, int]:
    """Tokens of picture that both kept, and those kept with sound; none where the two have different pictures."""
    if heard.grid != mute.grid:
        return 0, 0
    with_sound, without = (frames.step_masks(record.keep, record.modality, record.grid) for record in (heard, mute))
    return int(np.count_nonzero(with_sound & without)), int(np.count_nonzero(with_sound))
