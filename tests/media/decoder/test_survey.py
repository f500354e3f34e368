"""How long a track is, by its packets."""

import pytest

from omnizip.media.decoder.survey import track_of


def test_stray_time_stamps_do_not_count():
    spans = [(k * 40, 40) for k in range(100)]
    spans[50] = (10**9, 40)  # damaged; later ones are in order again
    track = track_of(spans, 0.001)
    assert (track.start_s, track.end_s) == (0, 4.0) and track.step_s == 0.04


def test_reordered_pictures_are_no_strays():
    spans = [(stamp * 40, 0) for stamp in (0, 3, 1, 2, 6, 4, 5)]  # decoding order of B pictures, lasting unknown
    track = track_of(spans, 0.001)
    assert track.packets == 7 and track.end_s == pytest.approx(0.28)
