"""The page in Chinese: chosen by the browser, exchanged by a press, remembered; only what people and models wrote stays as it is."""

import json
import re
from contextlib import contextmanager

import pytest
from browsing import BOTH, PHONE, fits, serious_violations, shot, two_frames

from omnizip.report import languages
from ui import words

pytestmark = pytest.mark.browser

LAPTOP = {"width": 1360, "height": 900}
CHINESE = re.compile("[\u4e00-\u9fff]")
ENGLISH = re.compile(r"[a-z']+ [a-z']+ [a-z']+ [a-z']+")
# Every text that can be seen or heard: of elements, of their attributes, and of closed lists, save what people and models wrote
SAID = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.parentElement.closest("script, style, textarea, [translate=no]")) found.push(node.data.trim());
  }
  const value = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").get;
  for (const element of document.querySelectorAll("body *")) {
    if (element.closest("[translate=no]")) continue;
    for (const name of ["aria-label", "title", "placeholder", "alt", "aria-valuetext", "data-name"]) {
      found.push(element.getAttribute(name) ?? "");
    }
    if (element.matches("input[readonly]")) found.push(value.call(element));
  }
  return [...new Set(found)].filter(Boolean);
}"""
# Words of buttons and labels that reach beyond them
CUT_OFF = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const holder = node.parentElement.closest("button, label, legend");
    if (!/\\p{L}/u.test(node.data) || !holder || !holder.checkVisibility() || holder.closest(".oz-example")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const [words, place] = [range.getBoundingClientRect(), holder.getBoundingClientRect()];
    if (words.width > 1 && place.width > 1 && (words.left < place.left - 1 || words.right > place.right + 1)) found.push(node.data);
  }
  return found;
}"""
OWN = f"!document.querySelector('#origin .oz-hint') && {BOTH} && !document.querySelector('.oz-now, .oz-empty')"  # not the first look
ANSWERED_TWICE = "document.querySelectorAll('#answer-compressed .oz-asked').length === 2 && !document.querySelector('.oz-now, .oz-empty')"
FIRST_SEEN = "document.querySelector('.lens-facts tr') && document.querySelector('#headline .oz-headline')"


@pytest.fixture(scope="module")
def chinese():
    return languages.catalogue(next(file for file in languages.files() if file.stem == "zh"))


@contextmanager
def visit(browser, url, locale, size=LAPTOP):
    """The page in a browser of that language, as it is shown first."""
    context = browser.new_context(locale=locale, viewport=size)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.complaints, page.asked = [], []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(url)
    page.wait_for_function(FIRST_SEEN)
    yield page
    assert page.complaints == []
    context.close()


def spoken(page, code):
    page.wait_for_function("(code) => document.documentElement.lang === code", arg=code)
    page.wait_for_function(
        "(code) => document.querySelector(`[data-language='${code}']`)?.getAttribute('aria-pressed') === 'true'", arg=code
    )


def left_in_english(page, chinese):
    """What the page still says in English: what the catalogue has, and whatever reads like a sentence."""
    asked = {question for _, question in words.EXAMPLES.values()}
    said = [text for text in page.evaluate(SAID) if text not in asked]
    return [text for text in said if chinese.say(text) is not None or ENGLISH.search(text)]


def all_chinese(page, chinese):
    """The page has nothing left to translate and cuts nothing off; what is drawn anew is translated within the same frame."""
    two_frames(page)
    assert left_in_english(page, chinese) == []
    assert page.evaluate(CUT_OFF) == []
    fits(page)


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_a_chinese_browser_sees_a_chinese_page(browser, url, chinese, size):
    name = "phone" if size is PHONE else "laptop"
    with visit(browser, url, "zh-CN", size) as page:
        spoken(page, "zh-CN")
        page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('（内置）')")
        assert page.locator("#compare").inner_text() == "对比"
        assert page.locator("#answer-full .oz-said").inner_text() == "purple"
        assert page.locator("#question textarea").input_value() == words.EXAMPLES["bell.mp4"][1]
        all_chinese(page, chinese)
        shot(page, f"chinese-first-{name}")
        assert serious_violations(page) == []

        page.locator("#examples button").nth(1).click()
        page.wait_for_selector("#headline .oz-empty")
        page.locator("#question textarea").fill("")
        page.locator("#compare").click()
        page.wait_for_selector("#status .oz-problem")
        assert page.locator("#status .oz-problem").inner_text() == "请先输入问题，例如“这个片段里发生了什么？能听到什么？”"
        page.locator("#question textarea").fill(words.EXAMPLES["green-heart.mp4"][1])
        page.locator("#compare").click()
        page.wait_for_function(BOTH)
        for part in ("#advanced", "#charts", "#methods"):
            page.locator(f"{part} > button").click()
        page.wait_for_selector("#chart .js-plotly-plot .bars")
        page.locator("#methods-run").click()
        page.wait_for_selector("#methods-chart .js-plotly-plot")
        page.wait_for_selector("#methods-frame img")
        assert page.locator("#methods-table th[scope=row]").first.inner_text() == "完整模型"
        assert page.locator("#methods-status .oz-status").inner_text() == "完成。"
        all_chinese(page, chinese)
        shot(page, f"chinese-answer-{name}")
        assert serious_violations(page) == []


def test_what_is_chosen_is_remembered(browser, url, chinese):
    with visit(browser, url, "zh-CN") as page:
        spoken(page, "zh-CN")
        page.locator("[data-language=en]").click()
        spoken(page, "en")
        two_frames(page)
        assert [text for text in page.evaluate(SAID) if CHINESE.search(text)] == [], "gradio's own words, too"
        assert page.locator("#compare").inner_text() == "Compare"
        page.reload()
        page.wait_for_function(FIRST_SEEN)
        spoken(page, "en")
        assert page.locator("#compare").inner_text() == "Compare"
        page.locator("[data-language=zh-CN]").click()
        spoken(page, "zh-CN")
        page.reload()
        page.wait_for_function(FIRST_SEEN)
        spoken(page, "zh-CN")
        all_chinese(page, chinese)


def test_an_english_browser_sees_what_it_always_saw(browser, url):
    with visit(browser, url, "en-US") as page:
        assert page.evaluate("document.documentElement.lang") == "en"
        assert [text for text in page.evaluate(SAID) if CHINESE.search(text)] == []
        assert page.locator("[data-language=en]").get_attribute("aria-pressed") == "true"
        assert not any("languages" in address for address in page.asked), "no catalogue is fetched"
        page.locator("[data-language=zh-CN]").press("Enter")
        spoken(page, "zh-CN")
        assert page.locator("#compare").inner_text() == "对比"


def test_the_first_of_the_browsers_languages_that_there_is(browser, url):
    for locale, code in (("zh-TW", "zh-CN"), ("de-DE", "en")):
        with visit(browser, url, locale) as page:
            spoken(page, code)


def test_what_people_and_models_wrote_stays(browser, url):
    """Questions in words that the page itself uses."""
    with visit(browser, url, "zh-CN") as page:
        spoken(page, "zh-CN")
        page.locator("#question textarea").fill("Compare")
        page.locator("#compare").click()
        page.wait_for_function(OWN)
        page.locator("#follow-up textarea").fill("Sound")
        page.locator("#ask-on").click()
        page.wait_for_function(ANSWERED_TWICE)
        assert page.locator("#answer-full .oz-asked").all_inner_texts() == ["Compare", "Sound"]
        answers = page.locator("#answer-full .oz-said, #answer-compressed .oz-said").all_inner_texts()
        assert len(answers) == 4 and not any(CHINESE.search(answer) for answer in answers)


def test_browser_and_python_find_the_same_words(browser, url, chinese):
    """Every sentence with values in it, by both."""
    filled = [languages.PLACE.sub(lambda place: "7" if place[1] == "n" else f"Value {len(place[1])}", key) for key in chinese.sentences]
    filled += ["2.5× faster", "Random 45 %", "Done. Stopped. What is written so far stays.", "A: kept: change · B: dropped"]
    filled += ["sound, text, nothing", "No room. Sorry. So nano answers on.", "nano is empty; download the checkpoint again. Done."]
    with visit(browser, url, "zh-CN") as page:
        spoken(page, "zh-CN")
        found = page.evaluate("(texts) => texts.map((text) => window.inWords(text))", filled)
    differing = [(text, here, chinese.say(text)) for text, here in zip(filled, found, strict=True) if here != (chinese.say(text) or text)]
    assert differing == [], json.dumps(differing, ensure_ascii=False)
