"""Glance on the page: one of the methods, which never looks at most of the picture; the page says so, and bills it for what it did."""

import json
import re

import pytest
from browsing import BOTH, opened, shot, two_frames

from omnizip.report import wording

pytestmark = pytest.mark.browser

LAPTOP = {"width": 1360, "height": 900}
KEPT, DROPPED, UNSEEN = 5, 7, 8  # what Glance says of a patch: its own rule, dropped, never encoded
LOADED = "document.querySelector('#conditions')?.innerText.includes('built in')"
LENS = "document.querySelector('.lens').parentElement.lens.state"
PATCHES = """() => {
  const [state, veil] = [document.querySelector('.lens').parentElement.lens.state, document.querySelector('.lens-veil')];
  const [, rows, columns] = state.clip.grid, step = +document.querySelector('.lens').parentElement.dataset.step;
  const context = veil.getContext('2d');
  return Array.from({length: rows * columns}, (_, i) => {
    const [x, y] = [(i % columns + 0.5) * veil.width / columns, (Math.floor(i / columns) + 0.5) * veil.height / rows];
    return [state.maps[0].reason[step * rows * columns + i], [...context.getImageData(x, y, 1, 1).data].join()];
  });
}"""


@pytest.fixture(scope="module")
def page(browser, url):
    """The first example answered by the full model and by Glance."""
    page = opened(browser, url, LAPTOP)
    page.wait_for_function(LOADED)
    page.locator("#method input").click()
    page.get_by_role("option", name="Glance", exact=True).click()
    compare(page)
    yield page
    page.close()


def compare(page):
    """Press Compare and wait for both answers and the lens's map of them."""
    page.locator("#compare").click()
    page.wait_for_selector("#stop:not([disabled])")
    page.wait_for_selector("#compare:not([disabled])")
    page.wait_for_function(BOTH)
    page.wait_for_function("document.querySelector('#kept-line')?.innerText.includes('read for the answer')")
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2 && document.querySelector('.lens-veil').width > 1")


def colours(page):
    """Per reason the colours of its patches, as drawn now."""
    found = {}
    for reason, colour in page.evaluate(PATCHES):
        found.setdefault(reason, set()).add(colour)
    return found


def told(page):
    """What is said of each patch of the film's upper quarter under the pointer; on the middle lies the button that plays it."""
    page.locator(".lens-veil").scroll_into_view_if_needed()
    box, (_, rows, columns) = page.locator(".lens-veil").bounding_box(), page.evaluate(f"{LENS}.clip.grid")
    row, said = rows // 4, []
    for column in range(columns):
        page.mouse.move(box["x"] + (column + 0.5) * box["width"] / columns, box["y"] + (row + 0.5) * box["height"] / rows)
        two_frames(page)  # what the pointer does is told to the page once a frame
        said.append(page.locator(".lens-patch").inner_text())
    return said, [reason for reason, _ in page.evaluate(PATCHES)][row * columns :][:columns]


def legend(page):
    return page.locator(".lens-legend li").all_inner_texts()


def test_what_was_never_looked_at_has_its_own_colour_and_words(page):
    page.locator("button[data-view=reason]").click()
    drawn = colours(page)
    assert set(drawn) == {KEPT, UNSEEN}, "alone, it encodes what it keeps"
    assert all(len(own) == 1 for own in drawn.values()) and drawn[KEPT] != drawn[UNSEEN]
    named = wording.LENS["legend"]
    assert legend(page) == [named["method score"], named["unseen"]]
    said, reasons = told(page)
    words_of = {KEPT: wording.LENS["kept_because"].format(why=named["method score"]), UNSEEN: named["unseen"]}
    assert said == [words_of[reason] for reason in reasons] and len(set(said)) == 2
    page.locator("button[data-view=kept]").click()
    assert legend(page) == [named["kept"], named["unseen"]], "nothing was dropped that had been looked at"


def milliseconds(text):
    value, unit = re.match(r"([\d.]+) (ms|s|min)", text).groups()
    return float(value) * {"ms": 1, "s": 1000, "min": 60_000}[unit]


def test_its_looking_and_listening_is_a_row_of_its_own_in_the_costs(page):
    table = {
        row.locator("th").first.inner_text().split("\n")[0]: row.locator("td").all_inner_texts()
        for row in page.locator("#costs tbody tr").all()
    }
    with page.expect_download() as download:
        page.locator("#report-json").click()
    runs = json.loads(download.value.path().read_bytes())["runs"]
    own = [run["timing"]["encode_ms"] for run in runs]
    assert own[1] < own[0], "a third of the picture"
    shown = table[wording.COST_ENCODING[0]]
    assert [milliseconds(text) for text in shown[:2]] == pytest.approx(own, rel=0.01) and shown[2].endswith("faster")
    counted = table[wording.COST_FIRST_ENCODED[0]]
    assert [milliseconds(text) for text in counted[:2]] == pytest.approx([run["timing"]["ttft_encoded_ms"] for run in runs], rel=0.01)
    shot(page, "glance")


def test_of_two_stages_what_the_second_dropped_was_looked_at(page):
    page.get_by_label("custom", exact=True).check()
    page.locator("#advanced > button").click()
    share = page.locator("#option-glance-encode_share input[type=number]")
    share.wait_for(state="visible")
    share.fill("0.7")
    share.press("Enter")
    page.wait_for_function(f"{LENS}.maps[0].drops")
    compare(page)
    page.locator("button[data-view=reason]").click()
    drawn, named = colours(page), wording.LENS["legend"]
    assert set(drawn) == {KEPT, DROPPED, UNSEEN} and len(set().union(*drawn.values())) == 3
    assert legend(page) == [named["method score"], named["unseen"], named["looked"]]
    said, reasons = told(page)
    assert {text for text, reason in zip(said, reasons, strict=True) if reason == DROPPED} == {named["looked"]}
    page.locator("button[data-view=dropped]").click()
    assert legend(page)[0] == named["lost"]
    page.locator("#charts > button").click()
    page.wait_for_function("document.querySelector('#reasons')?.innerText.includes('looked at, then dropped')")
    shot(page, "glance-two-stages")
    assert page.complaints == [] and page.hosts == {"127.0.0.1"}
