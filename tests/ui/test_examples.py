"""The clips offered on the page: ours, or a folder's, with every fault of its list told in one sentence."""

import json

import pytest

from omnizip.errors import OmniZipError
from omnizip.settings import Settings
from ui import examples, words

GOOD = {"file": "a.mp4", "title": "A <walk>", "question": "Who walks?", "at": 2.5}


def offered(folder, listed):
    (folder / "a.mp4").write_bytes(b"film")
    (folder / "examples.json").write_text(listed if isinstance(listed, str) else json.dumps(listed), "utf-8")
    return examples.examples_of(Settings(examples=str(folder)))


def test_ours_are_all_there():
    ours = examples.examples_of(Settings())
    assert [item.path.name for item in ours] == list(words.EXAMPLES) and all(item.path.is_file() for item in ours)


def test_a_folder_replaces_them_and_its_words_are_escaped(tmp_path):
    first, second = offered(tmp_path, [GOOD, {**GOOD, "at": 0}])
    assert (first.path, first.title, first.question, first.at_s) == (tmp_path / "a.mp4", "A <walk>", "Who walks?", 2.5)
    assert second.at_s == 0 and examples.folder_of([first, second]) == str(tmp_path)
    markup = examples.strip([first, second])
    assert "A &lt;walk&gt;" in markup and "<walk>" not in markup and markup.count("<button") == 2


BAD = ["", "{", "[]", "{}", [1], [GOOD] * 25]
BAD += [[{**GOOD, name: value}] for name, value in (("file", ""), ("title", " "), ("question", "?" * 501), ("at", -1), ("at", True))]
BAD += [[{**GOOD, "file": name}] for name in ("b.mp4", "../a.mp4", "/etc/passwd", ".")]


@pytest.mark.parametrize("listed", BAD, ids=lambda listed: str(listed)[:40])
def test_a_list_that_cannot_be_used_is_one_sentence(tmp_path, listed):
    with pytest.raises(OmniZipError) as refused:
        offered(tmp_path, listed)
    assert "examples.json" in str(refused.value) and str(refused.value).endswith(".") and "\n" not in str(refused.value)


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(OmniZipError, match="No such file"):
        examples.examples_of(Settings(examples=str(tmp_path / "none")))
