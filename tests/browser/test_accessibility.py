"""axe-core looks at the page: nothing serious on what is shown first, after an answer, unfolded, by night and on a phone."""

import pytest
from browsing import BOTH, PHONE, opened, serious_violations

from ui import words

pytestmark = pytest.mark.browser

LAPTOP = {"width": 1360, "height": 900}


def check(page):
    assert serious_violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_what_is_shown_first_and_what_an_answer_brings(browser, url, size, theme):
    page = opened(browser, f"{url}?__theme={theme}", size)
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    check(page)
    page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('built in')")
    page.locator("#examples button").nth(1).click()
    page.wait_for_selector("#headline .oz-empty")
    check(page)
    page.locator("#compare").click()
    page.wait_for_function(BOTH)
    for part in ("#advanced", "#charts", "#methods"):
        page.locator(f"{part} > button").click()
    page.wait_for_selector("#chart .js-plotly-plot .bars")
    check(page)
    page.close()


@pytest.mark.parametrize(("size", "theme"), [(LAPTOP, "light"), (LAPTOP, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_what_the_sound_changed(browser, url, size, theme):
    page = opened(browser, f"{url}?__theme={theme}", size)
    page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('built in')")
    page.get_by_role("button", name=words.SOUND_ASK).click()
    page.wait_for_function("document.querySelector('#difference')?.innerText.includes('Read with sound')")
    page.wait_for_selector("#compare:not([disabled])")
    page.locator("#costs summary").wait_for(state="visible")
    check(page)
    page.close()
