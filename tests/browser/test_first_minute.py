"""The first seconds: a page before its model, a comparison that waits for it, a model that never comes, and nothing that jumps."""

import os

import pytest
import tiny
from browsing import BOTH, opened
from gradio_client import Client, handle_file
from served import ROOT, free_port, served

from omnizip.settings import Settings
from ui import words
from ui.examples import examples_of

pytestmark = pytest.mark.browser

SIZES = {"laptop": (1360, 900), "small": (1280, 720), "phone": (390, 844)}
EXAMPLE = ROOT / "assets" / "examples" / "bell.mp4"
MOST_SHIFT = 0.1  # what web.dev calls good
WATCH = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""
LOADED = "document.querySelector('#conditions')?.innerText.includes('built in')"


@pytest.fixture
def held_page(tmp_path):
    """Starts a page whose model comes once the file is gone; gives the file and the address."""

    def started(name):
        held, port = tmp_path / name, free_port()
        held.touch()
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMNIZIP_TEST_HELD": str(held)}
        program = "tests/support/held_model_app.py"
        return held, served(tmp_path, environment, "--port", str(port), address=f"http://127.0.0.1:{port}/", program=program)

    return started


@pytest.mark.slow
def test_a_comparison_asked_for_before_the_model_is_there_waits_and_is_answered(browser, held_page):
    held, page_of = held_page("held")
    with page_of as url:
        page = opened(browser, url)
        page.wait_for_function(BOTH)  # the first look, computed earlier
        assert "Loading" in page.locator("#conditions").inner_text()
        page.locator("#compare").click()
        page.wait_for_function(f"document.querySelector('#status')?.innerText.includes({words.stage('load', None)!r})")
        assert "computed earlier" in page.locator("#origin").inner_text(), "it stays until there is another"
        called = Client(url, verbose=False).submit(video=handle_file(str(EXAMPLE)), question="What?", api_name="/compare")
        held.unlink()
        page.wait_for_function("document.querySelector('#status')?.innerText.includes('Done')")
        assert page.locator("#origin .oz-hint").count() == 0 and page.locator("#answer-full .oz-said").inner_text() == "purple"
        page.wait_for_function(LOADED)
        assert len(called.result(timeout=120)[2]["runs"]) == 2, "programs wait alike"
        assert page.complaints == []
        page.close()


@pytest.mark.slow
def test_where_the_model_cannot_be_had_who_waits_is_told_why_and_the_page_lives_on(browser, held_page):
    held, page_of = held_page("broken")
    with page_of as url:
        page = opened(browser, url)
        page.locator("#compare").click()
        page.wait_for_function(f"document.querySelector('#status')?.innerText.includes({words.stage('load', None)!r})")
        held.unlink()
        told = f"Its weights are cut short; download it again. {words.MODEL_OTHER}"
        page.wait_for_function("(told) => document.querySelector('#status .oz-problem')?.innerText === told", arg=told)
        page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('cut short')")
        page.wait_for_selector("#compare:not([disabled])")
        page.reload()
        page.wait_for_function(BOTH)
        page.close()


@pytest.mark.parametrize("size", SIZES)
def test_nothing_moves_under_a_visitors_eyes(browser, url, size):
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(60_000)
    page.add_init_script(WATCH)
    page.goto(url)
    page.wait_for_function(BOTH)
    page.wait_for_function(LOADED)
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    page.wait_for_function("document.querySelector('.lens-veil')?.style.width")
    assert page.evaluate("window.shift") < MOST_SHIFT
    page.close()


@pytest.mark.slow
def test_the_page_of_a_checkpoint_begins_with_it_once_somebody_has_asked(browser, tmp_path):
    folder, port = tiny.save(tmp_path / "tiny", seed=1), free_port()
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMNIZIP_MAX_NEW_TOKENS": "4", "OMNIZIP_MAX_FRAMES": "4"}
    flags = ["--port", str(port), "--model", folder, "--device", "cpu"]
    with served(tmp_path, environment, *flags, address=f"http://127.0.0.1:{port}/") as url:
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(url)
        page.wait_for_selector("#headline .oz-empty")
        assert page.locator("#origin .oz-hint").count() == 0
        page.locator("#examples button").first.click()
        page.wait_for_selector("#clip video")
        page.locator("#compare").click()
        page.wait_for_function("document.querySelector('#status')?.innerText.includes('Done')")
        page.wait_for_function(BOTH)
        said = page.locator("#answer-full .oz-said").inner_text()
        page.close()
        page = opened(browser, url)
        page.wait_for_function(BOTH)
        assert "computed earlier" in page.locator("#origin").inner_text()
        assert page.locator("#answer-full .oz-said").inner_text() == said
        page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
        page.wait_for_function("document.querySelector('.lens-facts tr')")
        assert page.locator("#question textarea").input_value() == examples_of(Settings())[0].question
        assert page.complaints == []
        page.close()
