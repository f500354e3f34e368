"""What the browser tests share: opening the page, uploading, looking.

Screenshots go to $OMNIZIP_SCREENSHOTS, by default screenshots/ (not in the repository).
"""

import os
import re
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
SHOTS = Path(os.environ.get("OMNIZIP_SCREENSHOTS", ROOT / "screenshots"))
DESK, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
HARMLESS = re.compile(r"Method not implemented|ERR_ABORTED|status of 422")  # what gradio itself leaves in the console
BOTH = "document.querySelector('#difference .oz-hint') && document.querySelectorAll('#costs .oz-gain').length > 5"


@contextmanager
def chromium():
    """Debian's chromium, headless."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=options)
        yield browser
        browser.close()


def opened(browser, url, viewport=DESK):
    page = browser.new_page(**({"viewport": viewport} if viewport else {}))
    page.complaints, page.hosts = [], set()
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" and not HARMLESS.search(m.text) else None)
    page.on("pageerror", lambda e: page.complaints.append(str(e)))
    page.on("request", lambda r: page.hosts.add(r.url.split("/")[2].split(":")[0]) if r.url.startswith("http") else None)
    page.set_default_timeout(60_000)
    page.goto(url)
    page.wait_for_selector("#compare")
    page.wait_for_selector("#headline .oz-headline")
    return page


def clear(page):
    """Take the clip away, and with it what the page shows of it."""
    button = page.locator("#clip button[aria-label=Clear]")
    if button.count():
        button.click()
        page.wait_for_selector("#clip video", state="detached")
        page.wait_for_selector("#headline .oz-empty")


def upload(page, path):
    clear(page)
    page.locator("#clip input[type=file]").set_input_files(path)
    page.wait_for_selector("#clip video")


def shot(page, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.evaluate("document.fonts.ready")
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    two_frames(page)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def two_frames(page):
    """Wait until the browser has drawn twice: whatever waited for a frame has had it."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def fits(page):
    """Wait until the page, after a change of its window, cannot be scrolled sideways."""
    page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")


def given(page, path):
    """Give a file that browsers may not play, and wait until the page has it."""
    page.locator("#clip input[type=file]").set_input_files(path)
    page.wait_for_selector("#clip video", state="attached")


def wide(page):
    """How far the page can be scrolled sideways, pixels."""
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def kept_line(page):
    return page.locator("#kept-line").inner_text()


def serious_violations(page):
    """What axe-core finds that keeps somebody from using the page; text too faint to read is that."""
    from axe_playwright_python.sync_playwright import Axe

    # A button that has just come free is on its way from faint to full colour
    page.wait_for_function("document.getAnimations().every((one) => !(one instanceof CSSTransition) || one.playState !== 'running')")
    found = Axe().run(page).response
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}, "it has looked"
    return [
        (rule["id"], node["target"], node["html"][:120])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
