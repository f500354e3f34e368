"""A server as it is started and stopped by a container: what it says, what it leaves on the disk, how soon it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import httpx
import pytest
from clips import make_clip
from gradio import networking
from gradio_client import Client, handle_file
from served import free_port

from omnizip.settings import Settings
from ui import serving, words
from ui.model_host import ModelHost
from ui.page import build_page, launch_options

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
AS_FIRST = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]  # its child is process 1


def can_be_first():
    try:
        return subprocess.run([*AS_FIRST, "true"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def start(folder, *flags, before=()):
    """A server whose files go to `folder`, once it answers: the process and its address."""
    port = free_port()
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    environment.pop("GRADIO_TEMP_DIR", None)
    command = [*before, sys.executable, "app.py", "--port", str(port), *flags]
    with (folder.parent / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}config", timeout=2).close()
            return server, address
        except OSError:
            assert server.poll() is None, (folder.parent / "server.log").read_text()
            time.sleep(0.25)
    raise AssertionError("it never answered")


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def visitors(folder):
    """Files that came after the page was up: not the lock, nor the examples the page shows."""
    return [name for name in left(folder) if not name.endswith("/lock")]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


@pytest.mark.parametrize("first", [False, True], ids=["a process", "process 1"])
def test_a_server_told_to_stop_ends_answers_with_a_sentence_and_leaves_nothing(folder, tmp_path, first):
    if first and not can_be_first():
        pytest.skip("this machine gives no process namespaces")
    server, address = start(folder, "--max-new-tokens", "100000", before=AS_FIRST if first else ())
    try:
        client = Client(address, verbose=False)
        clip = make_clip(tmp_path / "clip.mp4", seconds=4)
        deadline = time.monotonic() + 120
        while "being loaded" in json.dumps(httpx.get(f"{address}config").json()) and time.monotonic() < deadline:
            time.sleep(0.5)
        job = client.submit(video=handle_file(str(clip)), question="Describe the clip.", api_name="/compare")
        job_ends = []
        threading.Thread(target=lambda: job_ends.append(job.exception(60)), daemon=True).start()
        while not job.outputs() and not job.done() and time.monotonic() < deadline:
            time.sleep(0.1)
        target = server.pid
        if first:
            target = int(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0])
        os.kill(target, signal.SIGTERM)
        server.wait(60)
        assert server.returncode == 0
        assert left(folder) == []
        while not job_ends and time.monotonic() < deadline:
            time.sleep(0.1)
        assert job_ends
        if job_ends[0] is not None:  # an answer that was done by then is one, too
            assert words.SERVER_STOPS in str(job_ends[0])
    finally:
        server.kill()
        server.wait(10)


def test_all_that_stopping_waits_for_ends_before_docker_kills():
    assert serving.ENDING_S + serving.HEARING_S + serving.CLOSING_S < 10


def test_the_sentence_on_the_page_is_true_of_the_disk(folder, tmp_path):
    """Uploads and results are deleted within twice the time set: an upload, its report, its playable copy, what was cut."""
    server, address = start(folder, "--keep-files-s", "4", "--max-new-tokens", "4")
    try:
        time.sleep(1)
        shown = visitors(folder)
        clip = make_clip(tmp_path / "clip.mp4", seconds=1)
        httpx.post(f"{address}gradio_api/upload", files={"files": ("sent.mp4", clip.read_bytes())}).raise_for_status()
        run = next(folder.glob("omnizip-run-*"))
        for name in ("tmpcut", "clip-windows.csv", "deep/clip-report.json", "deep/clip-copy.mp4"):
            (run / name).parent.mkdir(exist_ok=True)
            (run / name).write_text("x")
        assert len(visitors(folder)) >= len(shown) + 5
        deadline = time.monotonic() + 60
        while set(visitors(folder)) - set(shown) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert set(visitors(folder)) <= set(shown)
        server.kill()  # nobody tidies up
        server.wait(10)
        assert left(folder)
        server, _ = start(folder)
        assert len(list(folder.glob("omnizip-run-*"))) == 1
    finally:
        server.kill()
        server.wait(10)


def says(*flags):
    ended = subprocess.run([sys.executable, "app.py", *flags], cwd=ROOT, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stderr.strip().splitlines()


def test_a_port_that_is_taken_or_is_none_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, lines = says("--port", str(taken.getsockname()[1]))
    assert status == 2 and len(lines) == 1 and "cannot listen" in lines[0] and "--port" in lines[0]
    status, lines = says("--port", "99999")
    assert status == 2 and lines == ["port is 99999; it must be at most 65535."]


def test_a_page_that_cannot_ask_for_itself_is_up_all_the_same(monkeypatch):
    monkeypatch.setattr(networking, "url_ok", lambda url: False)  # so it ends on a busy machine after three seconds
    settings = Settings(port=0)
    page = build_page(ModelHost(settings))
    page.launch(**{**launch_options(settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    assert httpx.get(page.local_url).status_code == 200
    page.close()
