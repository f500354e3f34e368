"""A clock made even, on packets written by hand."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from omnizip.media.decoder.clock import Clock


def placed(stamps, jumps_allowed=True):
    """Where packets (track, seconds) of 40 ms end up, seconds, and how many jumps were found."""
    clock, instants = Clock(jumps_allowed), []
    for track, seconds in stamps:
        ticks = round(seconds * 1000)
        stream = SimpleNamespace(index=track)
        packet = SimpleNamespace(stream=stream, dts=ticks, pts=ticks, duration=40, size=1, time_base=Fraction(1, 1000))
        clock.place(packet)
        instants.append(packet.dts / 1000)
    return instants, clock.restarts


def steps(first, count):
    return [first + 0.04 * k for k in range(count)]


def test_an_even_clock_is_left_alone():
    stamps = [(track, t) for t in steps(1.4, 100) for track in (0, 1)]
    assert placed(stamps) == ([pytest.approx(t) for _, t in stamps], 0)


@pytest.mark.parametrize("second", [0.0, 1000.0, 0.5])
def test_what_follows_a_jump_goes_on_where_the_clock_was(second):
    stamps = [(0, t) for t in steps(0, 50) + steps(second, 50)]
    instants, jumps = placed(stamps)
    assert instants == pytest.approx(steps(0, 100)) and jumps == 1


def test_all_tracks_jump_by_the_same():
    """The second track's last packets come after the first one's jump, and its own last longer."""
    before = [(track, t) for t in steps(0, 50) for track in (0, 1)]
    stamps = [*before, (0, 0.0), (1, 2.0), (0, 0.04), (1, 2.04), (0, 0.08), (1, 0.0), (0, 0.12), (1, 0.04)]
    instants, jumps = placed(stamps)
    assert jumps == 1
    assert instants[-8:] == pytest.approx([2.0, 2.0, 2.04, 2.04, 2.08, 2.0, 2.12, 2.04])


def test_a_pause_is_no_jump():
    stamps = [(0, 0.0), (0, 0.04), (0, 5.0), (0, 5.04)]
    assert placed(stamps) == ([0.0, 0.04, 5.0, 5.04], 0)


def test_one_damaged_stamp_moves_nothing_else():
    stamps = [(0, t) for t in [*steps(0, 10), 90_000.0, *steps(0.44, 10)]]
    instants, _ = placed(stamps)
    assert instants == pytest.approx(steps(0, 21))


def test_containers_whose_clock_cannot_jump_are_left_alone():
    stamps = [(0, 5.0), (0, 0.0), (0, 500.0)]
    assert placed(stamps, jumps_allowed=False) == ([5.0, 0.0, 500.0], 0)
