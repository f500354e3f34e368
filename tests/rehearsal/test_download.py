"""A checkpoint of the released layout, fetched from a hub on this machine that does what real servers and networks do."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny
import torch
from hub import REPO, points_to, until
from huggingface_hub import constants

from omnizip.errors import ModelError
from omnizip.model import download, loading
from omnizip.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND, LAST = (f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3))
HEADER = 100_001  # bytes huggingface_hub reads at the start of a file to see what tensors it has


def fetch(**heard):
    return loading.load(Settings(model=REPO, device="cpu"), **heard)


def is_the_tiny_model(loaded, seed=0):
    expected = tiny.model(seed).state_dict()
    got = loaded.parts.thinker.state_dict()
    return got.keys() == expected.keys() and all(torch.equal(got[name], expected[name]) for name in expected)


def refused(*parts):
    with pytest.raises(ModelError) as caught:
        fetch()
    is_one_sentence(str(caught.value), *parts)


def is_one_sentence(said, *parts):
    assert "\n" not in said and said.endswith(".") and len(said) < 450 and "Traceback" not in said, said
    for part in parts:
        assert part in said, said


def test_only_what_the_thinker_needs_is_fetched_and_only_once(hub, files):
    heard = []
    assert is_the_tiny_model(fetch(on_progress=lambda stage, fraction: heard.append((stage, fraction))))
    assert hub.bytes_of(LAST) == hub.bytes_of("spk_dict.pt") == 0, "talker and vocoder stay there"
    for name in (FIRST, SECOND):
        assert hub.starts[name] == [0] and len(files[name]) <= hub.bytes_of(name) <= len(files[name]) + HEADER
    shares = [fraction for stage, fraction in heard if stage == "download"]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1 and len(shares) > 5
    assert [stage for stage, _ in heard] == ["download"] * len(shares) + ["load"] * (len(heard) - len(shares))
    hub.forget()
    assert is_the_tiny_model(fetch())
    assert hub.sent == {} and len(hub.asked) == 1, "a later start asks for the newest commit and nothing else"


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_connection_cut_in_the_middle_is_taken_up_again(hub, files, reset):
    hub.faults.cuts, hub.faults.reset = [400_000, 50_000], reset
    assert is_the_tiny_model(fetch())
    starts = hub.starts[FIRST]
    assert len(starts) == 3 and 0 == starts[0] < starts[1] < starts[2]
    assert hub.bytes_of(FIRST) < len(files[FIRST]) + HEADER + 100_000, "not from its beginning"


def test_a_connection_that_never_lasts_ends_in_a_sentence_and_what_came_is_kept(hub, files):
    hub.faults.cuts = [200_000, *[0] * 6]
    refused("could not be fetched", "check the network")
    hub.faults.cuts.clear()
    hub.forget()
    assert is_the_tiny_model(fetch())
    assert hub.starts[FIRST][0] > 100_000


@pytest.mark.slow
def test_a_download_goes_on_where_the_program_was_ended(hub, files, cache):
    hub.faults.hold = threading.Event()
    program = (
        f"from omnizip.model import loading; from omnizip.settings import Settings; loading.load(Settings(model={REPO!r}, device='cpu'))"
    )
    running = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=hub.environment(cache), stderr=subprocess.DEVNULL)
    try:
        until(lambda: hub.starts.get(FIRST) and hub.bytes_of(FIRST) > HEADER + len(files[FIRST]) // 3, 120)
        until(lambda: any(part.stat().st_size > 100_000 for part in cache.glob("*/blobs/*.part")), 30)
    finally:
        running.kill()
        running.wait(20)
        hub.faults.hold.set()
    hub.faults.hold = None
    hub.forget()
    assert is_the_tiny_model(fetch())
    assert hub.starts[FIRST][0] > 100_000, "the program's half is not fetched again"


@pytest.mark.parametrize("where", ["/api/models", "config.json", "/content/", "/resolve/"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_recovers_is_waited_for(hub, where, status):
    hub.faults.errors = {where: [status, 2]}
    assert is_the_tiny_model(fetch())


@pytest.mark.parametrize(("where", "status"), [("/api/models", 500), ("tokenizer.json", 502), ("/content/", 503)])
def test_a_server_that_does_not_recover_is_named(hub, monkeypatch, where, status):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hub.faults.errors = {where: [status, 10**6]}
    refused("could not be fetched", f"error {status}", "try again later")


def test_a_new_commit_brings_only_what_changed(hub, files, other):
    fetch()
    hub.forget()
    hub.commit(files | {"README.md": b"Better.", SECOND: other[SECOND], "generation_config.json": b"{}"})
    loaded = fetch()
    assert set(hub.sent) == {SECOND, "generation_config.json"}
    got, old, new = loaded.parts.thinker.state_dict(), tiny.model(0).state_dict(), tiny.model(1).state_dict()
    assert not is_the_tiny_model(loaded) and all(torch.equal(got[k], old[k]) or torch.equal(got[k], new[k]) for k in got)
    hub.forget()
    fetch()
    assert hub.sent == {}


def test_a_new_commit_that_cannot_be_fetched_leaves_the_old_one(hub, other, caplog):
    fetch()
    hub.commit(other)
    hub.faults.errors = {"/content/": [503, 10**6]}
    assert is_the_tiny_model(fetch(), seed=0) and "taken from the cache" in caplog.text
    hub.faults.errors = {}
    assert is_the_tiny_model(fetch(), seed=1)


def test_a_server_that_ignores_ranges_sends_the_file_again(hub):
    hub.faults.cuts, hub.faults.ignore_range = [300_000], True
    assert is_the_tiny_model(fetch())
    assert hub.starts[FIRST] == [0, 0]


def test_a_file_put_together_wrongly_is_found_out(hub, files, cache):
    hub.faults.cuts = [0] * 6
    refused("could not be fetched")
    (part,) = cache.glob("*/blobs/*.part")
    part.write_bytes(bytes(1000))
    refused("damaged", "again")
    assert is_the_tiny_model(fetch())


def test_a_token_goes_to_the_hub_and_to_no_other_host(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    assert is_the_tiny_model(fetch()), "the other host refuses whoever sends a token"


def test_what_is_kept_in_xet_is_left_to_the_hubs_library_with_progress(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(download, "find_spec", lambda name: name)
    real = download.get_hf_file_metadata
    told = namedtuple("Told", "etag size xet_file_data")
    monkeypatch.setattr(download, "get_hf_file_metadata", lambda *a, **k: told(real(*a, **k).etag, 1, "some"))
    monkeypatch.setattr(download, "_append", lambda *_: pytest.fail("not over plain HTTP of ours"))
    heard = []
    assert is_the_tiny_model(fetch(on_progress=lambda stage, fraction: heard.append(fraction) if stage == "download" else None))
    assert heard[-1] == 1.0 and heard == sorted(heard)


def test_what_does_not_fit_the_memory_is_not_fetched(hub, files, monkeypatch):
    monkeypatch.setattr(loading, "free_bytes", lambda device: 10**6)
    refused("GB for its weights", "of memory are free")
    assert all(hub.bytes_of(name) <= HEADER for name in files)


def test_without_a_network_a_complete_cache_serves(hub, monkeypatch, caplog):
    fetch()
    points_to(monkeypatch, "http://127.0.0.1:9")
    assert is_the_tiny_model(fetch()) and "taken from the cache" in caplog.text
    caplog.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert is_the_tiny_model(fetch()) and not caplog.text, "who forbids the network knows"


def test_without_a_network_half_a_cache_is_none(hub, monkeypatch):
    hub.faults.cuts = [200_000, *[0] * 6]
    refused("could not be fetched")
    points_to(monkeypatch, "http://127.0.0.1:9")
    refused("cannot be reached", "check the network", "give a folder")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("HF_HUB_OFFLINE is set", "unset")


def test_a_name_the_hub_does_not_have(hub):
    with pytest.raises(ModelError) as caught:
        loading.load(Settings(model="somebody/else", device="cpu"))
    is_one_sentence(str(caught.value), "somebody/else", "none of that name or keeps it private", "check the name")


def test_a_token_that_is_not_good_is_named(hub):
    hub.faults.errors = {"/api/models": [403, 1]}
    refused("refuses this machine's token", "hf auth login")


def test_a_repository_without_weights(hub, files):
    hub.commit({name: data for name, data in files.items() if "model" not in name})
    refused("no weights")


def test_an_index_that_is_no_json(hub, files):
    hub.commit(files | {"model.safetensors.index.json": b"<html>"})
    refused("not readable as JSON")


@contextmanager
def small_disk(folder, kilobytes):
    """A disk of its own, where this user may mount one."""
    folder.mkdir(parents=True)
    mounted = (
        shutil.which("mount")
        and not subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], capture_output=True).returncode
    )
    if not mounted:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_without_room_is_seen_before_anything_large_is_fetched(hub, cache):
    with small_disk(cache, 800):
        refused("GB more in", "are free", "HF_HOME")
        assert hub.starts.get(FIRST) is None
        subprocess.run(["mount", "-o", "remount,size=8m", cache], check=True)
        assert is_the_tiny_model(fetch())


def test_a_disk_that_fills_up_meanwhile(hub, cache, monkeypatch):
    with small_disk(cache, 800):
        with monkeypatch.context() as patched:
            patched.setattr(download, "_check_room", lambda snapshot: None)
            refused("No room is left in", "make room", "HF_HOME")
        hub.forget()
        subprocess.run(["mount", "-o", "remount,size=8m", cache], check=True)
        assert is_the_tiny_model(fetch())
        assert FIRST not in hub.starts or hub.starts[FIRST][0] > 0, "what came is used"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_the_disk_refuses_is_told(hub, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(download, "_append_once", refuse)
    refused("HF_HOME", "No room is left" if number == errno.ENOSPC else "cannot be written to")


def no_rights_of_root():
    """Before a program starts: root may write only where the rights say so, as everybody."""
    if os.geteuid() == 0:
        import ctypes

        for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP


def read_only(folder):
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o555)


@pytest.fixture
def given_back(cache):
    yield
    for path in [cache, *cache.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def asked_on_the_command_line(hub, cache, clip, **more):
    command = [sys.executable, "-m", "omnizip", "compare", clip, "--question", "What?", "--model", REPO, "--device", "cpu"]
    command += ["--max-new-tokens", "4", "--json", "-"]
    return subprocess.run(
        command, cwd=ROOT, env=hub.environment(cache, **more), capture_output=True, text=True, timeout=300, preexec_fn=no_rights_of_root
    )


@pytest.mark.slow
def test_a_cache_that_may_only_be_read_serves_where_it_is_complete(hub, cache, clip, given_back):
    fetch()
    read_only(cache)
    done = asked_on_the_command_line(hub, cache, clip)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"][1]["answer"] is not None


@pytest.mark.slow
def test_a_cache_that_may_only_be_read_and_is_empty_is_named(hub, cache, clip, given_back):
    cache.mkdir(parents=True)
    read_only(cache)
    done = asked_on_the_command_line(hub, cache, clip)
    assert done.returncode == 2 and done.stdout == ""
    is_one_sentence(done.stderr.strip().splitlines()[-1], str(cache), "cannot be written to", "HF_HOME")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_no_network_and_no_cache_on_the_command_line(hub, cache, clip):
    done = asked_on_the_command_line(hub, cache, clip, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    is_one_sentence(done.stderr.strip().splitlines()[-1], "cannot be reached", "check the network", "give a folder")
