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
from gradio_client import Client, exceptions, handle_file

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
    ("compress", {"methods": [["a"]]}, "methods is ['a']; give names of methods."),
    ("compress", {"methods": "omnizip"}, "methods is 'omnizip'"),
    ("compress", {"methods": {"a": 1}}, "methods is {'a': 1}"),
    ("compress", {"methods": {}}, "methods is {}; give a list of names."),
    ("compress", {"methods": False}, "methods is False"),
    ("compress", {"methods": ["random", "omnizip", "random"]}, "methods names 'random' twice"),
    ("compress", {"methods": ["random"] * 33}, "33 methods"),
    ("compress", {"options": "abc"}, "options is 'abc'"),
    ("compress", {"options": [1]}, "options is [1]"),
    ("compress", {"options": []}, "options is []"),
    ("compress", {"options": {"rho_audio": 0.5}}, "leave rho_audio out, or send 'custom' as the retention"),
    ("compress", {"options": {"video_share": 0.5}, "methods": ["evs"]}, "replaces video_share"),
    ("compress", {"rho_audio": 0.5}, "rho_audio is given without rho_video"),
    ("compare", {"question": "x", "rho_video": 0.5}, "rho_video is given without rho_audio"),
    ("compress", {"rho_audio": 0.5, "rho_video": 0.6, "options": {"rho_video": 0.7}}, "rho_video is given twice"),
    ("compress", {"rho_audio": True, "rho_video": 0.6}, "rho_audio is True"),
    ("compress", {"question": 5}, "question is 5"),
    ("compress", {"question": False}, "question is False"),
    ("compress", {"retention": [1]}, "retention is [1]"),
    ("compress", {"retention": True}, "retention is True; give a share above 0 and up to 1"),
    ("compare", {"question": "x", "retention": True}, "retention is True"),
    ("compress", {"retention": float("nan")}, "retention is nan"),
    ("compress", {"retention": 10**400}, "retention is 1000"),
    ("compress", {"start": True}, "start is True"),
    ("compress", {"start": 3, "end": 2}, "not behind start"),
    ("compress", {"end": 10**400}, "end is 1000"),
    ("compress", {"audio_track": True}, "audio_track is True"),
    ("compress", {"methods": ["no such"]}, "no such"),
    ("compress", {"question": "x" * 51}, "51 characters"),
    ("compress", {"queston": "x"}, "/compress has no argument 'queston'; it takes video, methods"),
    ("compare", {"question": "x", "data": [1]}, "/compare has no argument 'data'"),
    ("compare", {}, "/compare needs the argument question"),
    ("compare", {"question": "x" * 51}, "51 characters"),
    ("compare", {"question": ["x"]}, "question is"),
    ("compare", {"question": " "}, "question is ' '; give a question about the clip."),
    ("compare", {"question": "x", "options": "abc"}, "options is 'abc'"),
    ("compare", {"question": "x", "method": ["a"]}, "method"),
    ("compare", {"question": "x", "method": None}, "method is None"),
    ("compare", {"question": "x", "rho_audio": "abc", "rho_video": 1}, "rho_audio"),
    ("compress", {"video": {"path": "a\0b", "meta": {"_type": "gradio.FileData"}}}, words.NOT_UPLOADED),
    ("compress", {"video": "text"}, words.NOT_UPLOADED),
    ("compress", {"video": {"url": "x"}}, words.NOT_UPLOADED),
    ("compress", {"video": None}, words.NOT_UPLOADED),
    ("methods", {"video": None}, "/methods has no argument 'video'; it takes none."),
]


def refusal(got, status=400):
    """The sentence a request is refused with."""
    assert got.status_code == status, (got.status_code, got.text)
    said = got.json()["detail"]
    assert said.endswith((".", "?")) and "\n" not in said and len(said) < 400, said
    return said


@pytest.mark.parametrize(("name", "arguments", "sentence"), WRONG)
def test_what_nobody_expects_is_refused_in_a_sentence_before_it_waits(served, slow, clip, name, arguments, sentence):
    given = {} if name == "methods" else {"video": sent(served, clip)}
    told = json.dumps({**given, **arguments})  # httpx takes no nan
    address = f"{served.local_url}gradio_api/call/v2/{name}"
    assert sentence in refusal(httpx.post(address, content=told, headers={"Content-Type": "application/json"}))
    assert not slow.began and not served._queue.event_ids_to_events


def test_the_same_is_told_in_its_turn_where_a_join_could_tell_nothing(served, slow, clip):
    """Gradio's Python client says of a refused join that it was refused, and no more."""
    client = Client(served.local_url, verbose=False)
    for change, sentence in (({"retention": True}, "retention is True"), ({"rho_audio": 0.5}, "without rho_video")):
        with pytest.raises(exceptions.AppError, match=sentence):
            client.predict(video=handle_file(str(clip)), **change, api_name="/compress")
    assert not slow.began


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("route", ["call/compress", "call/v2/compress", "queue/join", "run/methods"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [("[1]", JSON), ('"text"', JSON), ("null", JSON), ("", JSON), ("{", JSON), ("{}", {"Content-Type": "text/plain"}), ("{}", {})],
)
def test_a_body_that_is_no_object_is_refused_in_a_sentence(served, route, body, headers):
    assert refusal(httpx.post(f"{served.local_url}gradio_api/{route}", content=body, headers=headers)) == words.REQUEST_KIND


@pytest.mark.parametrize(
    ("route", "body", "sentence"),
    [
        ("call/compress", {}, "data in the request is missing"),
        ("call/compress", {"data": "x"}, "data in the request"),
        ("call/compress", {"data": [1, 2]}, "/compress takes 10 values in data and got 2; send them in this order: video, methods"),
        ("call/methods", {"data": [1]}, "/methods takes no arguments"),
        ("call/compare", {"data": [None] * 10, "session_hash": 5}, words.NOT_UPLOADED),
        ("queue/join", {"data": [], "fn_index": 0}, "session_hash in the request"),
        ("queue/join", {"data": [], "session_hash": "s"}, "fn_index in the request"),
        ("queue/join", {"data": [], "fn_index": True, "session_hash": "s"}, "fn_index in the request"),
        ("queue/join", {"data": [], "fn_index": 100_000, "session_hash": "s"}, "fn_index in the request"),
        ("queue/join", {"data": {}, "fn_index": 0, "session_hash": "s"}, "data in the request"),
        ("queue/join", {"data": [], "fn_index": 0, "session_hash": "s", "trigger_id": "x"}, "trigger_id in the request"),
    ],
)
def test_a_request_without_what_it_needs_is_refused_in_a_sentence(served, route, body, sentence):
    assert sentence in refusal(httpx.post(f"{served.local_url}gradio_api/{route}", json=body))


@pytest.mark.parametrize("route", ["call/nothing", "call/v2/nothing", "call/on_compare", "call/v2/on_compare"])
def test_a_call_that_is_none_is_refused_in_a_sentence(served, route):
    said = refusal(httpx.post(f"{served.local_url}gradio_api/{route}", json={"data": []}), 404)
    assert said == f"There is no call /{route.rpartition('/')[2]}; there are /compare, /compress, /methods."


def test_a_call_by_position_is_answered(served):
    number = httpx.post(f"{served.local_url}gradio_api/call/methods", json={"data": []}).json()["event_id"]
    kind, data = told(served, "methods", number)
    assert kind == "complete" and "omnizip" in data


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
    joined = httpx.post(f"{served.local_url}gradio_api/queue/join", json=body)
    assert refusal(joined) == words.NOT_UPLOADED
    text = httpx.get(f"{served.local_url}gradio_api/queue/data?session_hash=s", timeout=60).text
    assert '"success":false' in text and "Traceback" not in text and "site-packages" not in text and str(tmp_path) not in text
