"""The page as people start it, and Debian's chromium to look at it; without chromium these tests are skipped."""

import os
from pathlib import Path

import pytest
from browsing import CHROMIUM, chromium
from served import free_port, served


def pytest_collection_modifyitems(items):
    if not Path(CHROMIUM).exists() and not os.environ.get("OMNIZIP_REQUIRE_BROWSER"):
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason="chromium is not installed"))


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    port = free_port()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMNIZIP_MAX_CLIP_S": "60", "OMNIZIP_MAX_NEW_TOKENS": "24"}
    folder = tmp_path_factory.mktemp("log")
    with served(folder, environment, "--port", str(port), address=f"http://127.0.0.1:{port}/") as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser
