"""A page before several copies of the model: as many answers at a time, places in the queue, one client's calls apart."""

import threading
import time
from types import SimpleNamespace

import pytest
from clips import make_clip
from gradio_client import Client, handle_file

from omnizip.engine import Stage
from omnizip.errors import ModelError
from omnizip.settings import Settings
from omnizip.types import Conditions
from ui import queueing, words
from ui.model_bar import describe_model
from ui.model_host import EMBEDDED, ModelHost
from ui.page import build_page, launch_options

CONDITIONS = Conditions("a model", False, 1, "cuda", "bfloat16", "sdpa", 1, "2.13", "5.24", "here")


class Two:
    """Two copies of whatever model they are asked for, save one."""

    most, here = 2, True

    def __init__(self):
        self.opened = []

    def open(self, settings, on_progress):
        self.opened.append(settings.model)
        if settings.model == "too/large":
            raise ModelError("There is not enough memory for it; choose a smaller one.")
        return SimpleNamespace(conditions=CONDITIONS, settings=settings)


def test_copies_stand_where_an_engine_would():
    copies = Two()
    host = ModelHost(Settings(model="some/model", replicas=2), copies=copies)
    host.load("some/model")
    assert host.conditions == CONDITIONS and host.at_once == 2 and host.free() is None
    assert words.COPIES.format(n=2) in describe_model(host)
    host.load("too/large")
    assert copies.opened == ["some/model", "too/large", "some/model"], "what answered before is put back"
    assert "not enough memory" in describe_model(host) and host.conditions == CONDITIONS
    assert EMBEDDED in host.choices()


def test_one_engine_says_nothing_of_copies():
    assert ModelHost(Settings()).at_once == 1


@pytest.mark.parametrize(
    ("limit", "running", "places"), [(1, 0, [0, 1]), (1, 1, [1, 2]), (2, 1, [0, 1]), (2, 2, [1, 2]), (None, 1, [1, 2])]
)
def test_the_place_counts_what_has_to_end_before(limit, running, places):
    line = SimpleNamespace(
        queue=[SimpleNamespace(session_hash=name) for name in "ab"], current_concurrency=running, concurrency_limit=limit
    )
    page = SimpleNamespace(_queue=SimpleNamespace(event_queue_per_concurrency_id={"model": line}))
    assert [queueing.runs_ahead(page, name, "model") for name in "ab"] == places


def test_a_wait_for_a_copy_is_said_with_its_place():
    assert words.stage("wait", None, 1) == f"{words.COPY_BUSY} {words.BEFORE_ONE}"
    assert words.stage("wait", None, 3) == f"{words.COPY_BUSY} 3 come before you."


class Together(ModelHost):
    """Ends no run before two are going on at the same time."""

    at_once = 2

    def __init__(self):
        super().__init__(Settings(port=0))
        self.both, self.stopped = threading.Barrier(2), []

    def compare(self, clip, question, arms, *, stop, history=()):
        yield Stage("decode")
        self.both.wait(60)
        time.sleep(0.1)
        self.stopped.append(stop())


@pytest.mark.slow
def test_two_calls_of_one_client_are_answered_at_the_same_time_and_neither_ends_the_other(tmp_path):
    host = Together()
    page = build_page(host)
    page.launch(**{**launch_options(host.settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    try:
        client, clip = Client(page.local_url, verbose=False), handle_file(str(make_clip(tmp_path / "clip.mp4", seconds=2)))
        for job in [client.submit(video=clip, question=question, api_name="/compare") for question in ("What?", "Why?")]:
            list(job)
    finally:
        page.close()
    assert host.stopped == [False, False]
