"""The lens in a real browser, on the page and in the report: what is drawn is read back and compared with the decision."""

import base64
import json
import re
from urllib.parse import parse_qsl

import numpy as np
import pytest
from browsing import BOTH, DESK, PHONE, clear, fits, given, opened, shot, upload, wide
from clips import hevc, make_clip, thirty_seconds
from playwright.sync_api import expect

from omnizip.cli.main import main

pytestmark = pytest.mark.browser
ALPHAS = """() => {
  const veil = document.querySelector('.lens-veil');
  const [, rows, columns] = window.lensGrid;
  const data = veil.getContext('2d').getImageData(0, 0, veil.width, veil.height).data;
  const exact = [], edges = (length, n) => Array.from({length: n + 1}, (_, i) => Math.round(i * length / n));
  const [x, y] = [edges(veil.width, columns), edges(veil.height, rows)];
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
    const seen = new Set();
    for (let j = y[r]; j < y[r + 1]; j++) for (let i = x[c]; i < x[c + 1]; i++) {
      const at = 4 * (j * veil.width + i);
      seen.add([...data.slice(at, at + 4)].join());
    }
    exact.push([...seen]);
  }
  return exact;
}"""
STATE = """() => {
  const {clip, maps} = document.querySelector('.lens').parentElement.lens.state;
  return JSON.stringify({grid: clip.grid, keep: maps.map((map) => [...map.keep])});
}"""
TINTS = {"both": (255, 255, 255), "a": (0, 114, 178), "b": (213, 94, 0), "neither": (8, 11, 16)}


def bits(text, n):
    """(n,) whole numbers 0 or 1 of one packed bit set, by other means than the page's."""
    whole = int.from_bytes(base64.b64decode(text), "little")
    return np.array([whole >> i & 1 for i in range(n)])


def unpacked(packed):
    """(V,) bool: which patches a packed map keeps."""
    return bits(packed["video"]["keep"], packed["video"]["tokens"]).astype(bool)


def patches(page):
    """One colour per patch of the veil; every patch has one."""
    cells = page.evaluate(ALPHAS)
    assert all(len(cell) == 1 for cell in cells), "a patch's pixels share one colour, up to its very edge"
    return [tuple(map(int, cell[0].split(","))) for cell in cells]


def go(page, time_s, step):
    page.evaluate("t => { document.querySelector('.lens-video').currentTime = t }", time_s)
    page.wait_for_function("s => +document.querySelector('.lens').parentElement.dataset.step === s", arg=step)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of the 30-s clip at 1280 x 720 with four methods, through the command line."""
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    flags = ["--method", "omnizip", "--method", "random", "--method", "glance", "--max-new-tokens", "8", "--quiet", "--temporal", "fold"]
    film = str(thirty_seconds(folder))
    assert main(["compare", film, "--question", "What is shown?", *flags, "--report", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def opened_report(browser, report):
    context = browser.new_context(offline=True, viewport=DESK)
    page = context.new_page()
    page.complaints, page.hosts = [], set()
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: page.complaints.append(str(e)))
    page.on("request", lambda r: page.hosts.add(r.url) if r.url.startswith("http") else None)
    page.goto(report.as_uri())
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    data = json.loads(re.search(r'id="lens-data">(.*?)</script>', report.read_text("utf-8"), re.S).group(1))
    page.grid = data["clip"]["grid"]
    page.maps = data["maps"]
    page.evaluate("grid => { window.lensGrid = grid }", page.grid)
    yield page
    context.close()


def test_the_report_is_small_opens_offline_and_plays(opened_report, report):
    page = opened_report
    assert report.stat().st_size < 15_000_000
    page.locator(".lens-play").click()
    page.wait_for_function("document.querySelector('.lens-video')?.currentTime > 1.2")
    assert page.evaluate("document.querySelector('.lens-video').webkitAudioDecodedByteCount") > 0
    assert page.evaluate("+document.querySelector('.lens').parentElement.dataset.step") >= 1, "the veil follows"
    page.locator(".lens-play").click()
    shot(page, "report")


@pytest.mark.parametrize("step", [0, 7, 29])
def test_the_veil_is_the_keep_mask(opened_report, step):
    page = opened_report
    page.locator("button[data-view=kept]").click()
    go(page, step + 0.4, step)
    per_step = page.grid[1] * page.grid[2]
    keep = unpacked(page.maps[0])[step * per_step :][:per_step]
    assert 0 < keep.sum() < per_step
    assert [alpha == 0 for *_, alpha in patches(page)] == keep.tolist()
    page.locator("button[data-view=dropped]").click()
    assert [alpha == 0 for *_, alpha in patches(page)] == (~keep).tolist()
    page.locator("button[data-view=kept]").click()


def test_two_methods_differ_as_computed(opened_report):
    page = opened_report
    page.locator("select.lens-b").select_option("1")
    go(page, 12.5, 12)
    per_step = page.grid[1] * page.grid[2]
    a, b = (unpacked(packed)[12 * per_step :][:per_step] for packed in page.maps[:2])
    expected = np.where(a & b, "both", np.where(a, "a", np.where(b, "b", "neither")))
    assert len(set(expected)) == 4
    nearest = [min(TINTS, key=lambda name: sum((p - q) ** 2 for p, q in zip(c[:3], TINTS[name], strict=True))) for c in patches(page)]
    assert nearest == expected.tolist()
    shot(page, "report-versus")
    page.locator("select.lens-b").select_option("-1")


def test_reasons_and_folds_are_shown(opened_report):
    page = opened_report
    go(page, 2.5, 2)
    page.locator("button[data-view=folded]").click()
    assert "No patch was folded" not in page.locator(".lens-note").inner_text()
    page.locator("button[data-view=reason]").click()
    per_step = page.grid[1] * page.grid[2]
    planes = [2**i * bits(plane, page.maps[0]["video"]["tokens"]) for i, plane in enumerate(page.maps[0]["video"]["reason"])]
    reasons = sum(planes)[2 * per_step :][:per_step]
    pairs = set(zip(patches(page), reasons.tolist(), strict=True))
    assert len(pairs) == len(set(reasons.tolist())) >= 2, "one colour per reason"
    page.locator("button[data-view=kept]").click()


def test_what_was_never_looked_at_has_a_colour_of_its_own(opened_report):
    page = opened_report
    page.locator("select.lens-a").select_option("2")
    page.locator("button[data-view=reason]").click()
    go(page, 5.5, 5)
    per_step, video = page.grid[1] * page.grid[2], page.maps[2]["video"]
    reasons = sum(2**i * bits(plane, video["tokens"]) for i, plane in enumerate(video["reason"]))[5 * per_step :][:per_step]
    assert set(reasons.tolist()) == {5, 8}
    colours = {reason: {c for c, r in zip(patches(page), reasons.tolist(), strict=True) if r == reason} for reason in (5, 8)}
    assert len(colours[5]) == len(colours[8]) == 1 and colours[5] != colours[8]
    legend = page.locator(".lens-legend").inner_text()
    assert "never looked at" in legend and "dropped" not in legend
    shot(page, "report-unseen")
    page.locator("button[data-view=kept]").click()
    page.locator("select.lens-a").select_option("0")


def test_a_click_seeks_and_keys_step(opened_report):
    page = opened_report
    page.locator(".lens-time").scroll_into_view_if_needed()
    box = page.locator(".lens-time").bounding_box()
    left, inner = 172, box["width"] - 172 - 14
    for second in (4.5, 21.0):
        page.mouse.click(box["x"] + left + inner * second / 30, box["y"] + 100)
        assert page.evaluate("document.querySelector('.lens-video').currentTime") == pytest.approx(second, abs=0.1)
        page.wait_for_function("s => +document.querySelector('.lens').parentElement.dataset.step === s", arg=int(second))
    page.locator(".lens-time").press("ArrowRight")
    assert page.evaluate("document.querySelector('.lens-video').currentTime") == pytest.approx(22, abs=0.1)
    said = page.locator(".lens-live").inner_text()
    assert said.startswith("Window 12, 22–24 s") and "rho 0." in said and said == page.locator(".lens-time").get_attribute("aria-valuetext")
    page.locator(".lens-time").press("Home")
    assert page.evaluate("document.querySelector('.lens-video').currentTime") == 0
    page.mouse.move(box["x"] + left + inner * 0.5, box["y"] + 60)
    assert "Window 8" in page.locator(".lens-tip").inner_text() and "ρ" in page.locator(".lens-tip").inner_text()


def test_a_picture_of_the_view_can_be_saved(opened_report):
    with opened_report.expect_download() as download:
        opened_report.locator(".lens-png").click()
    data = download.value.path().read_bytes()
    assert download.value.suggested_filename.endswith(".png") and data[:4] == b"\x89PNG" and len(data) > 20_000


def test_the_report_fits_a_phone_and_complained_of_nothing(opened_report):
    page = opened_report
    page.set_viewport_size(PHONE)
    fits(page)
    page.evaluate("document.body.classList.add('dark')")
    shot(page, "report-phone-dark")
    page.evaluate("document.body.classList.remove('dark')")
    page.set_viewport_size(DESK)
    assert page.complaints == [] and page.hosts == set()


@pytest.fixture(scope="module")
def minute(browser, url, tmp_path_factory):
    """The page with both answers about a clip of a minute."""
    page = opened(browser, url)
    upload(page, str(make_clip(tmp_path_factory.mktemp("minute") / "minute.mp4", seconds=60, size=(640, 360), fps=10)))
    page.locator("#question textarea").fill("What is shown?")
    page.locator("#compare").click()
    page.wait_for_function(BOTH)
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    yield page
    page.close()


def test_sliders_reach_the_lens_while_it_plays(minute):
    """The map of a minute follows every move of the slider, and the film goes on meanwhile; how fast is measured, not tested."""
    page = minute
    before = page.evaluate("document.querySelector('.lens').parentElement.dataset.maps")
    page.get_by_label("custom", exact=True).check()
    page.wait_for_function("maps => document.querySelector('.lens').parentElement.dataset.maps !== maps", arg=before)
    page.locator("#advanced button").first.click()
    page.locator("#option-omnizip-rho_video input[type=range]").wait_for(state="visible")
    page.evaluate("document.querySelector('.lens-video').muted = true")
    page.locator(".lens-play").click()
    page.wait_for_function("document.querySelector('.lens-video')?.currentTime > 0.3")
    facts = set()
    for value in ("0.9", "0.8", "0.5", "0.7", "0.85", "0.6"):
        before = page.evaluate(
            """value => {
              const slider = document.querySelector('#option-omnizip-rho_video input[type=range]');
              const before = document.querySelector('.lens').parentElement.dataset.maps;
              slider.value = value;
              slider.dispatchEvent(new Event('input', {bubbles: true}));
              return before;
            }""",
            value,
        )
        page.wait_for_function("maps => document.querySelector('.lens').parentElement.dataset.maps !== maps", arg=before)
        facts.add(page.locator(".lens-facts").inner_text())
    assert page.evaluate("(film => !film.paused || film.ended)(document.querySelector('.lens-video'))"), "it plays on"
    assert len(facts) > 1, "every value keeps something else"
    if not page.evaluate("document.querySelector('.lens-video').paused"):
        page.locator(".lens-play").click()
    page.get_by_label("45 %", exact=True).check()


def test_another_method_can_be_laid_over(minute):
    page = minute
    assert page.locator("#lens-over").get_by_text("Lay over it").is_visible(), "the choice says what it is"
    page.locator("#lens-over input").click()
    page.get_by_role("option", name="Random").click()
    page.wait_for_selector("button[data-view=versus][aria-checked=true]")
    assert "only Random" in page.locator(".lens-legend").inner_text()
    heads = page.locator(".lens-facts").first.locator("th[scope=col]")
    (a, b) = (heads.nth(i).bounding_box() for i in (0, 1))
    assert a["x"] + a["width"] <= b["x"] + 0.5, "the two columns' heads stand apart"
    assert heads.evaluate_all("all => all.every((th) => th.scrollWidth <= th.clientWidth)"), "and within their columns"
    shot(page, "lens-versus")


def test_the_veil_on_the_page_is_the_decision_shown(minute):
    page = minute
    kept = json.loads(page.evaluate(STATE))
    page.evaluate("grid => { window.lensGrid = grid }", kept["grid"])
    per_step = kept["grid"][1] * kept["grid"][2]
    go(page, 20.4, 20)
    a, b = (np.array(keep[20 * per_step :][:per_step], dtype=bool) for keep in kept["keep"])
    said = page.locator(".lens-facts").first.inner_text()
    both = np.where(a & b, "both", np.where(a, "a", np.where(b, "b", "neither")))
    nearest = [min(TINTS, key=lambda name: sum((p - q) ** 2 for p, q in zip(c[:3], TINTS[name], strict=True))) for c in patches(page)]
    assert nearest == both.tolist()
    window = sum(kept["keep"][0][20 * per_step : 22 * per_step])
    assert f"{window} of {2 * per_step}" in said
    page.locator("button[data-view=kept]").click()
    assert [alpha == 0 for *_, alpha in patches(page)] == a.tolist()


def test_a_playing_clip_is_not_talked_over(minute):
    page = minute
    page.evaluate("document.querySelector('.lens-video').currentTime = 30")
    page.wait_for_function("document.querySelector('.lens-live')?.textContent.startsWith('Window 16')")
    page.evaluate("""() => {
      window.heard = [];
      const video = document.querySelector('.lens-video');
      const watch = new MutationObserver((all) => { if (!video.paused) all.forEach((m) => window.heard.push(m.target.nodeName)) });
      for (const node of document.querySelectorAll('.lens [aria-live], .lens output, .lens [role=status]'))
        watch.observe(node, {childList: true, characterData: true, subtree: true});
      watch.observe(document.querySelector('.lens-time'), {attributes: true, attributeFilter: ['aria-valuetext', 'aria-valuenow']});
    }""")
    page.locator(".lens-play").click()
    page.wait_for_function("document.querySelector('.lens-video')?.currentTime > 34.5")
    assert page.evaluate("window.heard.length") == 0, "two windows went by in silence"
    page.locator(".lens-time").press("ArrowRight")
    page.wait_for_function("window.heard.length > 0")
    page.locator(".lens-time").press(" ")
    page.wait_for_function("document.querySelector('.lens-video').paused")
    assert page.locator(".lens-live").inner_text().startswith(page.locator(".lens-window").inner_text()), "at rest it says where it is"


def test_the_lens_is_worked_by_keyboard_alone(minute):
    page = minute
    page.locator(".lens-play").focus()
    order = []
    for _ in range(3):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.className"))
    assert order == ["lens-png", "lens-link", "lens-time"]
    page.keyboard.press("End")
    page.wait_for_function("document.querySelector('.lens-window')?.textContent === 'Window 30'")
    page.locator("button[role=radio][aria-checked=true]").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.view") == page.locator(".lens").locator("xpath=..").get_attribute("data-view")


def test_an_upload_cannot_be_linked_and_says_so(minute):
    page = minute
    page.locator(".lens-link").click()
    assert "cannot be linked" in page.locator(".lens-said").inner_text()
    assert page.complaints == [] and page.hosts == {"127.0.0.1"}


def test_a_link_brings_the_view_back_and_touch_seeks_on_a_phone(browser, url):
    query = "example=bell&question=What+rings%3F&keep=custom&set_rho_video=0.8&over=random&view=reason&time=3.5"
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    page = opened(context, f"{url}?{query}", None)
    expect(page.locator("#answer-compressed")).not_to_contain_text("45 %", timeout=60_000)  # no longer what was computed earlier
    page.wait_for_function("document.querySelector('.lens').parentElement.lens?.state.link?.question === 'What rings?'")
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    page.wait_for_function("document.querySelector('.lens').parentElement.dataset.view === 'reason'")
    assert page.locator("#question textarea").input_value() == "What rings?"
    expect(page.locator("#kept-line")).to_contain_text("for the answer", timeout=60_000)  # until then: what it would read
    page.wait_for_function("document.querySelector('.lens-video')?.currentTime === 3.5")
    page.locator(".lens-link").tap()
    page.wait_for_function("document.querySelector('.lens').parentElement.dataset.link")
    link = page.evaluate("document.querySelector('.lens').parentElement.dataset.link")
    assert dict(parse_qsl(link.split("?")[1])) == {**dict(parse_qsl(query)), "method": "omnizip"}
    page.locator(".lens-time").scroll_into_view_if_needed()
    box = page.locator(".lens-time").bounding_box()
    page.touchscreen.tap(box["x"] + 4 + (box["width"] - 8) * 6.5 / 8, box["y"] + 100)
    page.wait_for_function("Math.abs(document.querySelector('.lens-video').currentTime - 6.5) < 0.1")
    page.wait_for_function("document.querySelector('.lens').parentElement.dataset.step === '6'")
    assert wide(page) <= 0
    shot(page, "lens-phone")
    page.evaluate("document.body.classList.add('dark')")
    shot(page, "lens-phone-dark")
    assert page.complaints == [] and page.hosts == {"127.0.0.1"}
    context.close()


@pytest.mark.parametrize("query", ["example=nope", "example=bell&set_rho_video=9", "example=bell&method=<script>", "keep=45"])
def test_a_link_of_nonsense_gives_the_page_as_it_starts(browser, url, query):
    page = opened(browser, f"{url}?{query}")
    page.wait_for_selector("#status .oz-problem")
    assert "could not be followed" in page.locator("#status").inner_text()
    assert page.locator("#clip video").get_attribute("src").endswith("bell.mp4") and page.locator("#origin .oz-hint").is_visible()
    assert page.complaints == []
    page.close()


def test_a_film_no_browser_plays_is_shown_as_a_copy(browser, url, tmp_path):
    page = opened(browser, url)
    clear(page)
    given(page, str(hevc(tmp_path)))
    page.locator("#question textarea").fill("What is shown?")
    page.locator("#compare").click()
    page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
    assert "copy" in page.locator(".lens-note").inner_text()
    page.close()
