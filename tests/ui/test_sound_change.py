"""The same clip, question and method with and without its sound: two answers, what was read, and no word of it that is not so."""

import re
from threading import Event as Flag

import numpy as np
import pytest
from clips import make_clip

from omnizip.engine import Arm, Engine
from omnizip.media import Part
from omnizip.settings import Settings
from ui import frames, handlers, sound_change, words

QUESTION = "What is seen?"


@pytest.fixture(scope="module")
def engine():
    return Engine.open(Settings(max_new_tokens=6))


def chat_about(engine, path, part=None):
    last = {}
    for update in handlers.compare(engine, str(path), QUESTION, "omnizip", "35 %", {}, Flag(), *([part] if part else [])):
        last |= update
    return last["chat"]


@pytest.fixture(scope="module")
def chat(engine, tmp_path_factory):
    return chat_about(engine, make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=5), Part(start=1))


def test_both_answers_stand_in_the_cards_with_what_was_read(engine, chat):
    page = {}
    for update in sound_change.compare(engine, chat, Flag()):
        page |= update
    assert "OmniZip, with sound" in page["answer_full"] and "OmniZip, without sound" in page["answer_compressed"]
    heard, mute = (
        engine.preview(engine.open_clip(chat.path, Part(start=1, audio_track=track)), Arm("omnizip", 0.35), QUESTION).record
        for track in ("main", "none")
    )
    counts = words.SOUND_COUNTS.format(
        with_audio=heard.tokens["audio"], with_video=heard.tokens["video"], without_video=mute.tokens["video"]
    )
    assert counts in page["difference"] and heard.tokens["audio"] > 0
    both = [frames.step_masks(record.keep, record.modality, record.grid) for record in (heard, mute)]
    n, total = map(int, re.search(r"\((\d+) of (\d+) tokens\)", page["difference"]).groups())
    assert (n, total) == (np.logical_and(*both).sum(), both[0].sum()) and 0 < n <= total
    assert "Done" in page["status"] and page["busy"] is False and "once without" in page["origin"] and page["headline"] == ""
    assert "OmniZip, with sound" in page["costs"] and " ms" not in page["costs"] and "chat" not in page, "the conversation stays"


def test_a_clip_read_without_sound_says_so(engine, tmp_path):
    mute = chat_about(engine, make_clip(tmp_path / "mute.mp4", seconds=2, sound=None))
    (update,) = sound_change.compare(engine, mute, Flag())
    assert words.SOUND_NONE in update["status"]
    (update,) = sound_change.compare(engine, None, Flag())
    assert words.NO_CHAT in update["status"]


def test_a_stop_ends_it_with_a_word(engine, chat):
    flag, page = Flag(), {}
    flag.set()
    for update in sound_change.compare(engine, chat, flag):
        page |= update
    assert words.STOPPED in page["status"] and "costs" in page
