"""What the page's buttons and sliders do, with the embedded model and real files, without a server."""

import dataclasses
import errno
import html
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from threading import Event as Flag

import pytest
from clips import gif, make_clip, text

from omnizip import COMPRESSORS
from omnizip.engine import Engine
from omnizip.errors import MethodError
from omnizip.report import formats, wording
from omnizip.settings import Settings
from ui import columns, decisions, files, handlers, words
from ui.chat import arm_of, empty_page
from ui.methods import view

OPTIONS = COMPRESSORS["omnizip"]().parameters


@pytest.fixture(scope="module")
def engine():
    return Engine.open(Settings(max_new_tokens=12))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(make_clip(tmp_path_factory.mktemp("clips") / "portrait.mp4", seconds=6, size=(180, 320)))


def plain(html):
    return re.sub(r"<[^>]+>", " ", html)


def ask(engine, clip, question="What is seen?", retention="45 %", flag=None):
    return list(handlers.compare(engine, clip, question, "omnizip", retention, OPTIONS, flag or Flag()))


@pytest.fixture(scope="module")
def answered(engine, clip):
    """All updates of one comparison, and the page as they leave it. Files of the report are read before they go."""
    updates, page = [], {}
    for update in handlers.compare(engine, clip, "What is seen?", "omnizip", "45 %", OPTIONS, Flag()):
        updates.append(update)
        page |= update
        if "report_json" in update:
            page["json"] = json.loads(Path(update["report_json"]).read_text())
            page["csv"] = Path(update["windows_csv"]).read_text()
    return updates, page


def test_both_answers_stream_and_every_stage_is_told(answered):
    updates, page = answered
    statuses = [plain(u["status"]).strip() for u in updates if "status" in u]
    order = [next(i for i, s in enumerate(statuses) if s.startswith(stage)) for name, stage in wording.STAGES.items() if name != "repeat"]
    assert order == sorted(order)
    for name, arm in (("answer_full", 0), ("answer_compressed", 1)):
        shown = [plain(u[name]) for u in updates if name in u and "oz-now" in u[name]]
        assert shown and all(len(a) <= len(b) for a, b in zip(shown, shown[1:], strict=False))
        assert page["chat"].report.runs[arm].answer.text.split()[0] in plain(page[name])
    assert page["talking"] is True and page["chat"].clip is page["kept"].clip


def test_everything_shown_comes_from_the_report(engine, answered):
    _, page = answered
    counted = plain(decisions.draw_charts(engine, page["kept"])["reasons"])
    report = page["chat"].report
    full, compressed = report.runs
    table = plain(page["costs"])
    for run in (full, compressed):
        for text_ in (formats.count(run.tokens["total"]), formats.duration(run.timing.prefill_ms), formats.size(run.kv_cache_bytes)):
            assert text_ in table
    assert wording.NOT_ON_CPU in table
    assert formats.share(compressed.tokens["total"] / full.tokens["total"]) in plain(page["headline"])
    assert page["json"] == json.loads(json.dumps(report.to_json())) and page["csv"] == report.windows_csv()
    reasons = compressed.compression.reasons
    for modality, counts in reasons.items():
        for reason, n in counts.items():
            assert wording.REASON_WORDS[reason][0] in counted and formats.count(n) in counted, modality


def test_a_choice_redraws_without_asking_the_model(engine, clip, answered, monkeypatch):
    chat = answered[1]["chat"]

    def never(*_):
        raise AssertionError("the model was asked")

    for name in ("prefill", "decode", "encode"):
        monkeypatch.setattr(type(engine.model), name, never)
    tried = decisions.redraw(engine, chat, clip, "omnizip", "25 %", OPTIONS)
    assert "25 %" in plain(tried["kept_line"]) and "would" in tried["kept_line"]
    assert tried["kept"].record.retained["total"] == pytest.approx(0.25, abs=0.002)
    custom = decisions.redraw(engine, chat, clip, "omnizip", words.CUSTOM, {**OPTIONS, "rho_video": 0.9})
    assert custom["kept"].record.retained["video"] == pytest.approx(0.1, abs=0.01)
    same = decisions.redraw(engine, chat, clip, "omnizip", "45 %", {**OPTIONS, "rho_video": 0.9})
    assert same["kept"].record is chat.report.runs[1].compression, "these settings were answered with"
    assert decisions.redraw(engine, None, clip, "omnizip", "25 %", OPTIONS) == {}
    wrong = decisions.redraw(engine, chat, clip, "omnizip", words.CUSTOM, {**OPTIONS, "rho_min": 0.9})
    assert list(wrong) == ["status"] and "rho_min" in wrong["status"]


@pytest.mark.slow
def test_a_slider_move_redraws_a_30_s_clip_without_the_model(engine, tmp_path, monkeypatch):
    """Encoding and reading take seconds, choosing does not: whatever else happens, the model is not asked again."""
    long = str(make_clip(tmp_path / "long.mp4", seconds=30, size=(640, 360), fps=10))  # what is kept of 720p
    chat = next(u["chat"] for u in ask(engine, long) if "chat" in u)
    for name in ("encode", "prefill", "decode"):
        monkeypatch.setattr(type(engine.model), name, None)
    kept = []
    for i in range(5):
        update = decisions.redraw(engine, chat, long, "omnizip", words.CUSTOM, {**OPTIONS, "rho_video": 0.5 + 0.05 * i})
        assert decisions.draw_charts(engine, update["kept"])["chart"].to_json()
        kept.append(update["kept"].record.tokens["video"])
    assert kept == sorted(kept, reverse=True) and len(set(kept)) == 5, "every value prunes more"


def test_a_follow_up_stays_in_each_models_own_conversation(engine, clip, answered, monkeypatch):
    chat = answered[1]["chat"]
    encoded = []
    monkeypatch.setattr(type(engine.model), "encode", lambda *a: encoded.append(a))
    asked = []
    stream = type(engine.model).stream
    monkeypatch.setattr(type(engine.model), "stream", lambda self, clip, turns: asked.append(turns) or stream(self, clip, turns))
    page = {}
    for update in handlers.ask_on(engine, chat, "And what is heard?", Flag()):
        page |= update
    first = [run.answer.text for run in chat.report.runs]
    histories = {turns[0].answer for turns in asked if len(turns) == 2}
    assert histories == set(first) and not encoded
    assert [len(side) for side in page["chat"].turns] == [2, 2]
    assert [side[0].answer for side in page["chat"].turns] == first
    assert "What is seen?" in page["answer_full"] and "And what is heard?" in page["answer_full"]
    assert page["follow_up"] == ""


@pytest.mark.parametrize(
    ("path", "question", "sentence"), [(None, "What?", "Pick a clip"), ("x.mp4", " ", "question"), ("x.mp4", None, "question")]
)
def test_what_is_missing_is_said_kindly(path, question, sentence):
    updates = list(handlers.compare(None, path, question, "omnizip", "45 %", {}, Flag()))
    assert [list(u) for u in updates] == [["status"]] and sentence in plain(updates[0]["status"])


def test_an_unreadable_file_costs_one_sentence_and_nothing_else(engine, clip, tmp_path):
    updates = ask(engine, str(text(tmp_path)))
    last = updates[-1]
    assert list(last) == ["status"] and 'role="alert"' in last["status"] and plain(last["status"]).strip().endswith(".")
    assert all(set(u) <= {"status"} for u in updates)
    assert any("chat" in u for u in ask(engine, clip))
    assert "press Compare" in plain(list(handlers.ask_on(engine, None, "And?", Flag()))[0]["status"])


def asked_with_temporary_files_in(folder, engine, clip, monkeypatch):
    """The page after a comparison during whose answer the system's temporary folder becomes another."""
    page = {}
    for update in handlers.compare(engine, clip, "What is seen?", "omnizip", "45 %", OPTIONS, Flag()):
        page |= update
        if "answer_full" in update:
            monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return page


def assert_answer_stands(page, why, folder):
    assert page["chat"].report.runs[1].answer.text and page["busy"] is False and page["report_json"] is page["windows_csv"] is None
    assert 'role="alert"' in page["status"] and why in html.unescape(plain(page["status"])) and str(folder) not in page["status"]


def test_a_full_disk_keeps_the_answer_and_is_named(engine, clip, tmp_path, monkeypatch):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(OSError, match="No space left"), (tmp_path / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        page = asked_with_temporary_files_in(tmp_path, engine, clip, monkeypatch)
    finally:
        monkeypatch.undo()
        subprocess.run(["umount", tmp_path], check=True)
    assert_answer_stands(page, words.DISK_FULL, tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
def test_only_a_full_disk_is_called_one(number, engine, clip, tmp_path, monkeypatch):
    def refuse(path, mode=0o777):
        raise OSError(number, os.strerror(number), path)

    page = {}
    for update in handlers.compare(engine, clip, "What is seen?", "omnizip", "45 %", OPTIONS, Flag()):
        page |= update
        if "answer_full" in update:
            monkeypatch.setattr("tempfile._os.mkdir", refuse)
    full = number in (errno.ENOSPC, errno.EDQUOT)
    assert_answer_stands(page, words.DISK_FULL if full else os.strerror(number), tempfile.gettempdir())
    assert (words.DISK_FULL in html.unescape(page["status"])) == full


def test_a_temporary_folder_that_is_gone_keeps_the_answer(engine, clip, tmp_path, monkeypatch):
    page = asked_with_temporary_files_in(tmp_path / "gone", engine, clip, monkeypatch)
    assert_answer_stands(page, "No such file or directory", tmp_path)


def test_a_question_or_a_conversation_that_is_too_long_is_refused_in_every_place(engine, clip, answered, monkeypatch):
    monkeypatch.setattr(engine, "settings", dataclasses.replace(engine.settings, question_chars=20, questions_per_chat=1))
    chat, long = answered[1]["chat"], "x" * 21
    monkeypatch.setattr(engine, "compare", lambda *args, **kwargs: pytest.fail("the model was asked"))
    too_long = words.QUESTION_LONG.format(given=21, most=20)
    compared = ask(engine, clip, long)
    methods = list(view.run(engine, clip, long, ["omnizip"], list(words.PRESETS), lambda: False))
    followed = list(handlers.ask_on(engine, chat, long, Flag()))
    for updates in (compared, methods, followed):
        assert [list(update) for update in updates] == [["status"]] and too_long in plain(updates[0]["status"])
    again = list(handlers.ask_on(engine, chat, "x" * 20, Flag()))
    assert [list(update) for update in again] == [["status"]] and words.CHAT_LONG.format(given=1) in plain(again[0]["status"])


def test_stop_is_heard_within_one_token(engine, clip):
    flag = Flag()
    after = 0
    page = {}
    for update in handlers.compare(engine, clip, "What is seen?", "omnizip", "45 %", OPTIONS, flag):
        page |= update
        if flag.is_set() and "oz-now" in update.get("answer_compressed", ""):
            after += 1
        if "oz-now" in update.get("answer_compressed", ""):
            flag.set()
    assert after <= 1 and words.STOPPED in page["status"]
    assert page["chat"].report.runs[1].answer.finish == "stopped"
    early = Flag()
    early.set()
    assert words.STOPPED in ask(engine, clip, flag=early)[-1]["status"]


def test_closing_frees_the_model(engine, clip):
    run = handlers.compare(engine, clip, "What is seen?", "omnizip", "45 %", OPTIONS, Flag())
    while "oz-now" not in next(run).get("answer_full", ""):
        pass
    run.close()
    assert any("chat" in u for u in ask(engine, clip))


def test_the_video_comes_with_progress(engine, answered):
    updates = []
    for update in files.make_video(engine, answered[1]["kept"]):
        updates.append(update)
        if "video" in update:
            assert Path(update["video"]).stat().st_size > 1000 and update["video"].endswith("portrait-kept.mp4")
    assert "video" in updates[-1] and any("width:" in u["video_status"] for u in updates)
    assert words.NO_MAP in list(files.make_video(engine, None))[0]["video_status"]


def test_presets_set_the_rates_and_custom_leaves_them():
    assert arm_of("omnizip", "35 %", OPTIONS).retention == 0.35
    assert "rho_video" not in arm_of("omnizip", "35 %", OPTIONS).options
    custom = arm_of("omnizip", words.CUSTOM, OPTIONS)
    assert custom.retention is None and custom.options["rho_video"] == OPTIONS["rho_video"]
    assert arm_of("omnizip", 0.4, {}).retention == 0.4
    with pytest.raises(MethodError, match="lots"):
        arm_of("omnizip", "lots", {})


def test_clips_without_sound_and_of_one_frame_are_drawn(engine, tmp_path):
    silent = str(make_clip(tmp_path / "mute.mp4", seconds=3, sound=None))
    page = {}
    for update in handlers.compare(engine, silent, "What?", "omnizip", "25 %", OPTIONS, Flag()):
        page |= update
    assert "no sound" in plain(page["clip_notes"]) and "Sound:" not in plain(decisions.draw_charts(engine, page["kept"])["reasons"])
    short = str(make_clip(tmp_path / "short.mp4", times_s=(0.0,), sound=None))
    kept = next(u["kept"] for u in ask(engine, short) if "kept" in u)
    assert kept.record.grid[0] == 1 and decisions.draw_charts(engine, kept)["chart"].data


@pytest.mark.parametrize("name", ["phone.MOV", "camera.ts"])
def test_files_whose_type_browsers_do_not_know_are_offered_and_read(name, engine, tmp_path):
    assert Path(name).suffix in columns.OTHER_FILES
    path = make_clip(tmp_path / name.lower(), sound_codec="aac").rename(tmp_path / name)
    for update in files.open_gif(engine, str(path)):
        assert engine.encode(update["clip"]).clip.playable


def test_a_gif_becomes_a_film_that_can_be_played(engine, tmp_path):
    for update in files.open_gif(engine, str(gif(tmp_path))):
        clip = engine.encode(update["clip"]).clip
        assert clip.playable and len(clip.frames) >= 2 and update["notice"] == words.GIF_OPENED
    (refused,) = files.open_gif(engine, str(text(tmp_path)))
    assert 'role="alert"' in refused["status"]


def test_markup_of_questions_is_shown_not_obeyed(engine, clip):
    page = {}
    for update in ask(engine, clip, "<script>alert(1)</script> & so on?"):
        page |= update
    for update in handlers.ask_on(engine, page["chat"], "<b>more</b>", Flag()):
        page |= update
    assert "<script>" not in page["answer_full"] and "&lt;script&gt;" in page["answer_full"]
    new = empty_page()
    assert new["chat"] is None and new["talking"] is False and words.HEADLINE_EMPTY in new["headline"]
