"""Many visitors at once, on loopback: each gets an answer about its own clip and question, or is told and served when it asks again."""

import re
import threading
import time
from collections import Counter

import httpx
import pytest
from clips import make_clip
from visitors import Tab

from omnizip.engine import Engine
from omnizip.settings import Settings
from ui.page import build_page, launch_options

PATIENCE_S = 900


def visit(page, number, clip, start, deadline, outcomes):
    """One visitor asks until it is served; `outcomes` gets served, lost or crossed, and refused for every time it was told to wait."""
    question = f"What is seen, asker-{number:03d}?"
    start.wait()
    while time.monotonic() < deadline:
        tab = Tab(page)
        try:
            tab.press("on_compare", tab.upload(clip), question)
            while "process_completed" not in tab.kinds() and tab.reader.is_alive() and time.monotonic() < deadline:
                time.sleep(0.05)
            ended = [message for message in tab.heard if message["msg"] == "process_completed"]
            told = any(message.get("success") is False and message.get("output", {}).get("error") for message in ended)
        except httpx.HTTPStatusError as refusal:
            ended, told = [], refusal.response.status_code in (429, 503) and "detail" in refusal.response.json()
        finally:
            tab.http.close()  # the stream has ended with the answer
        if ended and ended[0]["success"]:
            heard = str(tab.heard)
            named = set(re.findall(r"clip-\d{3}", heard))
            report = httpx.get(f"{tab.base}/file={re.search(r'/[^ ]*-report[.]json', heard)[0]}").raise_for_status().json()
            own = named == {clip.stem} and question in str(report) and set(re.findall(r"asker-(\d{3})", str(report))) == {f"{number:03d}"}
            outcomes.append("served" if own else "crossed")
            return
        if not told:
            break
        outcomes.append("refused")
        time.sleep(0.5)
    outcomes.append("lost")


def attack(count, folder):
    """How often each outcome came, with so many visitors who start at the same moment."""
    settings = Settings(port=0, max_new_tokens=2, queue_size=max(2, count // 3), waiting_per_visitor=count)
    page = build_page(Engine.open(settings))
    page.launch(**{**launch_options(settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    start, deadline, outcomes = threading.Event(), time.monotonic() + PATIENCE_S, []
    clips = [make_clip(folder / f"clip-{number:03d}.mp4", seconds=1) for number in range(count)]
    threads = [threading.Thread(target=visit, args=(page, number, clip, start, deadline, outcomes)) for number, clip in enumerate(clips)]
    try:
        for thread in threads:
            thread.start()
        start.set()
        for thread in threads:
            thread.join()
    finally:
        page.close()
    return Counter(outcomes)


def assert_all_served(found, count):
    assert found["served"] == count and not found["lost"] and not found["crossed"], found
    assert found["refused"], "the queue was full for some"


@pytest.mark.slow
def test_a_few_visitors_at_once(tmp_path):
    assert_all_served(attack(8, tmp_path), 8)


@pytest.mark.slow
@pytest.mark.long
def test_fifty_visitors_at_once(tmp_path):
    """A few minutes on two cores."""
    assert_all_served(attack(50, tmp_path), 50)
