"""The page on a Qwen3-Omni checkpoint: its family is read off the folder, and all of the page is there."""

import os

import pytest
import tiny_qwen3
from browsing import BOTH
from served import free_port, served

pytestmark = pytest.mark.browser
STATE = "() => { const {clip, maps} = document.querySelector('.lens').parentElement.lens.state; return [clip.grid, maps.length]; }"
COLOURS = """() => {
  const veil = document.querySelector('.lens-veil'), pixels = veil.getContext('2d').getImageData(0, 0, veil.width, veil.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
}"""


@pytest.mark.slow
def test_a_page_on_a_qwen3_omni_folder_compares_and_draws_the_lens(browser, tmp_path):
    folder, port = tmp_path / "tiny", free_port()
    tiny_qwen3.save_full(folder)
    limits = {"OMNIZIP_MAX_NEW_TOKENS": "8", "OMNIZIP_MAX_FRAMES": "8", "OMNIZIP_TOKENS_PER_STEP": "24"}
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **limits}
    with served(tmp_path, environment, "--port", str(port), "--model", str(folder), address=f"http://127.0.0.1:{port}/") as url:
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_default_timeout(60_000)
        page.goto(url)
        page.wait_for_selector("#headline .oz-empty")
        page.locator("#examples button").first.click()
        page.wait_for_selector("#clip video")
        page.locator("#compare").click()
        page.wait_for_function(BOTH)
        assert "of the tokens read" in page.locator("#headline").inner_text()
        page.wait_for_function("document.querySelector('.lens-video')?.readyState >= 2")
        page.wait_for_function("document.querySelector('.lens-facts tr')")
        page.wait_for_function("document.querySelector('.lens-veil')?.width > 1")
        (steps, rows, columns), maps = page.evaluate(STATE)
        assert (steps, maps) == (4, 1) and rows * columns <= 24
        assert page.evaluate(COLOURS) >= 2, "some patches are bright and some dim"
        assert complaints == []
        page.close()
