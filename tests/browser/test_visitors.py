"""Several visitors at once, each in a browser's tab: everybody gets the own answers, in order, and hears how long the queue is."""

import os

import pytest
from browsing import BOTH, upload
from clips import make_clip
from served import free_port, served

pytestmark = pytest.mark.browser

PATIENCE_MS = 180_000
DONE_AT = f"(() => {{ const look = () => {{ {BOTH} ? (window.doneAt = Date.now()) : setTimeout(look, 20); }}; look(); }})()"
SEEN = "(piece => piece && piece.offsetParent ? piece.innerText : '')(document.querySelector('{}'))"  # nothing where it is hidden
PLACE, METHODS_PLACE = SEEN.format("#place"), SEEN.format("#methods-place")


@pytest.fixture(scope="module")
def held_file(tmp_path_factory):
    return tmp_path_factory.mktemp("held") / "held"


@pytest.fixture(scope="module")
def url(tmp_path_factory, held_file):
    port = free_port()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMNIZIP_MAX_NEW_TOKENS": "24", "OMNIZIP_TEST_HELD": str(held_file)}
    folder = tmp_path_factory.mktemp("log")
    address = f"http://127.0.0.1:{port}/"
    with served(folder, environment, "--port", str(port), address=address, program="tests/support/held_app.py"):
        yield address


@pytest.fixture
def held(held_file):
    """The model answers no further until this is called with False; it begins held."""

    def hold(wish):
        held_file.touch() if wish else held_file.unlink(missing_ok=True)

    hold(True)
    yield hold
    hold(False)


@pytest.fixture
def clips(tmp_path):
    """Three clips: (first, second, third)."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=4)
    paths = [tmp_path / f"clip-{number}.mp4" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(clip.read_bytes() + b"\x00\x00\x00" + bytes([8 + number]) + b"free" + bytes(number))  # an empty box behind
    return [str(path) for path in paths]


def visitor(browser, url, clip, question):
    """A tab of its own session, ready to press Compare."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('built in')")  # the model is loaded
    upload(page, clip)
    page.locator("#question textarea").fill(question)
    return page


def status(page):
    return page.locator("#status").inner_text()


def report_name(page):
    """The file a visitor can save is named after the clip that was asked about."""
    with page.expect_download() as download:
        page.locator("#report-json").click()
    return download.value.suggested_filename


def begin(page):
    """Compare, and wait until the model is at it."""
    page.locator("#compare").click()
    page.wait_for_function("/Answering/.test(document.querySelector('#status').innerText)")


def test_everybody_gets_the_own_answers_in_order_and_hears_the_place_in_the_queue(browser, url, clips, held):
    questions = ["What colour is it?", "What is heard?", "How many shapes appear?"]
    pages = [visitor(browser, url, clip, question) for clip, question in zip(clips, questions, strict=True)]
    first, second, third = pages
    begin(first)
    second.locator("#compare").click()
    second.wait_for_function(f"{PLACE}.includes('One comes before you')")
    third.locator("#compare").click()
    third.wait_for_function(f"{PLACE}.includes('2 come before you')")
    assert not first.locator("#place").is_visible()
    for page in pages:
        page.evaluate(DONE_AT)
    held(False)
    for page in pages:
        page.wait_for_function("window.doneAt")
    done = [page.evaluate("window.doneAt") for page in pages]
    assert done == sorted(done)
    for number, page in enumerate(pages):
        assert report_name(page).startswith(f"clip-{number}") and not page.locator("#place").is_visible()
        page.context.close()


def test_a_closed_tab_frees_the_model_within_seconds(browser, url, clips, held):
    first = visitor(browser, url, clips[1], "What is seen first?")
    second = visitor(browser, url, clips[2], "What is seen last?")
    begin(first)
    second.locator("#compare").click()
    second.wait_for_function(f"{PLACE}.includes('One comes before you')")
    first.close()  # held, the run would never end by itself
    second.wait_for_function("!/turn/.test(document.querySelector('#status').innerText)")
    held(False)
    second.wait_for_function(BOTH)
    assert report_name(second).startswith("clip-2")
    second.context.close()
    first.context.close()


def test_who_waits_can_give_up_and_methods_wait_in_the_same_queue(browser, url, clips, held):
    first = visitor(browser, url, clips[0], "What colour is it?")
    second = visitor(browser, url, clips[1], "What is heard?")
    told = "document.querySelector('#methods-status').innerText"
    for page in (first, second):
        page.locator("#methods > button").click()
        assert page.locator("#methods-stop").is_disabled(), "there is nothing to stop"
    for share in first.locator("#methods-shares input").all():
        share.check()
    first.locator("#methods-run").click()
    first.wait_for_function(f"/Answering|Choosing|Looking|Reading/.test({told})")
    second.locator("#compare").click()
    second.wait_for_function(f"{PLACE}.includes('One comes before you')")
    second.locator("#stop").click()
    second.wait_for_function("!document.querySelector('#compare').disabled")
    assert "Stopped" in status(second) and second.locator("#stop").is_disabled()
    second.locator("#methods-run").click()
    second.wait_for_function(f"{METHODS_PLACE}.includes('One comes before you')")
    second.locator("#methods-stop").click()
    second.wait_for_function("!document.querySelector('#methods-run').disabled")
    assert "Stopped" in second.locator("#methods-status").inner_text() and second.locator("#methods-stop").is_disabled()
    held(False)
    first.wait_for_function(f"{told}.includes('Done')")
    assert first.locator(".oz-methods tbody tr").count() == 10
    first.locator("#compare").click()
    first.wait_for_function(BOTH)  # whoever still stood in the queue would have run before
    assert "Stopped" in second.locator("#methods-status").inner_text() and not second.locator(".oz-methods").count(), "it did not run"
    assert "Stopped" in status(second) and second.locator("#headline .oz-empty").count() == 1, "nor did the comparison"
    second.locator("#methods-run").click()
    second.wait_for_function(f"{told}.includes('Done') && !document.querySelector('#methods-run').disabled")
    assert second.locator(".oz-methods tbody tr").count() == 4
    for page in (first, second):
        page.context.close()
