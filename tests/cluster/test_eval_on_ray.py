"""A benchmark on a Ray cluster of this machine, as people start it: the same table, whoever dies in the middle, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import benchmark_files
import pytest
from clusters import TOKEN, further, head
from copies import kill, named, wait_for, workers_below
from served import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLIPS = 16
FLAGS = ["--protocol", "bare", "--retention", "0.5", "--seeds", "2", "--device", "cpu"]
CHANGING = ("ms", "date", "load_average", "workers")


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    """WorldSense with CLIPS clips, of which three differ, and one that is no film."""
    folder = tmp_path_factory.mktemp("worldsense")
    annotation = folder / benchmark_files.worldsense(folder)
    of_three = json.loads(annotation.read_text())
    for number in range(3, CLIPS):
        (folder / f"videos/clip{number}.mp4").hardlink_to(folder / f"videos/clip{number % 3}.mp4")
    annotation.write_text(json.dumps({f"clip{number}": of_three[f"clip{number % 3}"] for number in range(CLIPS)}))
    (folder / f"videos/clip{CLIPS - 1}.mp4").unlink()
    (folder / f"videos/clip{CLIPS - 1}.mp4").write_bytes(b"this is no film")
    return folder


def interruptible():
    """What a shell starts behind itself is deaf to interrupts, and so are its children, until they are told otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def evaluating(download, folder, *flags, cwd=ROOT, **environment):
    """The command, as a process with a group of its own as a terminal gives it; it ends with the `with`."""
    target = folder / "result.json"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"PYTHONPATH": str(ROOT)}
    inherited |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "omnizip", "eval", "worldsense", "--data", str(download), *FLAGS, "--json", str(target), *flags]
    hears = {"start_new_session": True, "preexec_fn": interruptible}
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(command, cwd=cwd, env=inherited, stdout=said, stderr=said, **hears)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def result(download, folder, *flags, **more):
    """What the command makes."""
    folder.mkdir(exist_ok=True)
    with evaluating(download, folder, *flags, **more) as process:
        assert process.wait(300) == 0, (folder / "said.txt").read_text()
    return json.loads((folder / "result.json").read_text())


def timeless(value):
    if isinstance(value, dict):
        return {name: timeless(part) for name, part in value.items() if name not in CHANGING}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def lines_of(state):
    done = state / "clips.jsonl"
    return done.read_text().splitlines() if done.exists() else []


@pytest.fixture(scope="module")
def plain(download, tmp_path_factory):
    """The result without Ray."""
    found = timeless(result(download, tmp_path_factory.mktemp("plain")))
    assert found["results"][0]["counts"]["failed"] == 2, "the file that is no film"
    return found


def without(found, name):
    return found | {"conditions": {key: value for key, value in found["conditions"].items() if key != name}}


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(download, plain, tmp_path):
    state = tmp_path / "state"
    with evaluating(download, tmp_path, "--ray", "local", "--workers", "2", "--state", str(state)) as process:
        workers = wait_for(lambda: (len(found := workers_below(process.pid)) == 2 and lines_of(state) and found) or process.poll())
        kill(workers[0])
        assert len(lines_of(state)) < CLIPS - 2, "it had something to do"
        assert process.wait(300) == 0, (tmp_path / "said.txt").read_text()
        assert "Traceback" not in (tmp_path / "said.txt").read_text()
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["conditions"]["workers"] == 2 and timeless(found) == plain
    assert sorted(json.loads(line)[0][0] for line in lines_of(state)) == sorted(f"clip{n}" for n in range(CLIPS)), "each once"


def test_a_run_that_was_killed_goes_on_and_leaves_no_worker(download, plain, tmp_path):
    state = tmp_path / "state"
    with evaluating(download, tmp_path, "--ray", "local", "--workers", "1", "--state", str(state)) as process:
        wait_for(lambda: lines_of(state) or process.poll() is not None)
        workers = workers_below(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
    first = lines_of(state)
    assert workers and 0 < len(first) < CLIPS
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert timeless(result(download, tmp_path, "--ray", "local", "--workers", "1", "--state", str(state))) == plain
    assert lines_of(state)[: len(first)] == first and len(lines_of(state)) == CLIPS


def test_an_interrupt_ends_the_workers_and_the_cluster(download, tmp_path):
    state = tmp_path / "state"
    with evaluating(download, tmp_path, "--ray", "local", "--workers", "2", "--state", str(state)) as process:
        wait_for(lambda: lines_of(state) or process.poll() is not None)
        below = named("", process.pid)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(120) == 130, (tmp_path / "said.txt").read_text()
    said = (tmp_path / "said.txt").read_text()
    assert said.splitlines()[-1].endswith("omnizip: stopped.") and "Traceback" not in said
    assert len(below) > 4 and 0 < len(lines_of(state)) < CLIPS
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))


def test_a_cluster_is_joined_and_left_as_it_was(download, plain, tmp_path):
    with TemporaryDirectory(prefix="ray-") as short, head(Path(short), **TOKEN) as (address, node):
        flags = ["--ray", address, "--workers", "2"]
        found = result(download.name, tmp_path, *flags, cwd=download.parent, **TOKEN)
        assert without(timeless(found), "command") == without(plain, "command")
        wait_for(lambda: not workers_below(node))
        assert timeless(result(download, tmp_path, *flags, **TOKEN)) == plain, "a second run finds the cluster alive"


@pytest.fixture
def two_nodes():
    """(address, process ids of its two nodes) of a cluster."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ray-")))
        address, first = stack.enter_context(head(folder, **TOKEN))
        yield address, first, stack.enter_context(further(folder, address, **TOKEN))


def test_a_node_that_dies_takes_no_clip_with_it(download, plain, two_nodes, tmp_path):
    address, *nodes = two_nodes
    state = tmp_path / "state"
    with evaluating(download, tmp_path, "--ray", address, "--state", str(state), **TOKEN) as process:
        wait_for(lambda: (all(map(workers_below, nodes)) and lines_of(state)) or process.poll() is not None)
        assert [len(workers_below(node)) for node in nodes] == [1, 1], "without --workers there is one on each node"
        for part in (*named("", nodes[1]), nodes[1]):  # all of it at once, as when a machine loses its power
            if Path(f"/proc/{part}").exists():
                kill(part)
        assert len(lines_of(state)) < CLIPS - 2, "it had something to do"
        assert process.wait(300) == 0, (tmp_path / "said.txt").read_text()
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["conditions"]["workers"] == 2 and timeless(found) == plain and len(lines_of(state)) == CLIPS


def test_a_cluster_that_is_not_there_is_one_sentence(download, tmp_path):
    with evaluating(download, tmp_path, "--ray", "127.0.0.1:9", **TOKEN) as process:
        assert process.wait(300) == 2
    said = (tmp_path / "said.txt").read_text()
    assert "omnizip: The Ray cluster at 127.0.0.1:9 does not take this machine in (" in said and "Traceback" not in said
