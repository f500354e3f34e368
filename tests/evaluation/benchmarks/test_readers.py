"""Readers of the official annotation formats, on files written here in those formats; what is wrong with a file is one sentence."""

import json
import sys
from pathlib import Path

import benchmark_files
import pytest

from omnizip.errors import OmniZipError
from omnizip.evaluation.benchmarks import READERS
from omnizip.evaluation.benchmarks.items import option_texts
from omnizip.evaluation.benchmarks.videomme import read_subtitles

CHOICES = [name for name in READERS if name != "captions"]


@pytest.fixture
def download(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_files, "write_videos", lambda folder, names: [_touch(folder / name) for name in names])
    return lambda name: (tmp_path, tmp_path / benchmark_files.FORMATS[name](tmp_path))


def _touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_every_benchmark_has_a_fixture():
    assert list(benchmark_files.FORMATS) == list(READERS)


@pytest.mark.parametrize("name", CHOICES)
def test_what_stands_in_the_file_is_what_is_asked(download, name):
    folder, _ = download(name)
    clips = READERS[name].load(folder)
    assert len(clips) == benchmark_files.CLIPS
    found = [(q.text, q.options, q.answer) for clip in clips for q in clip.questions]
    assert found == [(question.text, tuple(options), letter) for _, _, question, options, letter in benchmark_files.asked()]
    for number, clip in enumerate(clips):
        assert folder in Path(clip.video).parents and Path(clip.video).is_file() and f"clip{number}" in clip.video
    groups = {kind for clip in clips for q in clip.questions for kind, _ in (*clip.groups, *q.groups)}
    assert "task type" in groups
    assert ("duration" in groups) == (name in ("worldsense", "videomme", "dailyomni", "omnivideobench"))
    assert ("audio class" in groups) == (name in ("worldsense", "omnivideobench"))


def test_a_clip_may_have_several_audio_classes(download):
    clips = READERS["worldsense"].load(download("worldsense")[0])
    found = [[which for kind, which in clip.groups if kind == "audio class"] for clip in clips]
    assert found == [["Event"], ["Event", "Music"], ["Speech"]]


def test_subtitles_are_their_words(download):
    clips = READERS["videomme"].load(download("videomme")[0])
    assert [clip.subtitles is None for clip in clips] == [False, True, True]
    assert read_subtitles(clips[0].subtitles) == "Something rings.\nIt stops."


DROPPED = {
    "worldsense": "task_type",
    "videomme": "options",
    "avut": "QA_id",
    "shortvid": "candidates",
    "dailyomni": "Choice",
    "omnivideobench": "correct_option",
}


def _without(value, name):
    if isinstance(value, dict):
        return {k: _without(v, name) for k, v in value.items() if k != name}
    return [_without(v, name) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", CHOICES)
def test_a_changed_format_names_what_is_missing_and_what_there_is(download, name):
    folder, file = download(name)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.suffix == ".jsonl" else json.loads(file.read_text())
    changed = _without(rows, DROPPED[name])
    file.write_text("\n".join(map(json.dumps, changed)) if file.suffix == ".jsonl" else json.dumps(changed))
    with pytest.raises(OmniZipError) as caught:
        READERS[name].load(folder)
    sentence = str(caught.value)
    assert f"has no {DROPPED[name]}" in sentence and "found are" in sentence and file.name in sentence and "\n" not in sentence
    assert READERS[name].verified in sentence


@pytest.mark.parametrize("name", list(READERS))
def test_a_missing_file_names_what_is_there_and_where_to_get_it(tmp_path, name):
    (tmp_path / "other.txt").touch()
    with pytest.raises(OmniZipError, match="other.txt") as caught:
        READERS[name].load(tmp_path)
    assert READERS[name].home in str(caught.value) and "--annotations" in str(caught.value)
    with pytest.raises(OmniZipError, match="is no folder"):
        READERS[name].load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not valid JSON"),
        ('{"a": 1}', "a list of questions was expected"),
        ("[1]", "entry 1 is a int, not an object"),
        ("[]", "has no questions"),
    ],
)
def test_what_is_no_annotation_is_told(tmp_path, text, words):
    (tmp_path / "qa.json").write_text(text)
    with pytest.raises(OmniZipError, match=words):
        READERS["dailyomni"].load(tmp_path)


def test_rows_may_be_parquet_as_on_the_hub(download):
    """pyarrow is no requirement; .ci/lmms has it."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed; .ci/lmms runs this")
    from pyarrow import parquet

    folder, file = download("videomme")
    as_lines = READERS["videomme"].load(folder)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.unlink()
    (folder / "videomme").mkdir()
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "videomme/test-00000-of-00001.parquet")
    assert READERS["videomme"].load(folder) == as_lines
    (folder / "videomme/test-00000-of-00001.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(OmniZipError, match="test-00000-of-00001.parquet: it cannot be read .*download it again"):
        READERS["videomme"].load(folder)


def test_parquet_without_pyarrow_is_one_sentence(download, monkeypatch):
    folder, file = download("videomme")
    file.rename(folder / "test-0.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OmniZipError, match="pip install pyarrow, or convert the file to JSON Lines"):
        READERS["videomme"].load(folder)


def test_descriptions_are_of_the_official_events_or_of_ones_own_captions(download, tmp_path):
    folder, file = download("captions")
    assert [clip.questions[0].answer for clip in READERS["captions"].load(folder)] == ["A bell rings.\nA red circle falls."] * 3
    own = tmp_path / "captions.jsonl"
    own.write_text('{"video": "a.mp4", "caption": "A drum."}\n{"video": "b.mp4"}\n')
    assert [clip.questions[0].answer for clip in READERS["captions"].load(folder, own)] == ["A drum.", ""]
    file.write_text('[{"video": "clip0.mp4", "events": []}]')
    with pytest.raises(OmniZipError, match="no list of events"):
        READERS["captions"].load(folder)


def test_an_answer_that_is_no_option_is_told(download):
    folder, file = download("dailyomni")
    rows = json.loads(file.read_text())
    rows[1]["Answer"] = "E"
    file.write_text(json.dumps(rows))
    with pytest.raises(OmniZipError, match="entry 2 has the answer 'E', which is none of its 4 options"):
        READERS["dailyomni"].load(folder)
    rows[1] = {**rows[0], "Choice": "A. one"}
    file.write_text(json.dumps(rows))
    with pytest.raises(OmniZipError, match="entry 2 has the options 'A. one'"):
        READERS["dailyomni"].load(folder)


def test_a_question_that_stands_twice_is_told(download):
    folder, file = download("avut")
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([*rows, rows[0]]))
    with pytest.raises(OmniZipError, match="the question q0_0 twice"):
        READERS["avut"].load(folder)


def test_a_video_that_stands_twice_in_an_object_is_told(download):
    folder, file = download("worldsense")
    text = file.read_text()
    file.write_text(text.replace('"clip1": {', '"clip0": {'))
    with pytest.raises(OmniZipError, match="worldsense_qa.json: it has clip0 twice"):
        READERS["worldsense"].load(folder)


def test_lines_may_hold_every_character_that_json_allows_and_begin_with_a_mark_of_their_encoding(download):
    folder, file = download("videomme")
    first, *rest = [json.loads(line) for line in file.read_text().splitlines()]
    first["question"] = "What\u2028is\u0085seen?"
    file.write_text("\ufeff" + "\r\n".join(json.dumps(row, ensure_ascii=False) for row in (first, *rest)), encoding="utf-8", newline="")
    found = READERS["videomme"].load(folder)
    assert found[0].questions[0].text == first["question"] and sum(len(clip.questions) for clip in found) == 1 + len(rest)


def test_a_blank_option_that_is_the_answer_stays(download):
    folder, file = download("avut")
    rows = json.loads(file.read_text())
    rows[0] |= {"option_D": "", "answer": "D"}
    rows[1] |= {"option_D": " ", "answer": "A"}
    file.write_text(json.dumps(rows))
    first, second = READERS["avut"].load(folder)[0].questions
    assert (first.letters, first.answer, second.letters, second.answer) == ("ABCD", "D", "ABC", "A")


def test_letters_before_options_go_only_where_all_have_their_own():
    for marked in (["A. one", "B. two"], ["(A) one", "(B) two"], ["A: one", "B) two"]):
        assert option_texts(marked) == ("one", "two")
    assert option_texts(["A. Milne", "Mr. Pooh"]) == ("A. Milne", "Mr. Pooh")
