"""The folder of one run of a server: swept by age, locked while it lives, removed after it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ui.run_folder import NAME, SHOWN, WORK, RunFolder, remove_left

ROOT = Path(__file__).resolve().parents[2]
HOLD = "import sys, time; from pathlib import Path; from ui.run_folder import RunFolder; "
HOLD += "print(RunFolder(60, Path(sys.argv[1])).path, flush=True); time.sleep(60)"


def test_files_go_by_the_time_they_came_whatever_time_a_copy_bears(tmp_path, monkeypatch):
    folder = RunFolder(100, tmp_path)
    shown = folder.path / "example.mp4"
    shown.write_text("x")
    folder.start()
    old = tmp_path / "original.mp4"
    old.write_text("x")
    os.utime(old, (1, 1))
    (folder.path / "deep" / "er").mkdir(parents=True)
    for name in ("report.json", "windows.csv", "deep/er/clip-copy.mp4", "tmpcut"):
        shutil.copy2(old, folder.path / name)
    folder.sweep()
    assert len(list(folder.path.rglob("*.*"))) == 4 and (folder.path / "tmpcut").exists(), "they came just now"
    monkeypatch.setattr("ui.run_folder.time", lambda: time.time() + 101)
    folder.sweep()
    assert [path.name for path in sorted(folder.path.iterdir())] == ["example.mp4", "lock"]
    folder.close()
    assert not folder.path.exists() and old.exists()


def test_a_killed_servers_folder_is_removed_by_the_next_and_a_living_ones_is_not(tmp_path):
    servers = [subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        dead, living = (Path(server.stdout.readline().strip()) for server in servers)
        for folder in (dead, living):
            (folder / "upload.mp4").write_text("x")
        servers[0].send_signal(signal.SIGKILL)
        servers[0].wait(10)
        other = tmp_path / f"{NAME}x"  # of a server that is about to lock it
        other.mkdir()
        remove_left(tmp_path)
        assert not dead.exists() and (living / "upload.mp4").exists() and other.exists()
    finally:
        for server in servers:
            server.kill()
            server.wait(10)
            server.stdout.close()


@pytest.fixture
def used(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = RunFolder(60)
    folder.use()
    yield folder
    folder.close()


def test_gradio_and_every_temporary_file_go_there(used, tmp_path):
    assert used.path.parent == tmp_path and Path(tempfile.mkstemp()[1]).parent == used.path / WORK
    from gradio.utils import get_upload_folder

    assert get_upload_folder() == str(used.path / SHOWN)


def test_what_is_shown_outlives_the_folder_it_was_made_in(used):
    """Gradio copies a result unless it lies in gradio's own folder, and a handler removes what it made."""
    import gradio as gr
    from gradio.processing_utils import move_files_to_cache

    with gr.Blocks():
        shown = gr.File()
    with tempfile.TemporaryDirectory() as made:
        result = Path(made) / "report.json"
        result.write_text("{}")
        value = move_files_to_cache(shown.postprocess(str(result)).model_dump(), shown, postprocess=True)
    assert Path(value["path"]).read_text() == "{}" and Path(value["path"]).is_relative_to(used.path / SHOWN)


def test_its_two_rooms_stay_when_they_are_empty_and_old(used, monkeypatch):
    monkeypatch.setattr("ui.run_folder.time", lambda: time.time() + 1000)
    used.sweep()
    assert (used.path / SHOWN).is_dir() and (used.path / WORK).is_dir()
