"""Every language has every sentence of the page, with the same values in it; what the page shows is found again in its catalogue.

Where this fails after a sentence was added or changed, `python tests/support/sentences.py zh` prints what to write where.
"""

import json
import re
from pathlib import Path

import pytest
import sentences

from omnizip.report import fragments, languages
from omnizip.types import Turn

ROOT = Path(__file__).resolve().parents[2]
CODES = [file.stem for file in languages.files()]
CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(scope="module", params=CODES)
def held(request):
    """A language's file name and its sentences."""
    return request.param, json.loads((ROOT / "assets" / "languages" / f"{request.param}.json").read_text("utf-8"))["sentences"]


@pytest.fixture(scope="module")
def chinese():
    return languages.catalogue(ROOT / "assets" / "languages" / "zh.json")


def test_it_has_every_sentence_and_no_other(held):
    code, _ = held
    missing, stale = sentences.compared(code)
    told = f"assets/languages/{code}.json; python tests/support/sentences.py {code} prints lines to paste"
    assert missing == [], f"write these into {told}"
    assert stale == [], f"nothing says these any more; take them out of {told}"


def test_values_stand_in_both(held):
    _, found = held
    differing = {key: said for key, said in found.items() if set(languages.PLACE.findall(key)) != set(languages.PLACE.findall(said))}
    assert differing == {}


def test_everything_is_translated(held):
    _, found = held
    assert [key for key, said in found.items() if not said.strip() or said == key] == []


def test_chinese_is_chinese(chinese):
    """A translation without one Chinese sign is figures and names alone."""
    plain = {key: said for key, said in chinese.sentences.items() if not CHINESE.search(languages.PLACE.sub("", said))}
    assert {key: said for key, said in plain.items() if re.search("[A-Za-z]{3}", languages.PLACE.sub("", said))} == {}
    assert len(plain) < 10


def test_names_that_stay_are_said_somewhere():
    said = {piece for key, _ in sentences._collected() for piece in sentences.pieces(key)}
    assert sorted(sentences.NAMES - said) == []


def test_words_put_together_are_written_somewhere():
    """The longest stretch of each is found in a program, so that the list does not outlive what it speaks of."""
    source = "".join(file.read_text("utf-8") for folder in ("omnizip", "ui", "assets") for file in (ROOT / folder).rglob("*.[pj][ys]"))
    longest = {key: max(languages.PLACE.split(key)[::2], key=len).strip(" ()") for key in sentences.TOGETHER}
    plain = {key: words.removesuffix("s") if key.startswith("{n} ") else words for key, words in longest.items()}
    assert [key for key, words in plain.items() if words not in source] == []


def test_what_counts_as_a_sentence_in_a_program():
    source = '''
def read(name, n):
    """A docstring is none."""
    log.info("Reading it again took %s seconds.", n)
    if n < 0:
        raise MediaError(f"{name.stem} is {n:.1f} s long; give {'a whole number' if n else 'one'} instead.")
    return ["The clip has only one picture.", "too short", f'<p class="x">{name} is not a sentence</p>']
'''
    found = {text for text, _ in sentences.in_place(source)}
    assert found == {"{stem} is {n} s long; give {one} instead.", "a whole number", "The clip has only one picture."}


def test_pieces_are_what_elements_hold():
    assert sentences.pieces("<b>{start:g}–{end:g} s</b>  window {n}") == ["{start}–{end} s", "window {n}"]
    assert sentences.pieces("Click or drag · space plays") == ["Click or drag", "space plays"]
    assert sentences.pieces("It is {given!r}; %{x:.3g} GFLOPs") == ["It is {given}; {x} GFLOPs"]


@pytest.mark.parametrize(
    ("english", "said"),
    [
        ("Compare", "对比"),
        ("OmniZip, asked to keep 45 %", "OmniZip，要求保留 45 %"),
        ("Full model, with sound", "完整模型，带声音"),
        ("Answering: the full model", "正在回答：完整模型"),
        ("2.5× faster", "2.5× 更快"),
        ("2.5× faster (noise)", "2.5× 更快（噪声）"),
        ("Random 45 %", "随机 45 %"),
        ("Window 1, 0–2 s: picture 36 of 144 kept, no sound.", "时间窗 1，0–2 s：画面保留 36 / 144，没有声音。"),
        ("Waiting for the copy of the model that this clip goes to. 3 come before you.", "正在等待处理此片段的模型副本。前面还有 3 个。"),
        ("bell.mp4 is empty; copy or record it again.", "bell.mp4 是空文件；请重新复制或录制。"),
        ("OmniZip nano (built in) · on CPU, 1 thread · 20.6 GB of memory free", "OmniZip nano（内置） · CPU，1 个线程 · 空闲内存 20.6 GB"),
        (
            "The file's clock jumps twice; what follows was put right after what came before.",
            "文件的时钟跳变 2 次；其后的内容已接续在之前的内容之后。",
        ),
        ("8.0 s, 768 × 384 pixels, with sound; 16 frames read, 2 per second", "8.0 s，768 × 384 像素，带声音；读取 16 帧，每秒 2 帧"),
    ],
)
def test_a_sentence_with_its_values(chinese, english, said):
    assert chinese.say(english) == said


@pytest.mark.parametrize("text", ["", "45 %", "A sentence that nobody wrote.", "purple", "Tom and Jerry", "all of that", "FastV 45 %"])
def test_what_is_not_the_pages_stays(chinese, text):
    assert chinese.say(text) is None


def test_answers_and_questions_are_marked_as_nobodys_to_translate():
    shown = fragments.answer("Full model", [Turn("Compare", "")], "Stop", question="Sound")
    marked = re.findall(r'translate="no">([^<]*)<', shown)
    assert marked == ["Compare", "Sound", "Stop"]
    assert '<p class="oz-said">(It ended without a word.)</p>' in shown


def test_the_program_brings_the_languages_along_or_says_where_they_are():
    fetched, inside = languages.script(), languages.script(inline=True)
    assert languages.names() == [("en", "English"), ("zh-CN", "中文")]
    assert "zh.json" in fetched and "对比" not in fetched
    assert "对比" in inside
