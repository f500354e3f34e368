"""The film that the lens plays in place of one that it cannot show as it is: each comparison has its own, by part and by sound."""

import errno
from itertools import combinations
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import clips
import ffmpeg
import pytest

from omnizip import media
from omnizip.engine import Engine
from omnizip.errors import OmniZipError
from omnizip.media import Part
from omnizip.settings import Settings
from ui import handlers, words
from ui.lens import view
from ui.run_folder import shown_folder

# What is asked for, where the picture then begins and how long it is, and when it beeps; the tracks beep at 1 and at 3 s
READ = {
    Part(start=0.5, end=3.5, audio_track="1"): (0.5, 3.0, [0.5]),
    Part(end=2.0, audio_track="1"): (0.0, 2.0, [1.0]),
    Part(start=2.0, audio_track="1"): (2.0, 2.0, []),
    Part(start=2.0, audio_track="2"): (2.0, 2.0, [1.0]),
    Part(audio_track="2"): (0.0, 4.0, [3.0]),
    Part(audio_track="none"): (0.0, 4.0, None),
}


@pytest.fixture(scope="module")
def engine():
    return Engine.open(Settings(device="cpu", max_new_tokens=2))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Four seconds that browsers play, with two sound tracks."""
    folder = tmp_path_factory.mktemp("tracks")
    first, second = (clips.make_clip(folder / f"{at}.mp4", seconds=4, sound=clips.beeps(4, (at,))) for at in (1.0, 3.0))
    out = folder / "two.mp4"
    ffmpeg.ffmpeg("-i", first, "-i", second, "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy", out)
    return out


@pytest.fixture(autouse=True)
def shown(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "shown"))


def chat_about(engine, film, part):
    page = {}
    for update in handlers.compare(engine, str(film), "What is seen?", "omnizip", "35 %", {}, Flag(), part):
        page |= update
    return page["chat"]


@pytest.fixture(scope="module")
def chats(engine, film):
    return {part: chat_about(engine, film, part) for part in READ}


def test_two_comparisons_of_one_clip_never_show_each_others_copy(engine, chats, film):
    """Made in one order and asked for again in the other, each is the film of its own part with its own sound."""
    packed = {part: view.clip(engine, chat) for part, chat in chats.items()}
    made = {part: clip["source"] for part, clip in packed.items()}
    for part, chat in reversed(chats.items()):
        assert view.clip(engine, chat)["source"] == made[part], "and it is made once"
        start, length, beeps = READ[part]
        copy = media.load(made[part], Settings())
        assert clips.time_shown(copy.frames[0]) == pytest.approx(start, abs=0.05)
        assert copy.duration_s == pytest.approx(length, abs=0.1)
        heard = None if copy.waveform is None else clips.beep_starts(copy.waveform)
        assert heard == (None if beeps is None else pytest.approx(beeps, abs=0.05))
    assert all(a != b for a, b in combinations(made.values(), 2))
    assert len({clip["key"] for clip in packed.values()}) == len(READ), "by which the lens tells one clip from the next"
    assert all(clip["from"] == READ[part][0] for part, clip in packed.items())
    assert {Path(path).resolve().parent for path in made.values()} == {Path(shown_folder()).resolve() / view.COPIES}
    assert [path.name for path in film.parent.iterdir() if "copy" in path.name] == [], "nothing is written beside the film"


def test_the_whole_clip_after_a_part_of_it_is_shown_as_it_is(engine, chats, film):
    view.clip(engine, chats[Part(start=2.0, audio_track="1")])
    shown = view.clip(engine, chat_about(engine, film, Part()))
    assert shown["source"] == str(film) and shown["note"] == ""


def test_another_file_of_the_same_name_has_a_copy_of_its_own(engine, chats, tmp_path):
    part = Part(start=2.0, audio_track="1")
    other = clips.make_clip(tmp_path / "two.mp4", seconds=6)
    made = [view.clip(engine, chat)["source"] for chat in (chats[part], chat_about(engine, other, part))]
    assert made[0] != made[1] and media.load(made[1], Settings()).duration_s == pytest.approx(4, abs=0.1)


def test_two_visitors_who_ask_for_the_same_copy_at_once_both_get_it(engine, chats):
    chat, made = chats[Part(start=0.5, end=3.5, audio_track="1")], []
    visitors = [Thread(target=lambda: made.append(view.clip(engine, chat)["source"])) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(made) == 2 and made[0] == made[1]
    assert [path.name for path in (Path(shown_folder()) / view.COPIES).iterdir()] == [Path(made[0]).name]


def test_where_no_copy_can_be_written_one_sentence_says_so(engine, chats, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(view, "transcode_preview", full)
    with pytest.raises(OmniZipError, match="could not be written") as told:
        view.clip(engine, chats[Part(audio_track="2")])
    assert words.DISK_FULL in str(told.value)
