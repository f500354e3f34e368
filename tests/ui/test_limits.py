"""What one visitor may send, and how that is counted."""

import asyncio
import http.client
import json
import os
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from omnizip.settings import Settings
from ui import access, limits, words
from ui.model_host import ModelHost
from ui.page import build_page, launch_options

pytestmark = pytest.mark.slow
UPLOAD = "/gradio_api/upload"


def launched(settings, folder, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    page = build_page(ModelHost(settings))
    page.launch(**{**launch_options(settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    return page


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serves a page with these settings; its uploads go to `tmp_path`."""
    pages = []

    def start(**settings):
        pages.append(launched(Settings(port=0, **settings), tmp_path, monkeypatch))
        return pages[-1]

    yield start
    for page in pages:
        page.close()


def files_in(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".mp4" or path.name.startswith("sent"))


def gone(folder, seconds=20.0):
    deadline = time.monotonic() + seconds
    while files_in(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not files_in(folder)


def form(size, name="files", file='; filename="sent.bin"'):
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\nContent-Type: video/mp4\r\n\r\n'
    return head.encode() + b"x" * size + b"\r\n--b--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def test_a_chunked_upload_is_counted_whatever_its_length_is_said_to_be(serve, tmp_path):
    page = serve(upload_mb_per_hour=0.05)
    address = urlsplit(page.local_url)
    body = form(200_000)
    for lie in ({}, {"Content-Length": "10"}):
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        connection.putrequest("POST", UPLOAD)
        for name, value in {**FORM, **lie, "Transfer-Encoding": "chunked"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        try:
            for start in range(0, len(body), 10_000):
                piece = body[start : start + 10_000]
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.send(b"0\r\n\r\n")
            got = connection.getresponse()
            assert got.status in (400, 429), got.status
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            pass  # refused while it was still being sent
        connection.close()
    assert gone(tmp_path), files_in(tmp_path)
    again = httpx.post(page.local_url.rstrip("/") + UPLOAD, files={"files": ("a.mp4", b"x" * 10)})
    assert (again.status_code, again.text) == (429, words.UPLOADED_ENOUGH.format(limit="50.0 kB")), "what arrived is counted"


@pytest.mark.parametrize("part", [{"name": "other"}, {"name": "files", "file": ""}, {"name": "other", "file": ""}])
def test_an_upload_has_files_alone(serve, tmp_path, part):
    page = serve()
    got = httpx.post(page.local_url.rstrip("/") + UPLOAD, content=form(100_000, **part), headers=FORM)
    assert (got.status_code, got.text) == (400, words.UPLOAD_FIELDS)
    assert gone(tmp_path)
    assert httpx.post(page.local_url.rstrip("/") + UPLOAD, content=form(100), headers=FORM).status_code == 200


def test_what_a_cut_upload_left_is_removed_and_what_still_arrives_stays(serve, tmp_path):
    page = serve()
    address = urlsplit(page.local_url)

    def begin():
        line = socket.create_connection((address.hostname, address.port))
        head = f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\nContent-Type: {FORM['Content-Type']}\r\n\r\n"
        line.sendall(head.encode() + form(400_000)[:300_000])
        return line

    cut, goes_on = begin(), begin()
    deadline = time.monotonic() + 20
    while len(files_in(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(files_in(tmp_path)) == 2
    cut.close()
    while len(files_in(tmp_path)) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(files_in(tmp_path)) == 1
    goes_on.close()
    assert gone(tmp_path)


@pytest.mark.parametrize("address", ["http://example.org/a.mp4", "HTTPS://example.org/a.mp4", " http://example.org"])
@pytest.mark.parametrize("route", ["call/compress", "call/compare", "queue/join", "run/compress"])
def test_no_address_is_fetched(serve, route, address, monkeypatch):
    page = serve()
    value = {"path": address, "meta": {"_type": "gradio.FileData"}}
    text = json.dumps({"data": [value, "What?"], "fn_index": 0, "session_hash": "s"}).replace("http", "\\u0068ttp")
    got = httpx.post(f"{page.local_url}gradio_api/{route}", content=text, headers={"Content-Type": "application/json"})
    assert (got.status_code, got.json()) == (400, {"detail": words.NOT_FETCHED})


def test_a_long_or_deep_request_is_refused(serve):
    page = serve(request_kb=10)
    address = f"{page.local_url}gradio_api/queue/join"
    long = httpx.post(address, content=iter([b'{"data": ["', b"x" * 20_000, b'"]}']), headers={"Content-Type": "application/json"})
    assert (long.status_code, long.json()["detail"]) == (413, words.REQUEST_LONG.format(limit="10.0 kB"))
    deep = httpx.post(address, content=b"[" * 5000 + b"]" * 5000, headers={"Content-Type": "application/json"})
    assert deep.status_code in (400, 422)
    assert httpx.post(address, json={"data": [], "fn_index": 0}).status_code == 400, "gradio's own"


def test_a_failed_login_costs_a_try_and_a_success_none(serve, monkeypatch):
    monkeypatch.setenv(access.USER, "ada")
    monkeypatch.setenv(access.PASSWORD, "correct horse")
    page = serve()

    def log_in(password):
        return httpx.post(f"{page.local_url}login", data={"username": "ada", "password": password})

    for _ in range(limits.LOGIN_TRIES + 2):
        assert log_in("correct horse").status_code == 200
    assert [log_in(f"guess {n}").status_code for n in range(limits.LOGIN_TRIES)] == [400] * limits.LOGIN_TRIES
    shut = log_in("correct horse")
    assert shut.status_code == 429 and "10 minutes" in shut.json()["detail"]


@pytest.mark.parametrize("at_once", [False, True], ids=["one after the other", "all at once"])
def test_one_visitor_cannot_fill_the_queue(serve, at_once):
    page = serve(waiting_per_visitor=3)
    function = next(f for f in page.fns.values() if f.name == "on_compare")

    def hold():
        queue = page._queue
        queue.event_queue_per_concurrency_id["model"].current_concurrency = 1  # somebody's answer is being written

    body = {"data": [None] * len(function.inputs), "fn_index": function._id}
    page._queue.create_event_queue_for_fn(function)
    hold()
    address = f"{page.local_url}gradio_api/queue/join"

    async def join(count):
        async with httpx.AsyncClient() as client:
            return await asyncio.gather(*(client.post(address, json={**body, "session_hash": f"a{n}"}, timeout=60) for n in range(count)))

    if at_once:
        got = sorted(asyncio.run(join(30)), key=lambda answer: answer.status_code)
        assert 1 <= [answer.status_code for answer in got].count(200) <= 3
    else:
        got = [httpx.post(address, json={**body, "session_hash": f"s{n}"}) for n in range(5)]
        assert [answer.status_code for answer in got] == [200, 200, 200, 429, 429]
    assert got[-1].status_code == 429 and got[-1].json()["detail"] == words.WAITS_ENOUGH.format(most=3)


def scope(*said, client="9.9.9.9"):
    return {"headers": [(b"x-forwarded-for", text.encode()) for text in said], "client": (client, 1)}


@pytest.mark.parametrize(
    ("said", "hops", "visitor"),
    [
        ([], 0, "9.9.9.9"),
        (["6.6.6.6"], 0, "9.9.9.9"),
        (["3.3.3.3"], 1, "3.3.3.3"),
        (["6.6.6.6, 3.3.3.3"], 1, "3.3.3.3"),
        (["6.6.6.6", "3.3.3.3"], 1, "3.3.3.3"),
        (["6.6.6.6, 3.3.3.3, 10.0.0.1"], 2, "3.3.3.3"),
        (["3.3.3.3"], 2, "9.9.9.9"),
        ([" , "], 1, "9.9.9.9"),
    ],
)
def test_proxies_are_counted_from_the_page(said, hops, visitor):
    assert limits.visitor_of(scope(*said), hops) == visitor


def test_a_space_has_one_proxy_and_elsewhere_it_is_set():
    assert access.hops(Settings(), {}) == 0 and access.hops(Settings(), {"SPACE_ID": "a/b"}) == 1
    assert access.hops(Settings(trusted_hops=2), {"SPACE_ID": "a/b"}) == 2


def test_an_hour_later_a_visitor_may_upload_again_and_who_left_is_forgotten():
    now = [0.0]
    ledger = limits.Ledger(limits.HOUR_S, lambda: now[0])
    for _ in range(1000):
        ledger.spend("1.1.1.1", 1)
    assert ledger.spent("1.1.1.1") == 1000 and ledger.spent("2.2.2.2") == 0
    assert len(ledger._spent["1.1.1.1"]) == 1, "many small pieces take no room"
    now[0] = limits.HOUR_S + 1
    assert ledger.spent("1.1.1.1") == 0 and len(ledger) == 0


def test_an_upload_that_says_it_is_too_long_is_not_read():
    read, sent = [], []

    async def receive():
        read.append(1)
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    limit = limits.Limits(None, Settings(upload_mb_per_hour=0.001))
    request = {"type": "http", "method": "POST", "path": UPLOAD, "headers": [(b"content-length", b"2000")], "client": ("1.1.1.1", 1)}
    asyncio.run(limit(request, receive, send))
    assert sent[0]["status"] == 429 and not read


def test_open_files_are_known(tmp_path):
    with (tmp_path / "tmpheld").open("w"):
        assert str((tmp_path / "tmpheld").resolve()) in (limits._open_files() or {str((tmp_path / "tmpheld").resolve())})
    assert os.path.exists(tmp_path)
