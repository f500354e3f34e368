"""No room in the queue: one sentence, whichever way somebody joins, and however many do at once."""

import asyncio
from functools import partial
from types import SimpleNamespace

import httpx
import pytest

from omnizip.settings import Settings
from ui import call_door, words
from ui.model_host import ModelHost
from ui.page import build_page, launch_options
from ui.reworded import Reworded

FULL = {"detail": words.QUEUE_FULL.format(most=2)}


@pytest.fixture
def page():
    settings = Settings(port=0, queue_size=2, waiting_per_visitor=100)
    page = build_page(ModelHost(settings))
    page.launch(**{**launch_options(settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    yield page
    page.close()


def held(page):
    """The body of a join for the model, which is busy from now on."""
    function = next(f for f in page.fns.values() if f.name == "on_compare")
    page._queue.create_event_queue_for_fn(function)
    page._queue.event_queue_per_concurrency_id["model"].current_concurrency = 1
    return {"data": [None] * len(function.inputs), "fn_index": function._id}


@pytest.mark.slow
@pytest.mark.parametrize(("route", "more"), [("queue/join", None), ("call/methods", {"data": []}), ("call/v2/methods", {})])
def test_who_finds_no_room_hears_one_sentence(page, route, more):
    body, address = held(page), f"{page.local_url}gradio_api"
    for number in range(2):
        assert httpx.post(f"{address}/queue/join", json={**body, "session_hash": f"s{number}"}).status_code == 200
    got = httpx.post(f"{address}/{route}", json={**body, "session_hash": "third"} if more is None else more)
    assert (got.status_code, got.json()) == (429, FULL)
    assert len(page._queue) == 2 and "third" not in page._queue.pending_event_ids_session


@pytest.mark.slow
def test_of_many_at_once_those_without_room_hear_the_same(page):
    body, address = held(page), f"{page.local_url}gradio_api/queue/join"

    async def join():
        async with httpx.AsyncClient(timeout=60) as client:
            return await asyncio.gather(*(client.post(address, json={**body, "session_hash": f"s{n}"}) for n in range(30)))

    got = asyncio.run(join())
    assert sorted(answer.status_code for answer in got) == [200] * 2 + [429] * 28
    assert all(answer.json() == FULL for answer in got if answer.status_code != 200)


@pytest.mark.parametrize(
    ("status", "body", "stopped", "told"),
    [
        (503, b'{"detail": "Queue is full. Max size is 2 and size is 2."}', False, (429, FULL["detail"])),
        (503, b'{"detail": "Queue is stopped."}', True, (503, words.SERVER_STOPS)),
        (422, b'{"detail": [{"loc": ["body", "trigger_id"], "msg": "raw"}]}', False, (400, None)),
        (401, b'{"detail": "Not authenticated"}', False, (401, "Not authenticated")),
    ],
)
def test_a_refusal_of_gradios_own_is_told_in_a_sentence(status, body, stopped, told):
    """Room may go between the look and the join, and the server may stop."""
    queue = SimpleNamespace(max_size=2, stopped=stopped)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body[:9], "more_body": True})
        await send({"type": "http.response.body", "body": body[9:]})

    async def get():
        async def wrapped(scope, receive, send):
            await app(scope, receive, Reworded(scope, receive, send, partial(call_door._worded, queue)))

        async with httpx.AsyncClient(transport=httpx.ASGITransport(wrapped), base_url="http://x") as client:
            return await client.post("/gradio_api/queue/join")

    got = asyncio.run(get())
    sentence = words.REQUEST_FIELD.format(name="trigger_id", wanted=words.REQUEST_OTHER)
    assert (got.status_code, got.json()["detail"]) == (told[0], told[1] or sentence)
