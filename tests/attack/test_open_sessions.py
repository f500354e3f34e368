"""Many visitors who never close their page: what the server holds for them does not grow with their number.

Counted are the reports and the bytes their answers and decisions take, not the process's memory, which allocators and the machine move.
"""

import gc
import time

import pytest
from clips import make_clip
from visitors import Tab

from omnizip.engine import Engine
from omnizip.report.decision import CompressionRecord
from omnizip.report.report import RunReport
from omnizip.settings import Settings
from ui.page import build_page, launch_options

PAGES = 2  # remembered


def held():
    """Reports alive, and the bytes of the tables and decisions that are."""
    gc.collect()
    objects = gc.get_objects()
    reports = sum(isinstance(found, RunReport) for found in objects)
    records = [found for found in objects if isinstance(found, CompressionRecord)]
    return reports, sum(getattr(value, "nbytes", 0) for record in records for value in vars(record).values())


def visits(number, folder):
    """Reports and bytes held after each of so many comparisons, all of whose pages stay open."""
    settings = Settings(port=0, max_new_tokens=2, open_pages=PAGES, waiting_per_visitor=100)
    page = build_page(Engine.open(settings))
    page.launch(**{**launch_options(settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    clip = make_clip(folder / "clip.mp4", seconds=2)
    tabs, found = [], []
    try:
        for turn in range(number):
            tabs.append(tab := Tab(page))
            tab.press("on_compare", tab.upload(clip), f"What is seen, {turn}?")
            deadline = time.monotonic() + 120
            while "process_completed" not in tab.kinds():
                assert time.monotonic() < deadline, tab.kinds()
                time.sleep(0.02)
            assert next(m for m in tab.heard if m["msg"] == "process_completed")["success"]
            found.append(held())
        return found
    finally:
        for tab in tabs:
            tab.http.close()  # the stream has ended with the answer
        page.close()


def assert_flat(found, warm):
    reports, sizes = zip(*found, strict=True)
    assert max(reports) >= 1 and max(sizes) > 0, "what is counted is there"
    assert max(reports) <= PAGES + 2, "those remembered, the one just made, and one that gradio still sends"
    assert max(sizes[warm:]) <= 1.02 * max(sizes[:warm]), sizes


@pytest.mark.slow
def test_a_few_pages_left_open(tmp_path):
    assert_flat(visits(8, tmp_path), 5)


@pytest.mark.slow
@pytest.mark.long
def test_five_hundred_pages_left_open(tmp_path):
    """A quarter of an hour on two cores."""
    assert_flat(visits(500, tmp_path), 200)
