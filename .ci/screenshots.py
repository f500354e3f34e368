"""Take the documentation's pictures from the real page: `python .ci/screenshots.py`, needs Debian's chromium and playwright."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "assets" / "screenshots"
BOTH = "document.querySelector('#difference .oz-hint') && document.querySelectorAll('#costs .oz-gain').length > 5"
SPAN = "name => (({top, bottom}) => [top + scrollY, bottom + scrollY])(document.querySelector(name).getBoundingClientRect())"
HEADING = 154  # pixels of what stands over the lens on a phone
METHODS = {"Random", "OmniZip", "OmniSIFT", "OmniRefine", "EVS", "FastV", "PyramidDrop", "SEATS"}
VIEWS = {
    "page": ({"width": 1360, "height": 900}, "light"),
    "dark": ({"width": 1360, "height": 1180}, "dark"),
    "phone": ({"width": 390, "height": 844}, "light"),
}


def save(page: Page, path: Path, first: float, last: float) -> None:
    """The page from one height to another, in few colours."""
    area = {"x": 0, "y": first, "width": page.viewport_size["width"], "height": last - first}
    page.screenshot(path=path, full_page=True, clip=area)
    Image.open(path).convert("RGB").quantize(256, kmeans=2).save(path, optimize=True)


def methods(page: Page) -> None:
    """Several methods on the clip that is open, side by side."""
    page.wait_for_function("document.querySelector('#conditions')?.innerText.includes('built in')")
    page.locator("#methods > button").click()
    for box in page.locator("#methods-names label").all():
        box.locator("input").set_checked(box.inner_text().strip() in METHODS)
    page.locator("#methods-shares").get_by_label("25 %", exact=True).check()
    page.locator("#methods-shares").get_by_label("45 %", exact=True).uncheck()
    page.locator("#methods-run").click()
    page.wait_for_selector("#methods-frame img", timeout=240_000)
    page.wait_for_function("document.querySelector('#methods-status').innerText.includes('Done')")
    page.wait_for_timeout(2000)
    first = page.evaluate(SPAN, "#methods-status")[0]
    save(page, OUT / "methods.png", first - 8, page.evaluate(SPAN, "#methods")[1] + 12)


def main() -> None:
    """Start the page and save one picture per view of what it shows first, and one of several methods."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMNIZIP_MAX_NEW_TOKENS": "32"}
    server = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=environment)
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        with sync_playwright() as playwright:
            options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=options)
            for name, (viewport, theme) in VIEWS.items():
                page = browser.new_page(viewport=viewport)
                page.set_default_timeout(120_000)
                page.goto(f"http://127.0.0.1:{port}/?__theme={theme}")
                page.wait_for_selector("#headline .oz-headline")
                page.wait_for_function(BOTH)
                page.add_style_tag(content="#actions { position: static !important; }")  # a picture of all has no place that it follows
                page.locator(".oz-hints button").click()
                page.wait_for_timeout(3000)  # for the film, figures and fonts to settle
                path = OUT / f"{name}.png"
                above, below = page.evaluate(SPAN, "#lens")
                first = above - HEADING if name == "phone" else 0  # of the phone's long page, what was kept
                last = viewport["height"] if name == "page" else below + 12  # one screen; of the others what follows is left out
                save(page, path, first, last)
                if name == "page":
                    methods(page)
                page.close()
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
