"""The page as a Space starts it: its environment variables, its command, an answer over the network."""

import os
import re
import time
from pathlib import Path

import httpx
import pytest
from clips import make_clip
from gradio_client import Client, handle_file
from served import free_port, served

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent
SPACE = {
    "SYSTEM": "spaces",
    "SPACE_ID": "someone/omnizip",
    "SPACE_HOST": "someone-omnizip.hf.space",
    "SPACE_AUTHOR_NAME": "someone",
    "SPACE_REPO_NAME": "omnizip",
    "SPACE_TITLE": "OmniZip",
    "SPACE_CREATOR_USER_ID": "0123456789abcdef",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_ALLOW_FLAGGING": "never",
    "GRADIO_CACHE_EXAMPLES": "true",
    "GRADIO_THEME": "huggingface",
    "HF_HUB_OFFLINE": "1",  # nothing of the test may leave this machine
}
ELSEWHERE = ("SPACES_ZERO_GPU", "GRADIO_ANALYTICS_ENABLED", "GRADIO_SERVER_PORT", "OMNIZIP_HOST", "OMNIZIP_USER", "OMNIZIP_PASSWORD")
# gradio leaves event loops unclosed (its safe_get_lock); Python says so when it collects one of them whose socket went first
GRADIO_LOOPS = re.compile(
    r"^Exception ignored in: <function BaseEventLoop\.__del__.*\n(?:Traceback.*\n|  .*\n)+ValueError: .*-1$", re.MULTILINE
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    environment |= {**SPACE, "OMNIZIP_PORT": str(port), "OMNIZIP_MAX_NEW_TOKENS": "4"}
    elsewhere = f"http://127.0.0.2:{port}/"  # not the address it listens on by default
    with served(tmp_path_factory.mktemp("log"), environment, address=elsewhere, harmless=GRADIO_LOOPS) as address:
        yield address


def test_it_starts_and_answers(address, tmp_path):
    client = Client(address, verbose=False)
    clip = str(make_clip(tmp_path / "clip.mp4", seconds=2))
    for _ in range(240):  # the page is up while the model loads
        try:
            kept = client.predict(video=handle_file(clip), retention=0.35, api_name="/compress")
            break
        except Exception as problem:
            assert "still being loaded" in str(problem)
            time.sleep(0.5)
    assert kept["methods"][0]["retained"]["total"] == pytest.approx(0.35, abs=0.02)
    full, compressed, report = client.predict(video=handle_file(clip), question="What is seen?", api_name="/compare")
    assert [run["answer"] for run in report["runs"]] == [full, compressed] and report["conditions"]["embedded"]


def test_nothing_is_sent_or_kept_there(address):
    config = httpx.get(f"{address}config", timeout=60).json()
    assert config["space_id"] == SPACE["SPACE_ID"] and not config["analytics_enabled"] and not config["run_history"]
