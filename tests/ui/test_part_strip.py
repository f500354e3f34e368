"""A choice of part and sound on its way between browser and server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnizip.media import AS_SET, Part, Tracks
from ui import part_strip


@pytest.mark.parametrize("part", [Part(1.5), Part(None, 3), Part(1, 2, "none"), Part(audio_track="2")])
def test_what_is_written_is_read_back_for_the_same_file(part):
    value = part_strip.written(part, "/tmp/a/clip one.mp4")
    assert part_strip.read(value, "/srv/b/clip one.mp4") == part
    assert part_strip.read(value, "/srv/b/other.mp4") == part_strip.read(value, None) == AS_SET, "made for another clip"


def test_nothing_chosen_is_nothing_written():
    assert part_strip.written(AS_SET, "clip.mp4") == "" and part_strip.read("", "clip.mp4") == AS_SET


@pytest.mark.parametrize(
    "value", ["{", "[]", "3", None, 5, '{"file": "clip.mp4", "start": "1"}', '{"file": "clip.mp4", "end": NaN}', "[" * 1900]
)
def test_nonsense_chooses_nothing(value):
    assert part_strip.read(value, "clip.mp4") == AS_SET


@given(st.text(max_size=60))
def test_no_text_does_more(value):
    assert part_strip.read(value, "clip.mp4") == AS_SET


def test_what_a_file_offers():
    assert part_strip.offer("/x/clip.mkv", Tracks(2.5, ("", "ger Kommentar"))) == {
        "file": "clip.mkv",
        "duration": 2.5,
        "sounds": ["", "ger Kommentar"],
    }
    assert part_strip.offer("/x/clip.mkv", None) == {"file": "clip.mkv", "duration": None, "sounds": []}
