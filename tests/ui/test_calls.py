"""Programs that call, leave in the middle, or send what nobody expects: a call ends with its client, and a sentence ends each other."""

import json
import re
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from clips import make_clip

from omnizip.engine import ClipHandle
from omnizip.engine.events import Stage
from omnizip.errors import BusyError
from omnizip.settings import Settings
from ui import words
from ui.model_host import ModelHost
from ui.page import build_page, launch_options
from ui.stops import Stops

pytestmark = pytest.mark.slow


class Slow(ModelHost):
    """Is never done; tells when a run began and ended. What it is asked next it may fail with."""

    def __init__(self):
        super().__init__(Settings(port=0, question_chars=50))
        self.began, self.ended, self.failure = [], [], None

    @property
    def conditions(self):
        return SimpleNamespace(device="cpu")

    def open_clip(self, path, part=None):
        if self.failure:
            raise self.failure
        return ClipHandle(Path(path), None)

    def compare(self, clip, question, arms, *, stop, history=()):
        if self.failure:
            raise self.failure
        self.began.append("compare")
        while not stop():
            time.sleep(0.02)  # a decoder that says nothing
        self.ended.append("compare")
        yield Stage("answer", None, 0)

    def preview(self, clip, arm, question="", history=(), *, stop=None):
        self.began.append("compress")
        while not stop():
            time.sleep(0.02)
        self.ended.append("compress")
        raise BusyError("stopped")


@pytest.fixture(scope="module")
def page():
    slow, stops = Slow(), Stops()
    page = build_page(slow, stops)
    page.launch(**{**launch_options(slow.settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    yield page, slow, stops
    stops.close(5)
    page.close()


@pytest.fixture
def slow(page):
    page[1].began, page[1].ended, page[1].failure, page[1].stops = [], [], None, page[2]
    page[2].closing = False
    return page[1]


@pytest.fixture
def served(page, slow):
    return page[0]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=1)


def sent(page, clip):
    with clip.open("rb") as file:
        path = httpx.post(f"{page.local_url}gradio_api/upload", files={"files": (clip.name, file)}).json()[0]
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def call(page, name, **arguments):
    """The id of a call."""
    got = httpx.post(f"{page.local_url}gradio_api/call/v2/{name}", json=arguments)
    assert got.status_code == 200, got.text
    return got.json()["event_id"]


def told(page, name, number):
    """What a call ends with: its last event and its data."""
    text = ""
    with httpx.stream("GET", f"{page.local_url}gradio_api/call/{name}/{number}", timeout=60) as stream:
        for piece in stream.iter_text():
            text += piece
            if found := re.findall(r"event: (complete|error)\ndata: (.*)\n", text):
                return found[-1]
    raise AssertionError(text)


def soon(what, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["compare", "compress"])
def test_a_call_ends_when_its_client_leaves(served, slow, clip, name):
    arguments = {"video": sent(served, clip)} | ({"question": "What?"} if name == "compare" else {})
    number = call(served, name, **arguments)
    address = httpx.URL(served.local_url)
    line = socket.create_connection((address.host, address.port))
    line.sendall(f"GET /gradio_api/call/{name}/{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    soon(lambda: slow.began == [name])
    assert not slow.ended
    line.close()
    soon(lambda: slow.ended == [name])


@pytest.mark.parametrize("name", ["compare", "compress"])
def test_a_call_ends_with_a_sentence_when_the_server_stops(served, slow, clip, name):
    arguments = {"video": sent(served, clip)} | ({"question": "What?"} if name == "compare" else {})
    number = call(served, name, **arguments)
    heard = []
    listener = threading.Thread(target=lambda: heard.append(told(served, name, number)), daemon=True)
    listener.start()
    soon(lambda: slow.began == [name])
    slow.stops.close(10)
    listener.join(30)
    assert heard[0][0] == "error" and json.loads(heard[0][1])["error"] == words.SERVER_STOPS


WRONG = [
    ("compress", {"methods": [["a"]]}, "methods is ['a']"),
    ("compress", {"methods": "omnizip"}, "methods is 'omnizip'"),
    ("compress", {"methods": {"a": 1}}, "methods is {'a': 1}"),
    ("compress", {"options": "abc"}, "options is 'abc'"),
    ("compress", {"options": [1]}, "options is [1]"),
    ("compress", {"question": 5}, "question is 5"),
    ("compress", {"retention": [1]}, "retention is [1]"),
    ("compress", {"methods": ["no such"]}, "no such"),
    ("compress", {"question": "x" * 51}, "51 characters"),
    ("compare", {"question": "x" * 51}, "51 characters"),
    ("compare", {"question": ["x"]}, "question is"),
    ("compare", {"question": "x", "options": "abc"}, "options is 'abc'"),
    ("compare", {"question": "x", "method": ["a"]}, "method"),
    ("compare", {"question": "x", "rho_audio": "abc"}, "rho_audio"),
    ("compress", {"video": {"path": "a\0b", "meta": {"_type": "gradio.FileData"}}}, None),
    ("compress", {"video": "text"}, None),
    ("compress", {"video": {"url": "x"}}, None),
]


@pytest.mark.parametrize(("name", "arguments", "sentence"), WRONG)
def test_what_nobody_expects_is_one_sentence(served, slow, clip, name, arguments, sentence):
    kind, data = told(served, name, call(served, name, **{"video": sent(served, clip), **arguments}))
    assert kind == "error" and not slow.began
    said = (json.loads(data) or {}).get("error")
    if sentence is None:
        assert said is None or said == words.NOT_UPLOADED
    else:
        assert sentence in said and said.endswith((".", "?")) and "\n" not in said and len(said) < 300, said


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (RuntimeError("[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "memory"),
        (MemoryError(), "memory"),
        (OSError(28, "No space left on device", "/srv/secret/place"), "server's log"),
        (KeyError("/srv/secret/place"), "server's log"),
    ],
)
def test_what_nobody_foresaw_is_a_sentence_without_a_path(served, slow, clip, failure, sentence):
    slow.failure = failure
    for name in ("compare", "compress"):
        kind, data = told(served, name, call(served, name, video=sent(served, clip), question="x"))
        assert kind == "error" and sentence in json.loads(data)["error"] and "/srv" not in data and "alloc" not in data


def test_no_call_goes_past_the_queue(served, slow, clip):
    value = sent(served, clip)
    got = httpx.post(f"{served.local_url}gradio_api/run/compress", json={"data": [value, ["omnizip"], 0.5, None, None, None, ""]})
    assert got.status_code == 404 and not slow.began


def test_an_event_of_the_page_tells_no_path_of_the_server(served, slow, tmp_path):
    function = next(f for f in served.fns.values() if f.name == "on_gif")
    inside = {"path": str(tmp_path / "x.mp4"), "meta": {"_type": "gradio.FileData"}}
    body = {"data": [inside], "fn_index": function._id, "session_hash": "s"}
    httpx.post(f"{served.local_url}gradio_api/queue/join", json=body)
    text = httpx.get(f"{served.local_url}gradio_api/queue/data?session_hash=s", timeout=60).text
    assert '"success":false' in text and "Traceback" not in text and "site-packages" not in text and str(tmp_path) not in text
