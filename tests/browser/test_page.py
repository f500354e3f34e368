"""The page in a real browser: app.py as people start it, a file as people upload it, Debian's chromium.

Screenshots go to $OMNIZIP_SCREENSHOTS, by default screenshots/ (not in the repository).
"""

import re
from pathlib import Path

import pytest
from browsing import BOTH, DESK, PHONE, clear, fits, given, kept_line, opened, shot, upload, wide
from clips import gif, make_clip, text, thirty_seconds

pytestmark = pytest.mark.browser

QUESTION = "What is shown while the beep is heard?"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(thirty_seconds(tmp_path_factory.mktemp("clips")))


def compare(page, path, question=QUESTION):
    upload(page, path)
    page.locator("#question textarea").fill(question)
    page.locator("#compare").click()
    page.wait_for_function(BOTH)
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")


@pytest.fixture(scope="module")
def answered(browser, url, clip):
    """A page with both answers about an uploaded clip of 30 s, 1280 x 720, with sound."""
    page = opened(browser, url)
    shot(page, "desktop-before")
    compare(page, clip)
    yield page
    page.close()


def test_both_answers_and_all_views_render(answered):
    page = answered
    shot(page, "desktop-after")
    for side in ("#answer-full", "#answer-compressed"):
        assert len(page.locator(f"{side} .oz-said").inner_text()) > 3
    assert "of the tokens read" in page.locator("#headline").inner_text()
    assert "one little world" in page.locator("#conditions").inner_text()
    assert page.locator(".js-plotly-plot").count() == 0, "the charts wait until somebody looks"
    assert "by the operations counted it could be" in page.locator("#costs").inner_text()
    assert "not measured on CPU" in page.locator("#costs").inner_text()
    assert "30.0 s, 1280 × 720" in page.locator("#clip-notes").inner_text()
    assert wide(page) <= 0


def test_the_video_plays_with_sound(answered):
    page = answered
    page.locator("#make-video").click()
    page.wait_for_function("(v => v && v.readyState >= 2)(document.querySelector('#kept-video video'))")
    length = page.evaluate("document.querySelector('#kept-video video').duration")
    assert length == pytest.approx(30, abs=0.3)
    page.evaluate("document.querySelector('#kept-video video').play()")
    page.wait_for_function("document.querySelector('#kept-video video').webkitAudioDecodedByteCount > 0")
    page.evaluate("document.querySelector('#kept-video video').pause()")
    shot(page, "desktop-video")


def test_a_choice_redraws_the_map_and_keeps_the_answers(answered):
    page = answered
    answers = page.locator("#answer-compressed").inner_text()
    facts = page.locator(".lens-facts").inner_text()
    assert "read for the answer" in kept_line(page) and "45 %" in kept_line(page)
    page.get_by_label("25 %", exact=True).check()
    page.wait_for_function("document.querySelector('#kept-line')?.innerText.includes('25 %')")
    assert "would read" in kept_line(page)
    assert page.locator(".lens-facts").inner_text() != facts
    page.get_by_label("custom", exact=True).check()
    page.locator("#advanced button").first.click()
    field = page.locator("#option-omnizip-rho_video input[type=number]")
    field.wait_for(state="visible")
    before = kept_line(page)
    field.fill("0.9")
    field.press("Enter")
    page.wait_for_function("before => document.querySelector('#kept-line').innerText !== before", arg=before)
    shot(page, "desktop-advanced")
    page.locator("#advanced button").first.click()
    page.get_by_label("45 %", exact=True).check()
    page.wait_for_function("document.querySelector('#kept-line')?.innerText.includes('for the answer')")
    assert page.locator("#answer-compressed").inner_text() == answers


def test_charts_come_when_unfolded_and_follow_choices(answered):
    page = answered
    page.locator("#charts > button").click()
    page.wait_for_selector("#chart .js-plotly-plot .bars")
    assert page.locator("#chart .js-plotly-plot .bars .point").count() == 30, "15 windows, seen and hovered"
    wide_plot = "document.querySelector('#chart .main-svg').getBoundingClientRect().width / document.querySelector('#chart').clientWidth"
    page.wait_for_function(f"Math.abs({wide_plot} - 1) < 0.02")
    assert page.locator("#reasons .oz-stack").count() == 2
    before = page.locator("#reasons").inner_text()
    page.get_by_label("25 %", exact=True).check()
    page.wait_for_function("before => document.querySelector('#reasons').innerText !== before", arg=before)
    page.get_by_label("45 %", exact=True).check()
    page.wait_for_function("before => document.querySelector('#reasons').innerText === before", arg=before)


def test_report_and_windows_can_be_saved(answered):
    page = answered
    for button, ending in (("#report-json", ".json"), ("#windows-csv", ".csv")):
        with page.expect_download() as download:
            page.locator(button).click()
        assert download.value.suggested_filename.endswith(ending)


def test_a_follow_up_stays_in_the_chat_and_a_new_chat_clears_it(answered):
    page = answered
    page.locator("#follow-up textarea").fill("And what is heard?")
    page.locator("#ask-on").click()
    page.wait_for_function("document.querySelectorAll('#answer-compressed .oz-asked').length == 2 && !document.querySelector('.oz-now')")
    page.wait_for_function(BOTH)
    assert QUESTION in page.locator("#answer-full").inner_text() and "And what is heard?" in page.locator("#answer-full").inner_text()
    costs = page.locator("#costs").inner_text()
    assert "of them known already" in costs and "not read again" in costs
    shot(page, "desktop-chat")


def test_dark_mode_and_phone(answered):
    page = answered
    page.evaluate("document.body.classList.add('dark')")
    shot(page, "desktop-dark")
    ink = page.evaluate("getComputedStyle(document.querySelector('#chart .ytick text')).fill")
    assert min(map(int, re.findall(r"\d+", ink)[:3])) > 130, "the chart's ink must be light on dark"
    page.set_viewport_size(PHONE)
    fits(page)
    shot(page, "phone-dark")
    page.evaluate("document.body.classList.remove('dark')")
    shot(page, "phone-after")
    page.set_viewport_size(DESK)


def test_a_new_chat_begins_empty(answered):
    page = answered
    page.locator("#new-chat").click()
    page.wait_for_selector("#headline .oz-empty")
    assert page.locator("#kept-views").is_hidden() and page.locator("#follow").is_hidden()
    assert answered.complaints == []
    assert answered.hosts == {"127.0.0.1"}


def test_stop_ends_a_run_and_frees_the_page(browser, url, clip, tmp_path):
    page = opened(browser, url)
    unknown = tmp_path / "unknown.mp4"  # the same film with an empty box behind, so that the server has to read it
    unknown.write_bytes(Path(clip).read_bytes() + b"\x00\x00\x00\x08free")
    upload(page, str(unknown))
    page.locator("#question textarea").fill(QUESTION)
    page.locator("#compare").click()
    page.wait_for_selector("#status .oz-bar")
    page.wait_for_function("!document.querySelector('#stop').disabled")
    page.locator("#stop").click()
    page.wait_for_function("document.querySelector('#status')?.innerText.includes('Stopped')")
    page.wait_for_function("!document.querySelector('#compare').disabled && document.querySelector('#stop').disabled")
    assert page.locator("#headline .oz-empty").count() == 1, "no answer came after the stop"
    compare(page, str(make_clip(tmp_path / "next.mp4", seconds=3)))
    assert page.complaints == []
    page.close()


def test_a_comparison_begun_right_after_a_stop_or_a_new_chat_goes_on(browser, url, clip, tmp_path):
    page = opened(browser, url)
    unknown = tmp_path / "unseen.mp4"
    unknown.write_bytes(Path(clip).read_bytes() + b"\x00\x00\x00\x09free\x00")
    upload(page, str(unknown))
    page.locator("#question textarea").fill(QUESTION)
    page.locator("#compare").click()
    page.wait_for_selector("#status .oz-bar")
    page.wait_for_function("!document.querySelector('#stop').disabled")
    page.locator("#stop").click()
    page.wait_for_function("document.querySelector('#status')?.innerText.includes('Stopped')")
    page.wait_for_function("!document.querySelector('#compare').disabled")
    page.locator("#compare").evaluate("button => button.click()")  # as soon as a browser can
    page.wait_for_function(BOTH)
    page.evaluate("document.querySelector('#new-chat').click()")
    page.wait_for_selector("#headline .oz-empty")
    page.locator("#compare").evaluate("button => button.click()")
    page.wait_for_function(BOTH)
    assert "Stopped" not in page.locator("#status").inner_text()
    assert page.complaints == []
    page.close()


def test_an_unreadable_file_and_missing_things_cost_one_sentence(browser, url, tmp_path):
    page = opened(browser, url, PHONE)
    assert wide(page) <= 0
    shot(page, "phone-before")
    clear(page)
    page.locator("#compare").click()
    page.wait_for_selector("#status .oz-problem")
    assert "Pick a clip" in page.locator("#status").inner_text()
    given(page, str(text(tmp_path)))
    page.locator("#question textarea").fill(QUESTION)
    page.locator("#compare").click()
    page.wait_for_function("document.querySelector('#status .oz-problem')?.innerText.includes('text.mp4')")
    shot(page, "phone-problem")
    page.reload()
    page.wait_for_selector("#headline .oz-headline")
    page.locator("#open-gif").locator("xpath=..").locator("input[type=file]").set_input_files(str(gif(tmp_path)))
    page.wait_for_function("document.querySelector('#clip video')?.readyState >= 2")
    page.wait_for_function("document.body.innerText.includes('turned into an mp4')")
    page.locator("#examples button", has_text="Green heart").click()
    page.wait_for_selector("#clip video")
    assert page.locator("#question textarea").input_value()
    page.locator("#compare").click()
    page.wait_for_function(BOTH)
    page.wait_for_function("(v => v?.videoHeight > v?.videoWidth)(document.querySelector('.lens-video'))")
    assert wide(page) <= 0
    page.close()
