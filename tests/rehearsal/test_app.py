"""The page as people start it with a model of the hub, which a hub on this machine stands for."""

import re
import threading

import pytest
from browsing import BOTH, opened, upload
from gradio_client import Client, handle_file
from hub import REPO, until
from served import free_port, served

from omnizip.model import download
from omnizip.settings import Settings
from ui.model_bar import describe_model
from ui.model_host import EMBEDDED, ModelHost

FIRST, LAST = (f"model-0000{i}-of-00003.safetensors" for i in (1, 3))
ASKED_TWICE = "document.querySelectorAll('#answer-compressed .oz-asked').length == 2 && !document.querySelector('.oz-now')"


def test_another_choice_sets_a_download_aside_and_the_choice_back_goes_on_with_it(hub, cache):
    hub.faults.hold = threading.Event()
    host = ModelHost(Settings(model=REPO, device="cpu"))
    loading_thread = host.start()
    until(lambda: host.state.stage == "download" and (host.state.fraction or 0) > 0.1, 60)
    assert "Downloading Qwen2.5-Omni-3B" in describe_model(host) and "width:" in describe_model(host)
    switching = threading.Thread(target=host.load, args=(EMBEDDED,))
    switching.start()
    until(lambda: host._chosen == EMBEDDED, 10)
    hub.faults.hold.set()
    switching.join(60)
    loading_thread.join(10)
    assert host.conditions.embedded and host.state.name == EMBEDDED and not host.state.problem
    assert download.complete_snapshot(REPO) is None
    hub.faults.hold = None
    hub.forget()
    host.load(REPO)
    assert not host.conditions.embedded and hub.starts[FIRST][0] > 0


@pytest.fixture
def page_at(hub, cache, tmp_path):
    """Starts `app.py --model` with the hub's checkpoint; gives the page's address."""

    def started(**more):
        port = free_port()
        environment = hub.environment(cache, OMNIZIP_MAX_NEW_TOKENS="12", **more)
        flags = ["--port", str(port), "--model", REPO, "--device", "cpu"]
        return served(tmp_path, environment, *flags, address=f"http://127.0.0.1:{port}/")

    return started


def model_line(page):
    return page.locator("#conditions").inner_text()


def choose_model(page, label):
    page.locator("#model input").click()
    page.get_by_role("option", name=label, exact=True).click()


@pytest.mark.browser
def test_from_an_empty_cache_to_answers_and_other_models(hub, cache, page_at, browser, clip):
    hub.faults.hold = threading.Event()
    with page_at() as url:
        page = opened(browser, url)
        page.wait_for_function("document.querySelector('#conditions').innerText.includes('Downloading Qwen2.5-Omni-3B')")
        until(lambda: re.search(r"width: *[1-9]\d*(\.\d+)?%", page.locator("#conditions").inner_html()), 60)
        hub.faults.hold.set()
        page.wait_for_function("document.querySelector('#conditions').innerText.includes('memory free')")
        assert "Qwen2.5-Omni-3B" in model_line(page)
        assert hub.bytes_of(LAST) == hub.bytes_of("spk_dict.pt") == 0

        _, _, report = Client(url, verbose=False).predict(video=handle_file(clip), question="What?", api_name="/compare")
        assert report["model"]["model"] == REPO and [run["method"] for run in report["runs"]] == ["full", "omnizip"]
        assert all(run["tokens"]["video"] > 0 for run in report["runs"])

        upload(page, clip)
        page.locator("#question textarea").fill("What is shown?")
        page.locator("#compare").click()
        page.wait_for_function(BOTH)
        page.locator("#follow-up textarea").fill("And what is heard?")
        page.locator("#ask-on").click()
        page.wait_for_function(ASKED_TWICE)
        page.wait_for_function(BOTH)

        hub.forget()
        choose_model(page, "the small built-in model")
        page.wait_for_function("document.querySelector('#conditions').innerText.includes('one little world')")
        choose_model(page, "Qwen2.5-Omni-3B")
        page.wait_for_function("!document.querySelector('#conditions').innerText.includes('one little world')")
        page.wait_for_function("document.querySelector('#conditions').innerText.includes('memory free')")
        assert "Qwen2.5-Omni-3B" in model_line(page) and hub.sent == {}, "it comes from the cache"
        page.locator("#question textarea").fill("What is shown now?")
        page.locator("#compare").click()
        page.wait_for_function(BOTH)
        assert page.complaints == []
        page.close()


@pytest.mark.browser
def test_without_a_network_and_a_cache_the_page_says_why_and_works(page_at, browser, clip):
    with page_at(HF_ENDPOINT="http://127.0.0.1:9") as url:
        page = opened(browser, url)
        page.wait_for_function("document.querySelector('#conditions').innerText.includes('cannot be reached')")
        said = model_line(page)
        assert "check the network, or give a folder" in said and "Choose another model" in said and "Traceback" not in said
        choose_model(page, "the small built-in model")
        page.wait_for_function("document.querySelector('#conditions').innerText.includes('one little world')")
        assert Client(url, verbose=False).predict(video=handle_file(clip), question="What?", api_name="/compare")[2]["runs"]
        page.close()
