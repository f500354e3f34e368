"""The queue in front of the model: everybody hears how many come before, and a closed tab makes room."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from clips import make_clip
from visitors import Tab

from omnizip.engine import ClipHandle
from omnizip.engine.events import Stage
from omnizip.settings import Settings
from ui import queueing, words
from ui.model_host import ModelHost
from ui.page import build_page, launch_options


class Slow(ModelHost):
    """Answers never; tells when a run began and ended."""

    def __init__(self):
        super().__init__(Settings(port=0))
        self.began, self.ended = [], []

    @property
    def conditions(self):
        return SimpleNamespace(device="cpu")

    def open_clip(self, path, part=None):
        return ClipHandle(Path(path), None)

    def compare(self, clip, question, arms, *, stop, history=()):
        self.began.append(question)
        try:
            while not stop():
                time.sleep(0.05)
                yield Stage("answer", (len(self.began) + time.monotonic()) % 1, 0)
        finally:
            self.ended.append(question)


@pytest.fixture
def served():
    slow = Slow()
    page = build_page(slow)
    page.launch(**{**launch_options(slow.settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    yield page, slow
    page.close()


def soon(what, seconds=60.0):
    """Wait until `what` is true."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def test_visitors_wait_in_order_hear_their_place_and_a_closed_tab_makes_room(served, tmp_path):
    page, slow = served
    before = threading.active_count()  # whatever earlier tests left
    clip = make_clip(tmp_path / "clip.mp4", seconds=2)
    first, second, third = tabs = [Tab(page) for _ in range(3)]
    places = lambda: [queueing.runs_ahead(page, tab.name, "model") for tab in tabs]  # noqa: E731
    for number, tab in enumerate(tabs):
        tab.press("on_compare", tab.upload(clip), f"question {number}")
        soon(lambda: len(slow.began) == 1 and places()[1 : number + 1] == list(range(1, number + 1)))  # noqa: B023
    assert places() == [None, 1, 2]
    third.press("on_look")
    soon(lambda: words.place(2) in str(third.heard))
    assert words.place(1) not in str(third.heard)

    first.close()
    soon(lambda: slow.began == ["question 0", "question 1"])
    assert slow.ended == ["question 0"]
    assert places() == [None, None, 1]

    third.close()  # one who waits and leaves is no longer waited for
    soon(lambda: places() == [None, None, None])
    second.close()
    soon(lambda: slow.ended == ["question 0", "question 1"])
    assert threading.active_count() < before + 60


def test_nobody_waits_where_nobody_asked(served):
    assert queueing.runs_ahead(served[0], "anyone", "model") is None
    assert queueing.runs_ahead(served[0], "anyone", "no such line") is None


def test_who_has_given_up_is_told_no_place_any_more():
    """Between the wish to stop and the cut the visitor still stands in the queue; a place told then would outlast "Stopped"."""
    waiting = SimpleNamespace(queue=[SimpleNamespace(session_hash="me")], current_concurrency=1, concurrency_limit=1)
    page = SimpleNamespace(_queue=SimpleNamespace(event_queue_per_concurrency_id={"model": waiting}))
    ticks, given_up = [], set()
    clock = SimpleNamespace(tick=lambda look, *_, **__: ticks.append(look))
    queueing.show_place(page, clock, None, "model", given_up.__contains__)
    me = SimpleNamespace(session_hash="me")
    assert words.place(1) in ticks[0](me)
    given_up.add("me")
    assert words.place(1) not in str(ticks[0](me))


@pytest.mark.parametrize(("before", "said"), [(0, ""), (1, "One comes before you."), (5, "5 come before you.")])
def test_a_place_is_said_in_words(before, said):
    assert words.place(before).endswith(said)
