"""Start and end within the clip, its sound and what it changed, the paper's settings: chosen on the page, by hand and by keyboard."""

import os

import clips
import ffmpeg
import pytest
from browsing import BOTH, opened, shot, upload, wide
from served import free_port, served

from ui import words

pytestmark = pytest.mark.browser

LAPTOP, SMALL, PHONE = {"width": 1360, "height": 900}, {"width": 1280, "height": 720}, {"width": 390, "height": 844}
THERE = "document.querySelector('.oz-cut') && !document.querySelector('.oz-cut').hidden"
LOADED = "document.querySelector('#conditions')?.innerText.includes('built in')"
DONE = "document.querySelector('#status').innerText.includes('Done')"


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory):
    """Three seconds whose second sound track is German and has a title."""
    folder = tmp_path_factory.mktemp("tracks")
    first, second = (clips.make_clip(folder / f"{at}.mp4", seconds=3, sound=clips.beeps(3, (at,))) for at in (1.0, 2.0))
    out = folder / "two.mp4"
    ffmpeg.ffmpeg(
        *("-i", first, "-i", second, "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy"),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger", out),
    )
    return out


def ready(browser, url, size=LAPTOP):
    page = opened(browser, url, size)
    page.wait_for_function(LOADED)
    page.wait_for_function(THERE)
    return page


def compare(page):
    page.locator("#compare").click()
    page.wait_for_selector("#stop:not([disabled])")
    page.wait_for_function(DONE)


def at(page, name):
    return page.locator(f"[data-at={name}]").input_value()


def inside(page, selector, size):
    found = page.locator(selector).bounding_box()
    assert found["x"] >= 0 and found["y"] >= 0 and found["height"] > 20, found
    assert found["x"] + found["width"] <= size["width"] + 0.5 and found["y"] + found["height"] <= size["height"] + 0.5, found


def test_a_part_is_typed_and_dragged_and_is_what_is_read(browser, url):
    page = ready(browser, url)
    assert (at(page, "start"), at(page, "end")) == ("0:00", "0:08")
    page.locator("[data-at=start]").fill("0:02")
    page.locator("[data-at=start]").press("Enter")
    box = page.locator(".oz-cut-line").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 6, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 40, box["y"] + 12, steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('[data-at=end]').value !== '0:08'")
    page.locator(".oz-cut-end").focus()
    page.keyboard.press("ArrowLeft")
    end = at(page, "end")
    assert 4 < float(end.split(":")[1]) < 8 and at(page, "start") == "0:02", end
    compare(page)
    seconds = float(end.split(":")[1])
    notes = page.locator("#clip-notes").inner_text()
    assert f"Only the part from 2 s to {seconds:.1f} s was read" in notes and f"{seconds - 2:.1f} s, 768 × 384" in notes
    page.wait_for_function(f"Math.abs(document.querySelector('.lens-video').duration - {seconds - 2}) < 0.2")  # a copy of the part
    assert page.evaluate("document.querySelector('.lens').parentElement.lens.state.clip.duration") == pytest.approx(seconds - 2, abs=0.2)
    inside(page, "#compare", LAPTOP)
    shot(page, "part")
    page.locator("[data-at=end]").fill("never")
    page.locator("[data-at=end]").press("Enter")
    assert page.locator("[data-at=end]").get_attribute("aria-invalid") == "true"
    page.locator("#examples button").nth(3).click()
    page.wait_for_function("document.querySelector('[data-at=start]').value === '0:00'")  # another clip, no choice
    assert page.complaints == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, SMALL, PHONE], ids=["laptop", "small", "phone"])
def test_it_takes_no_room_from_what_is_asked(browser, url, size, theme):
    page = ready(browser, f"{url}?__theme={theme}", size)
    for selector in ("#clip", "#part", *(("#question", "#retention", "#method") if size is not PHONE else ()), "#compare"):
        inside(page, selector, size)
    assert wide(page) <= 0
    if size is not PHONE:
        clip, part = page.locator("#clip").bounding_box(), page.locator("#part").bounding_box()
        assert part["y"] + part["height"] <= clip["y"] + clip["height"], "on the clip box"
    page.close()


def test_the_sound_is_chosen_where_there_is_a_choice(browser, url, two_tracks, tmp_path):
    page = ready(browser, url)
    options = page.locator(".oz-cut-sound option")
    assert options.all_inner_texts() == [words.SOUND_WITH, words.SOUND_WITHOUT]
    upload(page, two_tracks)
    page.wait_for_function("document.querySelectorAll('.oz-cut-sound option').length === 4")
    assert options.all_inner_texts() == [words.SOUND_MAIN, "Sound 1: English", "Sound 2: German", words.SOUND_WITHOUT]
    page.locator(".oz-cut-sound").select_option(label="Sound 2: German")
    page.locator("#question textarea").fill("What can be heard?")
    compare(page)
    assert "only number 2 was read, as chosen" in page.locator("#clip-notes").inner_text()
    page.locator(".oz-cut-sound").select_option(label=words.SOUND_WITHOUT)
    compare(page)
    page.wait_for_function("document.querySelector('#clip-notes')?.innerText.includes('The sound was left out, as chosen')")
    assert page.locator("#ask-sound").is_hidden(), "nothing to compare it with"
    upload(page, clips.make_clip(tmp_path / "mute.mp4", seconds=2, sound=None))
    page.wait_for_function("document.querySelector('[data-at=end]').value === '0:02'")
    page.wait_for_function("document.querySelector('.oz-cut-sound').hidden")
    assert page.complaints == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_one_click_shows_what_the_sound_changed(browser, url, theme):
    page = ready(browser, f"{url}?__theme={theme}")
    page.get_by_role("button", name=words.SOUND_ASK).click()
    page.wait_for_function("document.querySelector('#difference')?.innerText.includes('Read with sound')")
    page.wait_for_function(DONE)
    assert page.locator("#answer-full h3").inner_text() == "OmniZip, with sound"
    assert page.locator("#answer-compressed h3").inner_text() == "OmniZip, without sound"
    assert page.locator("#answer-full .oz-said").inner_text() == "purple"
    assert "of the picture that was kept with sound" in page.locator("#difference").inner_text()
    assert "once without" in page.locator("#origin").inner_text()
    assert "OmniZip, without sound: most at" in page.locator("#costs").inner_text() and page.locator("#costs table").count() == 0
    shot(page, f"sound-{theme}")
    compare(page)
    page.wait_for_function(BOTH)
    assert page.locator("#answer-full h3").inner_text() == "Full model", "and Compare brings the two models back"
    assert page.complaints == []
    page.close()


def test_the_papers_settings_fill_what_is_advanced_with_what_it_published(browser, url):
    page = ready(browser, url, SMALL)
    page.locator("#advanced > button").click()
    page.locator("#paper input").click()
    page.get_by_role("option", name=words.PAPER["no-dp"][0]).click()
    page.wait_for_function("document.querySelector('#published')?.innerText.includes('Published, 7B')")
    assert words.PAPER["no-dp"][1] in page.locator("#published").inner_text()
    page.wait_for_function("document.querySelector('#retention label.selected')?.innerText.trim() === 'custom'")
    page.locator("#option-omnizip-rho_video").wait_for(state="visible")
    assert page.locator("#option-omnizip-rho_audio input[type=number]").input_value() == "0.3"
    assert not page.locator("#option-omnizip-dynamic input").is_checked() and page.locator("#option-omnizip-anchors input").is_checked()
    inside(page, "#compare", SMALL)
    shot(page, "paper")
    compare(page)
    assert page.evaluate("document.querySelector('.lens').parentElement.lens.state.maps[0].windows.length") == 4
    page.locator("#option-omnizip-anchors input").uncheck()
    page.wait_for_function("!document.querySelector('#published').innerText")  # no longer the paper's
    assert page.complaints == []
    page.close()


def test_a_link_brings_part_and_sound_back(browser, url):
    page = opened(browser, f"{url}?example=bell&start=1.5&end=6&sound=none", LAPTOP)
    page.wait_for_function(DONE)
    page.wait_for_function("document.querySelector('#clip-notes')?.innerText.includes('from 1.5 s to 6.0 s')")
    page.wait_for_function("document.querySelector('[data-at=start]').value === '0:01.5'")
    assert at(page, "end") == "0:06" and page.locator(".oz-cut-sound").input_value() == "none"
    page.wait_for_function("document.querySelector('.lens').parentElement.lens?.state.link?.start")  # no longer what was computed earlier
    page.locator(".lens-link").click()
    page.wait_for_function("document.querySelector('.lens').parentElement.dataset.link")
    link = page.evaluate("document.querySelector('.lens').parentElement.dataset.link")
    assert all(part in link for part in ("start=1.5", "end=6", "sound=none"))
    assert page.complaints == []
    page.close()


@pytest.mark.slow
def test_a_film_of_two_hours_will_do_where_the_part_is_within_the_limit(browser, tmp_path):
    film, port = tmp_path / "film.mp4", free_port()
    ffmpeg.ffmpeg(
        *("-f", "lavfi", "-i", "testsrc=size=64x64:rate=1:duration=7200", "-c:v", "libx264", "-preset", "ultrafast", "-g", "60"),
        *("-pix_fmt", "yuv420p", film),
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMNIZIP_MAX_CLIP_S": "30", "OMNIZIP_MAX_NEW_TOKENS": "8"}
    with served(tmp_path, environment, "--port", str(port), address=f"http://127.0.0.1:{port}/") as address:
        page = ready(browser, address)
        upload(page, film)
        page.wait_for_function("document.querySelector('[data-at=end]').value === '120:00'")
        page.locator("#question textarea").fill("What is seen?")
        page.locator("#compare").click()
        page.wait_for_function("document.querySelector('#status')?.innerText.includes('choose a part of it')")
        for name, text in (("start", "1:35:00"), ("end", "95:20")):
            page.locator(f"[data-at={name}]").fill(text)
            page.locator(f"[data-at={name}]").press("Enter")
        assert (at(page, "start"), at(page, "end")) == ("95:00", "95:20")
        compare(page)
        assert "from 5700 s to 5720.0 s" in page.locator("#clip-notes").inner_text()
        assert page.complaints == []
        page.close()


LENS = "document.querySelector('.lens').parentElement.lens.state"
ENDS = "[...document.querySelectorAll('.lens-ends input')].map((end) => +end.value)"


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_the_part_is_dragged_on_the_time_axis_too_and_compared_from_there(browser, url, size):
    page = ready(browser, url, size)
    page.wait_for_function("document.querySelector('.lens-part') && !document.querySelector('.lens-part').hidden")
    assert page.locator(".lens-again").is_hidden(), "all of it is what is shown"
    page.locator(".lens-ends").scroll_into_view_if_needed()
    time_axis, ends = page.locator(".lens-tracks").bounding_box(), page.locator(".lens-ends").bounding_box()
    assert 0 <= ends["y"] - time_axis["y"] - time_axis["height"] < 30, "right below it"
    middle = ends["y"] + ends["height"] / 2
    page.mouse.move(ends["x"], middle)
    page.mouse.down()
    page.mouse.move(ends["x"] + ends["width"] / 2, middle, steps=4)
    page.mouse.up()
    page.wait_for_function(f"{ENDS}[0] > 3")
    start = page.evaluate(ENDS)[0]
    assert start == pytest.approx(4, abs=0.3), "half of eight seconds, where the axis has them"
    shown = page.evaluate("document.querySelector('.lens-video').currentTime")
    assert shown == pytest.approx(start, abs=0.05), "what is cut is what is seen"
    page.locator(".lens-end").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"Math.abs({ENDS}[1] - 7) < 0.01")
    assert at(page, "end") == "0:07" and float(at(page, "start").split(":")[1]) == pytest.approx(start), "the strip on the clip box follows"
    assert page.locator(".lens-after").is_visible() and page.locator(".lens-before").is_visible()
    assert page.locator(".lens-again").inner_text() == f"Compare {start:.1f} s to 7.0 s"
    shot(page, f"lens-part-{size['width']}")
    page.locator("[data-at=start]").fill("0:05")
    page.locator("[data-at=start]").press("Enter")
    page.wait_for_function(f"{ENDS}[0] === 5")  # and the other way round
    page.locator(".lens-again").click()
    page.wait_for_function(f"Math.abs({LENS}.clip.duration - 2) < 0.1 && {LENS}.clip.from === 5")
    page.wait_for_function("document.querySelector('.lens-again').hidden")
    assert "from 5 s to 7.0 s" in page.locator("#clip-notes").inner_text()
    page.wait_for_function(DONE)
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    film = page.locator(".lens-video").get_attribute("src")
    for name, text in (("start", "0:03"), ("end", "0:05")):  # as long, and elsewhere
        page.locator(f"[data-at={name}]").fill(text)
        page.locator(f"[data-at={name}]").press("Enter")
    compare(page)
    page.wait_for_function(f"{LENS}.clip.from === 3")
    assert page.locator(".lens-video").get_attribute("src") != film, "never the other part's film"
    assert wide(page) <= 0 and page.complaints == []
    page.close()
