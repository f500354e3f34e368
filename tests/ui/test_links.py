"""Links to a view: written, read back, and refused where they are nonsense."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnizip.compressors import COMPRESSORS
from omnizip.engine.events import Arm
from omnizip.errors import OmniZipError
from omnizip.media import Part
from omnizip.settings import Settings
from ui import links, words
from ui.chat import arm_of
from ui.examples import examples_of

EXAMPLES = examples_of(Settings())
EXAMPLE = EXAMPLES[0].path.name
DIGEST = hashlib.sha256(EXAMPLES[0].path.read_bytes()).hexdigest()[:16]


@pytest.mark.parametrize("method", [name for name in COMPRESSORS if name != "full"])
@pytest.mark.parametrize("retention", words.RETENTIONS)
def test_what_is_written_is_read_back(method, retention):
    """Every option away from its default, under every preset."""
    options = {}
    for item in COMPRESSORS[method].options():
        away = {"switch": not item.default, "choice": item.choices[-1] if item.choices else None, "integer": item.high}
        options[item.name] = away.get(item.kind, item.default)
    arm = arm_of(method, retention, options)
    view = links.read(links.write(DIGEST, " What\nis it? ", arm, "random", EXAMPLES), EXAMPLES)
    assert (view.path.name, view.question, view.over, view.retention) == (EXAMPLE, "What is it?", "random", retention)
    back = arm_of(view.method, view.retention, {**COMPRESSORS[method]().parameters, **view.options})
    assert (back.method, back.retention) == (arm.method, arm.retention)
    assert {**COMPRESSORS[method]().parameters, **back.options} == {**COMPRESSORS[method]().parameters, **arm.options}


def test_an_upload_and_a_long_question_cannot_be_linked():
    arm = Arm("omnizip", 0.45)
    assert links.write("0" * 16, "What?", arm, "", EXAMPLES) is None
    assert links.write(DIGEST, "?" * 501, arm, "", EXAMPLES) is None
    assert links.write(DIGEST, "What?", arm, "", EXAMPLES) == {
        "example": Path(EXAMPLE).stem,
        "question": "What?",
        "method": "omnizip",
        "keep": "45",
    }


@pytest.mark.parametrize("part", [Part(), Part(1.25), Part(0, 3), Part(0.1, 0.3, "none"), Part(audio_track="2"), Part(1, 0, "main")])
def test_a_part_and_its_sound_travel_along(part):
    query = links.write(DIGEST, "What?", Arm("omnizip", 0.45), "", EXAMPLES, part)
    assert links.read(query, EXAMPLES).part.of(Settings()) == part.of(Settings())


def test_what_is_not_ours_is_no_link():
    assert links.read({}, EXAMPLES) is None and links.read({"__theme": "dark", "utm_source": "x", "view": "kept"}, EXAMPLES) is None


STEM = Path(EXAMPLE).stem
BAD = [
    {"example": "../../etc/passwd"},
    {"example": STEM, "question": " "},
    {"example": STEM, "question": "a\x00b"},
    {"example": STEM, "method": "full"},
    {"example": STEM, "keep": "120"},
    {"example": STEM, "over": "nothing"},
    {"example": STEM, "set_rho_video": "nan"},
    {"example": STEM, "set_rho_video": "2"},
    {"example": STEM, "set_temporal": "sideways"},
    {"example": STEM, "set_dynamic": "perhaps"},
    {"example": STEM, "set_merge_size": "1e3"},
    {"example": STEM, "set___class__": "x"},
    {"example": STEM, "start": "nan"},
    {"example": STEM, "start": "-1"},
    {"example": STEM, "start": "3", "end": "2"},
    {"example": STEM, "sound": "loud"},
    {"question": "What?"},
]


@pytest.mark.parametrize("query", BAD, ids=lambda query: "&".join(query.values())[:30].encode("ascii", "backslashreplace").decode())
def test_nonsense_costs_one_sentence(query):
    with pytest.raises(OmniZipError, match="could not be followed"):
        links.read(query, EXAMPLES)


NAMES = st.sampled_from(["start", "sound", "example", "question", "method", "keep", "over", "set_rho_video", "set_seed"])


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.text(max_size=20)))
def test_no_text_does_more_than_that(query):
    try:
        view = links.read({"example": STEM, **query}, EXAMPLES)
    except OmniZipError as refused:
        assert "could not be followed" in str(refused)
    else:
        assert view.path in [example.path for example in EXAMPLES]
