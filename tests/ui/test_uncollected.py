"""Answers that nobody collects are not kept for ever, and who asks for one that is gone is told so."""

import asyncio
import json
import time
from types import SimpleNamespace

import httpx
import pytest
from gradio.server_messages import ProcessCompletedMessage, ProcessStartsMessage

from omnizip.settings import Settings
from ui import uncollected, words
from ui.model_host import ModelHost
from ui.page import build_page, launch_options

GONE = {"detail": words.ANSWER_GONE.format(kept="5 minutes", most=64)}


@pytest.fixture(scope="module")
def page():
    page = build_page(ModelHost(Settings(port=0)))
    page.launch(**{**launch_options(Settings(port=0)), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    yield page
    page.close()


def soon(what, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def call(page):
    """The number of a call that has ended and that nobody has listened to."""
    number = httpx.post(f"{page.local_url}gradio_api/call/methods", json={"data": []}).json()["event_id"]
    soon(lambda: number not in page._queue.event_ids_to_events)
    return number


def collect(page, number):
    return httpx.get(f"{page.local_url}gradio_api/call/methods/{number}", timeout=60)


def kept(page):
    return {number for events in page._queue.pending_event_ids_session.values() for number in events}


def test_an_answer_is_collected_once(page):
    number = call(page)
    assert "event: complete" in collect(page, number).text
    again = collect(page, number)
    assert (again.status_code, again.json()["detail"]) == (404, uncollected.sentence())
    soon(lambda: number not in page._queue.pending_messages_per_session and number not in page._queue.pending_event_ids_session)


@pytest.mark.slow
def test_of_many_the_oldest_are_dropped_and_told_of(page, monkeypatch):
    monkeypatch.setattr(uncollected, "MOST", 5)
    before = kept(page)
    numbers = [call(page) for _ in range(9)]
    last = call(page)  # joining looks at those that had ended by then
    assert kept(page) - before == {*numbers[4:], last}
    assert not set(numbers[:4]) & set(page._queue.pending_messages_per_session), "nor are their messages kept"
    assert collect(page, numbers[0]).status_code == 404
    assert all("event: complete" in collect(page, number).text for number in (*numbers[4:], last))


def test_what_nobody_collects_in_time_is_dropped_though_nobody_calls_again(page, monkeypatch):
    monkeypatch.setattr(uncollected, "LOOK_S", 0.05)
    monkeypatch.setattr(uncollected, "KEPT_S", 0.2)
    number = call(page)
    soon(lambda: number not in kept(page))
    assert number not in page._queue.pending_messages_per_session
    assert collect(page, number).status_code == 404


def test_who_asks_for_what_never_was_hears_a_sentence_to_its_end(page):
    got = collect(page, "nothing")
    assert (got.status_code, got.json()) == (404, GONE)
    heard = httpx.get(f"{page.local_url}gradio_api/queue/data?session_hash=nobody", timeout=60)  # a torn response would raise
    told = [json.loads(line[5:]) for line in heard.text.splitlines() if line.startswith("data:")]
    assert [message["msg"] for message in told] == ["process_completed", "close_stream"]
    assert told[0]["output"]["error"] == GONE["detail"] and told[0]["success"] is False


class Clocked:
    """A queue as gradio has it, looked at by a clock of its own."""

    def __init__(self):
        self.now = 0.0
        self.queue = SimpleNamespace(pending_messages_per_session={}, pending_event_ids_session={}, event_ids_to_events={}, stopped=False)
        self.door = uncollected.Uncollected(None, lambda: self.now)
        self.door._looks = True  # no timer: looked at by hand

    def add(self, session, event, ended=True):
        self.queue.pending_event_ids_session.setdefault(session, set()).add(event)
        messages = self.queue.pending_messages_per_session.setdefault(session, asyncio.Queue())
        messages.put_nowait(ProcessStartsMessage(event_id=event))
        if ended:
            messages.put_nowait(ProcessCompletedMessage(event_id=event, output={}, success=True))
        else:
            self.queue.event_ids_to_events[event] = SimpleNamespace(session_hash=session)

    def look_at(self, now):
        self.now = now
        self.door._look(self.queue)

    @property
    def left(self):
        return {session: set(events) for session, events in self.queue.pending_event_ids_session.items()}


def test_an_answer_waits_five_minutes_and_what_still_runs_is_left_alone():
    kept = Clocked()
    kept.add("a", "old")
    kept.add("a", "runs", ended=False)
    kept.add("b", "alone")
    kept.look_at(1)
    kept.look_at(300)
    assert kept.left == {"a": {"old", "runs"}, "b": {"alone"}}
    kept.add("a", "young")
    kept.look_at(302)
    assert kept.left == {"a": {"runs", "young"}}
    messages = kept.queue.pending_messages_per_session
    assert list(messages) == ["a"]
    told = [messages["a"].get_nowait().event_id for _ in range(messages["a"].qsize())]
    assert told == ["runs", "young", "young"], "in the order they came"


def test_answers_that_are_being_heard_are_none_of_too_many():
    kept = Clocked()
    for number in range(70):
        kept.add(f"s{number}", f"e{number}")
        kept.look_at(number)
    assert set(kept.left) == {f"s{number}" for number in range(6, 70)}
    kept = Clocked()
    for number in range(70):
        kept.add(f"s{number}", f"e{number}")
        kept.door._listening[f"s{number}"] += 1
        kept.look_at(number)
    assert len(kept.left) == 70
    kept.look_at(1000)
    assert not any(kept.left.values()) and len(kept.queue.pending_messages_per_session) == 70, "somebody still listens"
