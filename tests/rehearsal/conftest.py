"""A hub with a full checkpoint for the whole dress rehearsal, and an empty cache for each test."""

import os
from pathlib import Path

import pytest
from browsing import CHROMIUM, chromium
from checkpoints import full_checkpoint
from clips import make_clip
from hub import hub_serving, points_to
from huggingface_hub import constants

from omnizip.model import download, loading


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return full_checkpoint(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return full_checkpoint(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "home" / "hub"


@pytest.fixture
def hub(files, cache, monkeypatch):
    """The hub that this process asks, and a cache of its own."""
    with hub_serving(files) as hub:
        points_to(monkeypatch, hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # whatever the environment of the tests says
        monkeypatch.setattr(download, "WAITS_S", (0.02,) * 5)
        monkeypatch.setattr(download, "AGAIN_S", (0.02,))
        # Where a header cannot be read the released size counts, which is more than a machine of tests may have free
        monkeypatch.setattr(loading, "free_bytes", lambda device: 64 * 10**9)
        yield hub


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=2))


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).exists() and not os.environ.get("OMNIZIP_REQUIRE_BROWSER"):
        pytest.skip("chromium is not installed")
    with chromium() as browser:
        yield browser
