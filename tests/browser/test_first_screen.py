"""The first screen: what a visitor needs is in view together, on a laptop and on a phone, by day and by night."""

import pytest
from browsing import BOTH, opened, shot, wide

pytestmark = pytest.mark.browser

LAPTOP, SMALL, PHONE = {"width": 1360, "height": 900}, {"width": 1280, "height": 720}, {"width": 390, "height": 844}
THEMES = ("light", "dark")
DECIDED = """() => {
  const {maps, clip} = document.querySelector('.lens').parentElement.lens.state;
  return [maps[0].windows.map((w) => [w.start, Math.min(w.end, clip.duration), w.videoKept, w.video])];
}"""


def box(page, selector):
    """Left, top, right, bottom in the window, pixels."""
    found = page.locator(selector).bounding_box()
    return found["x"], found["y"], found["x"] + found["width"], found["y"] + found["height"]


def see(page, selector, size):
    left, top, right, bottom = box(page, selector)
    assert left >= -0.5 and top >= -0.5 and right <= size["width"] + 0.5 and bottom <= size["height"] + 0.5, (
        f"{selector} at {box(page, selector)}"
    )
    assert bottom - top > 20, f"{selector} has room"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [LAPTOP, SMALL], ids=["laptop", "small"])
def test_all_that_is_asked_is_on_one_screen(browser, url, size, theme):
    page = opened(browser, f"{url}?__theme={theme}", size)
    for part in ("#clip", "#examples", "#question", "#retention", "#method", "#compare", "#headline"):
        see(page, part, size)
    assert wide(page) <= 0
    page.locator("#advanced button").first.click()
    page.locator("#option-omnizip-merge_size").wait_for(state="visible")
    see(page, "#compare", size)
    page.close()


def test_a_finished_comparison_is_there_without_a_click_and_another_clip_replaces_it(browser, url):
    page = opened(browser, url, LAPTOP)
    page.wait_for_function(BOTH)
    assert "computed earlier" in page.locator("#origin").inner_text() and "of the tokens read" in page.locator("#headline").inner_text()
    assert page.locator("#answer-full .oz-said").inner_text() == page.locator("#answer-compressed .oz-said").inner_text() == "purple"
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    see(page, ".lens-stage", LAPTOP)
    shot(page, "first-look")
    page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('built in')")
    page.get_by_label("25 %", exact=True).check()
    page.wait_for_function("document.querySelector('#kept-line')?.innerText.includes('25 %')")  # it is a conversation like any other
    page.locator("#examples button").nth(3).click()
    page.wait_for_selector("#headline .oz-empty")
    assert page.locator("#origin .oz-hint").count() == 0 and page.locator("#kept-views").is_hidden()
    assert page.complaints == [] and page.hosts == {"127.0.0.1"}
    page.close()


def test_three_hints_guide_a_first_visit_and_are_remembered_when_read(browser, url):
    context = browser.new_context(viewport=LAPTOP)
    page = opened(context, url, None)
    assert page.locator(".oz-hints li").count() == 3 and page.locator(".oz-hints").is_visible()
    numbers = page.evaluate("""() => ['#examples p', '#retention [data-testid=block-info]', '#kept-head h3']
      .map((name) => getComputedStyle(document.querySelector(name), '::before').content)""")
    assert numbers == ['"1"', '"2"', '"3"'], "each beside what it speaks of"
    page.locator(".oz-hints button").click()
    assert page.locator(".oz-hints").is_hidden() and page.locator("#hints").is_hidden()
    page.reload()
    page.wait_for_selector("#headline .oz-headline")
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    assert page.locator(".oz-hints").is_hidden()
    assert page.complaints == []
    context.close()


def test_the_model_and_its_choice_are_one_line(browser, url):
    page = opened(browser, url, LAPTOP)
    page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('built in')")
    line, row = box(page, "#conditions"), box(page, "#model-row")
    assert row[3] - row[1] < 60 and line[3] - line[1] <= row[3] - row[1] + 1
    if page.locator("#model").is_visible():
        choice = box(page, "#model")
        assert choice[0] >= line[2] and row[1] - 1 <= choice[1] and choice[3] <= row[3] + 1
    page.close()


@pytest.mark.parametrize("theme", THEMES)
def test_on_a_phone_the_button_follows_the_thumb(browser, url, theme):
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = opened(context, f"{url}?__theme={theme}", None)
    see(page, "#compare", PHONE)
    assert wide(page) <= 0
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    see(page, "#compare", PHONE)
    covered = page.locator("#methods > button").bounding_box()
    assert covered["y"] + covered["height"] <= box(page, "#actions")[1] + 0.5, "the page's end is not hidden by it"
    shot(page, f"first-phone-{theme}")
    context.close()


def test_an_example_is_chosen_by_keyboard_and_by_touch_and_plays_under_the_pointer(browser, url):
    page = opened(browser, url, LAPTOP)
    cards = page.locator("#examples button")
    assert cards.count() == 6
    assert cards.nth(1).inner_text().split("\n") == ["Green heart, portrait", "What sound plays when the green heart appears?"]
    film = "document.querySelectorAll('#examples video')[1]"
    page.wait_for_function(f"{film}.readyState >= 2 && {film}.paused")
    at = page.evaluate(f"{film}.currentTime")
    assert at == pytest.approx(0.6, abs=0.05), "a moment that shows something stands for the clip"
    cards.nth(1).hover()
    page.wait_for_function(f"!{film}.paused && {film}.currentTime > {at} + 0.3")
    page.wait_for_function(f"{film}.paused && Math.abs({film}.currentTime - {at}) < 0.05")  # after two seconds it rests
    cards.nth(1).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#clip video')?.src.endsWith('green-heart.mp4')")
    page.wait_for_function("document.querySelectorAll('#examples button')[1].getAttribute('aria-pressed') === 'true'")
    assert page.locator("#question textarea").input_value() == "What sound plays when the green heart appears?"
    page.wait_for_function("document.querySelector('#clip video').poster.startsWith('data:image/jpeg')")
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    phone = opened(context, url, None)
    phone.locator("#examples button").nth(0).tap()
    phone.wait_for_function("document.querySelector('#clip video')?.src.endsWith('bell.mp4')")
    assert page.complaints == [] and phone.complaints == [] and page.hosts == {"127.0.0.1"}
    context.close()
    page.close()


def test_the_lens_opens_where_most_was_decided_and_says_why_under_the_pointer(browser, url):
    page = opened(browser, url, SMALL)
    page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('built in')")
    page.wait_for_function("document.querySelector('.lens-video')?.currentTime > 0")
    (windows,) = page.evaluate(DECIDED)
    start, end, *_ = max(windows, key=lambda w: w[2] / w[3])
    assert page.evaluate("document.querySelector('.lens-video').currentTime") == pytest.approx((start + end) / 2, abs=0.05)
    assert page.evaluate("document.querySelector('.lens-video').paused")
    page.locator(".lens-veil").scroll_into_view_if_needed()
    left, top, right, bottom = box(page, ".lens-veil")
    said = set()
    for column in range(12):
        page.mouse.move(left + (column + 0.5) * (right - left) / 12, top + 0.4 * (bottom - top))
        said.add(page.locator(".lens-patch").inner_text())
    assert "dropped" in said and any(text.startswith("kept: ") for text in said), said
    tracks = box(page, ".lens-time")
    assert tracks[2] - tracks[0] > 640 and tracks[3] - tracks[1] > 300, "the rows have room"
    page.get_by_label("25 %", exact=True).check()
    page.wait_for_function("document.querySelector('#kept-line')?.innerText.includes('25 %')")
    assert page.evaluate("document.querySelector('.lens-video').currentTime") == pytest.approx((start + end) / 2, abs=0.05), (
        "it stays there"
    )
    assert page.complaints == []
    page.close()
