"""Wishes to stop, one per visitor."""

import threading

from ui.stops import Stops


def test_stops_are_per_visitor():
    stops = Stops()
    with stops.run("a") as mine, stops.run("b") as other:
        stops.stop("a")
        assert mine.is_set() and not other.is_set()
        with stops.run("b"):
            assert other.is_set(), "a visitor's newer run ends the older one"
    stops.stop("a")

    entered, leave = threading.Event(), threading.Event()

    def work():
        with stops.run("c") as wished:
            entered.set()
            wished.wait(60)
            leave.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    assert entered.wait(60)
    assert not stops.stop("c", 0.0), "it has yet to end, and may have to be cut off"
    leave.set()
    assert stops.stop("c", 60.0), "it ended by itself: there is nothing to cut off"
    assert "c" not in stops._runs, "stop waits for the run to end"
    thread.join()
    assert not stops.stop("c", 5.0), "whoever waits in the queue has no run yet, and is to be taken out of it"


def test_news_of_the_clip_that_is_being_compared_stops_nothing():
    """Under load the upload's news can come after the click on Compare."""
    stops = Stops()
    assert not stops.turn_to("a", "clip.mp4")
    with stops.run("a", "clip.mp4") as wish:
        assert stops.turn_to("a", "clip.mp4") and not wish.is_set()
        assert not stops.turn_to("b", "clip.mp4") and not wish.is_set()
        assert not stops.turn_to("a", "other.mp4") and wish.is_set() and wish.abandoned
    with stops.run("a", "clip.mp4") as wish:
        assert not stops.turn_to("a", None) and wish.abandoned
