"""The lens as a browser gets it: all its files are there, and it names methods as they name themselves."""

import dataclasses
import json
import re

import pytest

from omnizip import COMPRESSORS
from omnizip.errors import OmniZipError
from omnizip.report import lens_files
from omnizip.report.wording import LENS


def spoken():
    return json.loads(re.match(r"const WORDS = (.*);\n", lens_files.script()).group(1))


def test_the_program_defines_one_entry():
    assert lens_files.script().count("function mountLens(") == 1


def test_its_elements_have_every_label():
    html = lens_files.elements()
    assert "$" not in html and f'aria-label="{LENS["moment"]}"' in html
    assert ".lens" in lens_files.style()


def test_its_words_are_whole_and_who_folds_comes_from_the_methods(monkeypatch):
    assert {**spoken(), "no_folds": ""} == json.loads(json.dumps({**LENS, "no_folds": ""}))
    assert "OmniZip folds picture with its option “Unchanged video” on “fold”;" in spoken()["no_folds"]

    @dataclasses.dataclass(frozen=True)
    class Renamed(COMPRESSORS["omnizip"]):
        label = "Another"

    monkeypatch.setitem(COMPRESSORS, "omnizip", Renamed)
    assert "Another folds picture" in spoken()["no_folds"] and "OmniZip" not in spoken()["no_folds"]


def test_a_file_that_is_missing_is_told_in_a_sentence():
    with pytest.raises(OmniZipError, match=r"lacks its file lens/nowhere\.js"):
        lens_files.read("nowhere.js")
