"""A benchmark's clips on the nodes of a Ray cluster: each clip by one worker, which has its own model and finds the files where they are.

Records come back to the process that asked, which alone writes them, so that a run on a cluster is remembered, stopped and gone on with
as one on this machine is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...errors import ModelError, UsageError
from ...model.conditions import machine_conditions
from ...model.qwen import QwenOmni
from ...replicas.ray_session import RaySession
from ...replicas.ray_workers import RayWorker
from ...replicas.worker_pool import WorkerLost, WorkerPool
from ..runner import PassingRecord, Record, Task, digest, identity
from .examination import BenchmarkJob

LOCAL = "local"  # in place of an address: start Ray on this machine
LACKS = (
    "{count} of {total} files of --data are not there, such as {file}; every node has to find the folder under the same path, "
    "on a file system that all share or as a copy."
)


@contextmanager
def pool_on_ray(address: str, job: BenchmarkJob, clips: int, workers: int | None, say: Callable[[str], object]) -> Iterator[WorkerPool]:
    """Workers on a cluster, which end with the `with`, and with them the cluster if it was started here.

    Args:
        address: of a cluster that this machine is a node of, "auto", or LOCAL.
        clips: how many there are to run; no more workers than that are begun.
        workers: None for one on each GPU of the cluster or, where it has none or the job is the CPU's, on each node.
        say: takes what somebody who waits has to know, a sentence each.

    Raises:
        UsageError, ModelError: no Ray, no cluster, no GPU where one is asked for; in one sentence.
    """
    session = RaySession("" if address == LOCAL else address, "--ray", say)
    try:
        gpus = 0 if job.settings.device == "cpu" else session.gpus()
        if job.settings.device == "cuda" and not gpus:
            raise ModelError("No node of the Ray cluster has a GPU; use --device cpu.")
        count = max(1, min(clips, workers or gpus or session.nodes()))
        hire = partial(RayWorker, partial(begin, job, files_here(job), bool(gpus)), bool(gpus))
        with WorkerPool(hire, count, "a GPU" if gpus else "a core", say) as pool:
            yield pool
    finally:
        session.close()


def records(job: BenchmarkJob, pool: WorkerPool, tasks: Sequence[Task]) -> Iterator[tuple[Task, Record]]:
    """Every clip's record as it is done. A clip that ends one worker after the other costs its own questions, and only in this run."""
    for task, outcome in pool.outcomes(tasks):
        yield task, PassingRecord(job.unread(task, str(outcome))) if isinstance(outcome, WorkerLost) else outcome


def files_here(job: BenchmarkJob) -> tuple[str, ...]:
    """The job's files that this machine has. What is not here either is a bad file, and no node's fault."""
    files = [file for clip in job.clips for file in (clip.video, clip.subtitles) if file is not None]
    return tuple(file for file in files if Path(file).is_file())


def begin(job: BenchmarkJob, files: Sequence[str], on_gpu: bool) -> tuple[Callable[[Task], Record], dict[str, Any], dict[str, Any]]:
    """Get ready on a node: what examines a clip there, what its records depend on, and the machine's conditions.

    Raises:
        UsageError: `files`, which lie where the run was begun, are not here.
    """
    if missing := [file for file in files if not Path(file).is_file()]:
        raise UsageError(LACKS.format(count=len(missing), total=len(files), file=missing[0]))
    torch.set_num_threads((os.cpu_count() or 1) if on_gpu else 1)  # Ray gives every process one, which a GPU would wait for
    model = QwenOmni.load(job.settings)
    conditions = asdict(model.conditions) | machine_conditions(model.parts.device)
    return job.examiner(model), identity(job, digest(model)), conditions
