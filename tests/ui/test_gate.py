"""Which routes answer: those the page uses, and none that gradio brings besides, today or after an upgrade."""

import asyncio
import re

import httpx
import pytest

from omnizip.settings import Settings
from ui import gate, words
from ui.model_host import ModelHost
from ui.page import build_page, launch_options

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page():
    page = build_page(ModelHost(Settings(port=0)))
    page.launch(**{**launch_options(Settings(port=0)), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    yield page
    page.close()


def walk(routes, prefix=""):
    """Every (method, path) of an application, also of routers within it; a mounted application counts as one path."""
    for route in routes:
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        path = prefix + (getattr(route, "path", None) or "")
        if getattr(route, "methods", None):
            yield from ((method, path) for method in route.methods)
        elif inner is not None or getattr(route, "routes", None):
            yield from walk(inner.routes if inner is not None else route.routes, path)


def routes_of(page):
    found = sorted(set(walk(page.app.routes)))
    assert len(found) > 60 and ("POST", "/gradio_api/process_recording") in found, "the walk sees routes within routers"
    return found


def refused(answer):
    return answer.status_code == 404 and answer.text == f'{{"detail":"{words.NO_SUCH_ROUTE}"}}'


def test_every_route_that_is_not_used_is_refused(page):
    used = {(method, path) for methods, path in gate.USED for method in methods}
    shut = [(method, path) for method, path in routes_of(page) if (method, path) not in used]
    assert len(shut) > 30
    for method, path in shut:
        got = httpx.request(method, page.local_url.rstrip("/") + re.sub(r"{[^}]*}", "x", path), timeout=30)
        # a filled-in path may be one of those that are used: /pwa_icon/x
        assert got.status_code == 404 and (method == "HEAD" or refused(got)), (method, path, got.status_code, got.text[:200])


def test_every_route_that_is_used_is_there(page):
    there = {path for _, path in routes_of(page)}
    assert {path for _, path in gate.USED} - there == set(), "gradio has renamed what the page needs"
    for path in ("/", "/config", "/theme.css", "/gradio_api/info", "/gradio_api/app_id", "/gradio_api/startup-events"):
        assert httpx.get(page.local_url.rstrip("/") + path, timeout=30).status_code == 200, path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/process_recording"),
        ("POST", "//gradio_api/process_recording"),
        ("POST", "/gradio_api/process_recording/"),
        ("POST", "/gradio_api/./process_recording"),
        ("POST", "/gradio_api/%70rocess_recording"),
        ("POST", "/gradio_api/call/../process_recording"),
        ("GET", "/gradio_api/proxy=http://example.org/"),
        ("POST", "/gradio_api/component_server"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/monitoring"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/openapi.json"),
        ("GET", "/gradio_api/mcp/sse"),
        ("GET", "/a-route-of-a-later-gradio"),
        ("DELETE", "/config"),
    ],
)
def test_what_gradio_brings_besides_is_refused(page, method, path):
    got = httpx.request(method, page.local_url.rstrip("/") + path, files={"video": ("a.mp4", b"x")} if method == "POST" else None)
    assert got.status_code in (404, 405, 307) and got.status_code != 200, (got.status_code, got.text)


def test_a_websocket_is_closed():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(gate.Gate(None, gate.Door())({"type": "websocket", "path": "/queue/join"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_behind_a_shut_door_runs_may_be_cancelled_and_heard_and_no_new_ones_begin():
    door = gate.Door()

    def status(method, path):
        sent = []

        async def send(message):
            sent.append(message)

        async def passed(scope, receive, send):
            await send({"status": 200})

        asyncio.run(gate.Gate(passed, door)({"type": "http", "method": method, "path": path, "headers": []}, None, send))
        return sent[0]["status"]

    asked = [("POST", "/gradio_api/queue/join"), ("POST", "/gradio_api/upload"), ("GET", "/gradio_api/queue/data")]
    asked.append(("POST", "/gradio_api/cancel"))
    assert [status(*request) for request in asked] == [200, 200, 200, 200]
    door.shut = True
    assert [status(*request) for request in asked] == [503, 503, 200, 200]
