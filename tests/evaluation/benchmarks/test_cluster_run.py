"""A benchmark on a cluster, with workers that are threads of this process: same records, files that a node lacks, clips that end workers.

What needs Ray itself is tested in tests/cluster/.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import benchmark_files
import pytest

from omnizip.cli.main import main
from omnizip.errors import ModelError, UsageError
from omnizip.evaluation.arms import Entry
from omnizip.evaluation.benchmarks import cluster_run
from omnizip.evaluation.benchmarks.examination import BenchmarkExaminer, BenchmarkJob
from omnizip.evaluation.benchmarks.items import BenchmarkClip, BenchmarkQuestion
from omnizip.evaluation.benchmarks.protocols import PROTOCOLS
from omnizip.replicas import ray_workers
from omnizip.replicas.worker_pool import WorkerLost
from omnizip.settings import Settings

FLAGS = ["--protocol", "bare", "--methods", "full,omnizip", "--retention", "0.5", "--seeds", "1", "--device", "cpu"]


class ThreadWorker:
    """What a Ray worker runs, in a thread."""

    def __init__(self, begin, on_gpu):
        assert not on_gpu
        self._thread, self._worker = ThreadPoolExecutor(1), ray_workers.TaskWorker(begin)

    def ready(self):
        return self._thread.submit(self._worker.ready)

    def do(self, task):
        return self._thread.submit(self._worker.do, task)

    def end(self):
        self._thread.shutdown(wait=False, cancel_futures=True)


class Session:
    """A cluster of two nodes without a GPU, which were asked for at an address."""

    asked: list = []

    def __init__(self, address, flag, say):
        self.asked.append((address, flag))

    def gpus(self):
        return 0

    def nodes(self):
        return 2

    def close(self):
        self.asked.append("closed")


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(Session, "asked", [])
    monkeypatch.setattr(cluster_run, "RaySession", Session)
    monkeypatch.setattr(cluster_run, "RayWorker", ThreadWorker)
    monkeypatch.setattr("omnizip.replicas.ray_session.require_ray", lambda flag: None)
    here = SimpleNamespace(util=SimpleNamespace(get_node_ip_address=lambda: "10.0.0.7"))
    monkeypatch.setattr(ray_workers, "import_ray", lambda: here)
    return Session


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worldsense")
    benchmark_files.worldsense(folder)
    return folder


def evaluate(folder, target, *flags):
    status = main(["eval", "worldsense", "--data", str(folder), *FLAGS, "--json", str(target), *flags])
    return json.loads(target.read_text()) if status == 0 else status


def untimed(result):
    return [{name: value for name, value in row.items() if name != "ms"} for row in result["results"]]


@pytest.mark.slow
def test_a_cluster_gives_what_this_machine_does_and_each_can_go_on_with_the_others_run(cluster, download, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(download.parent)
    plain = evaluate(download, tmp_path / "plain.json")
    state = tmp_path / "state"
    evaluate(download, tmp_path / "part.json", "--shard", "1/2", "--state", str(state))
    shared = evaluate(Path(download.name), tmp_path / "shared.json", "--ray", "10.0.0.1:6379", "--state", str(state))
    assert untimed(shared) == untimed(plain) and shared["conditions"]["weights"] == plain["conditions"]["weights"]
    assert shared["conditions"]["workers"] == 2 and plain["conditions"]["workers"] == 1
    assert cluster.asked == [("10.0.0.1:6379", "--ray"), "closed"]
    lines = [line for file in state.glob("clips*.jsonl") for line in file.read_text().splitlines()]
    assert len(lines) == benchmark_files.CLIPS, "every clip once, those of before not again"


@pytest.mark.slow
def test_a_clip_that_ends_every_worker_costs_its_own_questions(cluster, download, tmp_path, monkeypatch):
    examine = BenchmarkExaminer.examine

    def end_on_one(self, clip):
        if clip.id == "clip1":
            raise WorkerLost("killed")
        return examine(self, clip)

    monkeypatch.setattr(BenchmarkExaminer, "examine", end_on_one)
    state = tmp_path / "state"
    result = evaluate(download, tmp_path / "r.json", "--ray", "local", "--workers", "1", "--state", str(state))
    assert cluster.asked[0] == ("", "--ray")
    per_clip, asked = len(benchmark_files.CHOICE.questions(1)), sum(1 for _ in benchmark_files.asked())
    for row in result["results"]:
        assert row["failed"] == {"3 workers ended on it, one after the other (killed), perhaps for lack of memory": per_clip}
        assert sum(row["counts"].values()) == asked
    assert len((state / "clips.jsonl").read_text().splitlines()) == benchmark_files.CLIPS - 1
    monkeypatch.undo()  # what ended them has passed
    again = evaluate(download, tmp_path / "again.json", "--state", str(state))
    assert (
        not any(row["failed"] for row in again["results"])
        and len((state / "clips.jsonl").read_text().splitlines()) == benchmark_files.CLIPS
    )


def job_of(*files):
    question = BenchmarkQuestion("q", "What?", ("one", "two"), "A")
    clips = tuple(BenchmarkClip(str(number), str(file), (question,)) for number, file in enumerate(files))
    return BenchmarkJob(Settings(device="cpu"), "worldsense", PROTOCOLS["bare"], (Entry("full"),), clips)


def test_a_node_that_lacks_files_is_named_with_one_of_them(cluster, tmp_path, monkeypatch):
    there, gone = tmp_path / "there.mp4", tmp_path / "gone.mp4"
    there.touch(), gone.touch()
    job = job_of(there, gone, tmp_path / "nowhere.mp4")

    class ElsewhereWorker(ThreadWorker):
        def ready(self):
            gone.unlink()  # as it were on another node
            return super().ready()

    monkeypatch.setattr(cluster_run, "RayWorker", ElsewhereWorker)
    with cluster_run.pool_on_ray("auto", job, 3, 1, lambda sentence: None) as pool, pytest.raises(UsageError) as told:
        pool.first()
    assert str(told.value).startswith("Node ") and "(10.0.0.7): 1 of 2 files of --data are not there, such as " in str(told.value)
    assert str(gone) in str(told.value) and "\n" not in str(told.value)
    assert cluster.asked == [("auto", "--ray"), "closed"]


def test_there_are_no_more_workers_than_clips(cluster, tmp_path):
    with cluster_run.pool_on_ray("auto", job_of(tmp_path / "a.mp4"), 1, 8, lambda sentence: None) as pool:
        assert pool.count == 1


def test_gpus_that_nobody_has_are_not_waited_for(cluster):
    job = BenchmarkJob(Settings(device="cuda"), "worldsense", PROTOCOLS["bare"], (Entry("full"),), ())
    refused = pytest.raises(ModelError, match="^No node of the Ray cluster has a GPU; use --device cpu.$")
    with refused, cluster_run.pool_on_ray("auto", job, 1, None, lambda sentence: None):
        pass
    assert cluster.asked[-1] == "closed"
