"""Several methods side by side, in a real browser: eight of them on an example in one go, and where two differ on a frame."""

import base64
import io
import re

import numpy as np
import pytest
from browsing import DESK, PHONE, ROOT, fits, opened, shot, two_frames, upload
from PIL import Image

from omnizip.engine import Arm, Engine
from omnizip.settings import Settings
from omnizip.stream import Modality

pytestmark = pytest.mark.browser

EXAMPLE = ROOT / "assets" / "examples" / "bell.mp4"
QUESTION = "What colour is the shape when the bell rings?"
EIGHT = {"random": "Random", "omnizip": "OmniZip", "omnisift": "OmniSIFT", "evs": "EVS", "fastv": "FastV", "fastav": "FastAV"}
EIGHT |= {"pyramiddrop": "PyramidDrop", "seats": "SEATS"}
SHARE = 0.25
COLUMNS = ["Asked", "Kept", "Answer", "Same as full?", "Agreement", "Tokens", "Choosing", "Reading", "Writing", "Cache"]
COLOURS = {(True, True): (0, 158, 115), (True, False): (230, 159, 0), (False, True): (86, 180, 233)}  # Okabe and Ito's


def unfold(page):
    """Open the section and wait until it can be clicked: gradio puts first values in a frame after it has shown it."""
    page.locator("#methods > button").click()
    page.wait_for_selector("#methods-shares")  # the section's content is made once it is unfolded
    page.wait_for_function("getComputedStyle(document.querySelector('#methods-shares')).pointerEvents === 'auto'")
    two_frames(page)


def tick(page, wanted):
    """Have these methods ticked and no others."""
    for box in page.locator("#methods-names label").all():
        box.locator("input").set_checked(box.inner_text().strip() in wanted)
    ticked = [box.inner_text().strip() for box in page.locator("#methods-names label", has=page.locator("input:checked")).all()]
    assert set(ticked) == wanted


def test_nothing_can_be_ticked_before_gradio_has_put_in_its_first_values(browser, url):
    """gradio does that a frame after it has shown the section, and what was ticked in between is lost; so no click gets there."""
    page = opened(browser, url)
    page.evaluate("""() => {
      const seen = (window.seen = []);
      new MutationObserver(() => {
        const box = document.querySelector('#methods-names');
        if (box && !seen.length) seen.push(getComputedStyle(box).pointerEvents);
      }).observe(document.body, {childList: true, subtree: true});
    }""")
    unfold(page)
    assert page.evaluate("window.seen") == ["none"]
    tick(page, {"OmniZip"})
    two_frames(page)
    tick(page, {"OmniZip"})
    page.close()


@pytest.fixture(scope="module")
def ran(browser, url):
    page = opened(browser, url)
    upload(page, str(EXAMPLE))
    page.locator("#question textarea").fill(QUESTION)
    unfold(page)
    tick(page, set(EIGHT.values()))
    page.locator("#methods-shares").get_by_label("25 %", exact=True).check()
    page.locator("#methods-shares").get_by_label("45 %", exact=True).uncheck()
    page.locator("#methods-run").click()
    page.wait_for_selector("#methods-chart .points path", timeout=150_000)
    page.wait_for_selector("#methods-frame img")
    page.wait_for_function("document.querySelector('#methods-status')?.innerText.includes('Done')")
    yield page
    page.close()


def cells(page, column):
    return [cell.inner_text() for cell in page.locator(f".oz-methods td[data-name='{column}']").all()]


def test_eight_methods_in_one_go_are_eight_rows_below_the_full_models(ran):
    names = [cell.inner_text() for cell in ran.locator(".oz-methods tbody th").all()]
    assert names == ["Full model", *EIGHT.values()]
    head = [cell.inner_text().split("\n")[0] for cell in ran.locator(".oz-methods thead th").all()]
    assert head == ["Method", *COLUMNS], "memory on a CPU is called what it is"
    assert cells(ran, "Asked") == ["–"] + ["25 %"] * 8
    tokens, answers = cells(ran, "Tokens"), cells(ran, "Answer")
    assert all(int(n.replace(",", "")) < 0.6 * int(tokens[0].replace(",", "")) for n in tokens[1:])
    same = ["yes" if answer.split("\n")[0] == answers[0] else "no" for answer in answers]
    assert all(answers) and cells(ran, "Same as full?") == ["–", *same[1:]]
    for column in ("Reading", "Writing"):
        assert all(re.fullmatch(r"[\d.]+ m?s", text) for text in cells(ran, column))
    assert all(re.fullmatch(r"[\d.]+ [kM]?B", text) for text in cells(ran, "Cache"))
    assert "not measured on CPU" in ran.locator("#methods-table").inner_text()


def test_a_method_that_cannot_keep_so_little_says_so(ran):
    row = ran.locator(".oz-methods tbody tr", has_text="FastAV")
    kept = row.locator("td[data-name=Kept]").inner_text()
    assert kept != "25 %" and f"keeps {kept} of the clip on average, not the 25 % asked." in row.inner_text()
    assert "asked." not in ran.locator(".oz-methods tbody tr", has_text="OmniZip").inner_text()


def test_the_chart_has_a_point_per_run_and_units_on_both_axes(ran):
    assert ran.locator("#methods-chart .points path").count() == 9
    chart = ran.locator("#methods-chart")
    assert "GFLOPs" in chart.locator(".xtitle").text_content() and "per token" in chart.locator(".ytitle").text_content()
    assert chart.locator(".ytick text").first.text_content() == "100 %" and chart.locator(".xtick text").count() >= 3
    labels = " ".join(label.text_content() for label in chart.locator(".annotation-text").all())
    assert all(name in labels for name in ("Full model", *EIGHT.values()))


def masks(engine, method):
    """(steps, rows, columns) bool, straight from the decision."""
    keep = engine.preview(EXAMPLE, Arm(method, SHARE), QUESTION).compression
    video = (keep.stream.modality == Modality.VIDEO).nonzero().flatten()
    return keep.keep[video].view(keep.stream.grid).numpy()


def drawn(page):
    """The shown frame (H, W, 3) uint8."""
    data = page.locator("#methods-frame img").get_attribute("src").split(",", 1)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def closest(pixel):
    """Which of the three colours a patch was tinted with, None for a grey one: the tint moves it off grey in its direction."""
    off = pixel - pixel.mean()
    if np.abs(off).max() < 12:
        return None
    directions = {kind: np.array(colour) - np.mean(colour) for kind, colour in COLOURS.items()}
    return max(directions, key=lambda kind: float(off @ directions[kind] / np.linalg.norm(directions[kind])))


def check_frame(page, a, b):
    step = int(page.locator("#methods-moment input[type=number]").input_value()) - 1
    image, (rows, columns) = drawn(page), a.shape[1:]
    high, wide_ = image.shape[0] // rows, image.shape[1] // columns
    for row in range(rows):
        for column in range(columns):
            here = image[row * high + high // 4 : row * high + high * 3 // 4, column * wide_ + wide_ // 4 : column * wide_ + wide_ * 3 // 4]
            found = closest(here.reshape(-1, 3).mean(axis=0))
            kept = (bool(a[step, row, column]), bool(b[step, row, column]))
            assert found == (kept if any(kept) else None), f"patch {row}, {column} of step {step}"
    legend = page.locator(".oz-key").inner_text()
    counts = [int((x & y).sum()) for x, y in ((a[step], b[step]), (a[step], ~b[step]), (~a[step], b[step]))]
    assert [int(n) for n in re.findall(r": (\d+)", legend)] == counts and len(set(counts)) > 1


def test_the_frame_shows_the_difference_in_three_colours(ran):
    page, engine = ran, Engine.open(Settings())
    kept = {name: masks(engine, name) for name in ("omnizip", "random", "fastv")}
    swatches = page.evaluate("[...document.querySelectorAll('.oz-key i')].map(e => getComputedStyle(e).backgroundColor)")
    assert swatches == [f"rgb{colour}" for colour in COLOURS.values()]
    assert "OmniZip" in page.locator("#methods-a input").input_value() and "Random" in page.locator("#methods-b input").input_value()
    apart = (kept["omnizip"] ^ kept["random"]).sum(axis=(1, 2))
    assert int(page.locator("#methods-moment input[type=number]").input_value()) - 1 == int(apart.argmax()), (
        "it opens where they differ most"
    )
    check_frame(page, kept["omnizip"], kept["random"])
    before = page.locator("#methods-frame img").get_attribute("src")
    page.locator("#methods-moment input[type=number]").fill("2")
    page.keyboard.press("Enter")
    page.wait_for_function("s => document.querySelector('#methods-frame img').src !== s", arg=before)
    check_frame(page, kept["omnizip"], kept["random"])
    before = page.locator("#methods-frame img").get_attribute("src")
    page.locator("#methods-b input").click()
    page.get_by_role("option", name="FastV 25 %").click()
    page.wait_for_function("s => document.querySelector('#methods-frame img').src !== s", arg=before)
    check_frame(page, kept["omnizip"], kept["fastv"])


def test_it_fits_a_phone_and_reads_in_the_dark(ran):
    page = ran
    shot(page, "methods")
    page.evaluate("document.body.classList.add('dark')")
    shot(page, "methods-dark")
    ink = page.evaluate("getComputedStyle(document.querySelector('#methods-chart .annotation-text')).fill")
    assert min(map(int, re.findall(r"\d+", ink)[:3])) > 130, "the chart's ink must be light on dark"
    page.evaluate("document.body.classList.remove('dark')")
    page.set_viewport_size(PHONE)
    fits(page)
    shot(page, "methods-phone")
    page.set_viewport_size(DESK)
    assert page.complaints == []


def test_nothing_ticked_is_one_sentence(browser, url):
    page = opened(browser, url)
    upload(page, str(EXAMPLE))
    page.locator("#question textarea").fill(QUESTION)
    unfold(page)
    tick(page, set())
    page.locator("#methods-run").click()
    page.wait_for_selector("#methods-status .oz-problem")
    assert page.locator("#methods-status .oz-problem").inner_text() == "Tick at least one method and one share to keep."
    assert page.complaints == []
    page.close()
