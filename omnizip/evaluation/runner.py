"""Every clip of a job, in this process or in several, remembered clip by clip so that a stopped run goes on where it was.

A job is whatever has settings, says what its clips' outcomes depend on, and gives an examiner: the synthetic world's
(`examiner.Job`) and the benchmarks' (`benchmarks.examination.BenchmarkJob`) run here alike.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
from tqdm import tqdm

from .. import __version__
from ..errors import OmniZipError, UsageError
from ..model.qwen import QwenOmni
from ..settings import Settings

DECIDING = ("device", "dtype", "four_bit", "fps", "tokens_per_step", "max_frames", "max_new_tokens")  # settings that change outcomes
ARGUMENTS, CLIPS = "arguments.json", "clips"
Task = tuple[int | str, ...]  # what names a clip within its job
Record = dict[str, Any]  # a clip's outcomes, as one JSON line


class PassingRecord(Record):
    """A clip's failure for a reason that may pass, such as its machine's memory: not remembered, so that a further run tries again."""


class Examinable(Hashable, Protocol):
    """What is run: it pickles, so that workers can be given it."""

    @property
    def settings(self) -> Settings: ...

    def decides(self) -> dict[str, Any]:
        """What a remembered clip depends on besides weights and settings, as plain values."""
        ...

    def examiner(self, model: QwenOmni) -> Callable[[Task], Record]:
        """What makes the record of one clip with a loaded model."""
        ...


def digest(model: QwenOmni) -> str:
    """First 16 hex digits of the sha256 of all weights by name."""
    found = hashlib.sha256()
    for name, value in sorted(model.parts.thinker.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def identity(job: Examinable, weights: str) -> dict[str, Any]:
    """What a remembered clip depends on. The number of clips is not among it, so a run may be made longer."""
    settings = asdict(job.settings)
    return {
        "weights": weights,
        "omnizip": __version__,
        "settings": {name: settings[name] for name in DECIDING},
        **job.decides(),
    }


def is_lost(record: Record) -> bool:
    """Whether nothing was asked because the clip itself could not be read, which the next run may find mended."""
    return "failed" in record


class RecordStore:
    """Clips that are done, one JSON line each, in a folder or in memory alone.

    Several runs of parts of one job may share a folder: each writes a file of its own and reads those of all.
    """

    def __init__(self, folder: Path | None, known: dict[str, Any], part: str = "") -> None:
        """Open the folder and read what is done.

        Args:
            part: which part of the job this run does, in its file's name; empty for the whole.

        Raises:
            UsageError: the folder holds a run with other arguments, or cannot be used.
        """
        self.records: dict[Task, Record] = {}
        self._file: Path | None = None
        if folder is None:
            return
        self._file = folder / f"{CLIPS}{part}.jsonl"
        known = json.loads(json.dumps(known))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / ARGUMENTS).exists():
                self._check(folder, json.loads((folder / ARGUMENTS).read_text()), known)
            else:
                written = folder / f"{ARGUMENTS}.{os.getpid()}"  # whole at once: other parts read it, and a stop may come at any time
                written.write_text(json.dumps(known, indent=2) + "\n")
                written.replace(folder / ARGUMENTS)
            for file in sorted(folder.glob(f"{CLIPS}*.jsonl")):
                self._read(file)
        except (OSError, ValueError) as error:
            raise UsageError(f"--state {folder} cannot be used ({error}); give another folder.") from None

    def _check(self, folder: Path, held: dict[str, Any], known: dict[str, Any]) -> None:
        if other := [name for name in known if held.get(name) != known[name]]:
            raise UsageError(f"--state {folder} holds a run with other arguments ({', '.join(other)}); give those again or another folder.")

    def _read(self, file: Path) -> None:
        """Read what is whole; a line cut off by a sudden end is forgotten, and taken out of this run's own file."""
        text = file.read_text()
        whole = text[: text.rfind("\n") + 1]
        for line in whole.splitlines():
            task, record = json.loads(line)
            if tuple(task) not in self.records or not is_lost(record):  # another part may have had the file that this one lacked
                self.records[tuple(task)] = record
        if whole != text and file == self._file:
            file.write_text(whole)

    def add(self, task: Task, record: Record) -> None:
        """Remember a clip, at once; a PassingRecord only as long as this run takes."""
        self.records[task] = record
        if self._file is not None and not isinstance(record, PassingRecord):
            with self._file.open("a") as file:
                file.write(json.dumps([task, record]) + "\n")


def run(
    job: Examinable,
    model: QwenOmni | None,
    tasks: Sequence[Task],
    store: RecordStore,
    workers: int = 1,
    bar: TextIO | None = None,
    gpus: Sequence[str] = (),
    elsewhere: Callable[[Sequence[Task]], Iterator[tuple[Task, Record]]] | None = None,
) -> list[Record]:
    """Examine the clips that `tasks` name; returns their records in order, whoever made them and when.

    A clip that could not be read is tried again; whatever else is remembered stays.

    Args:
        model: for one process; several load their own.
        workers: processes; with 1 it is this one, with `model`.
        bar: where a progress bar with the time left is drawn.
        gpus: one for each worker, as CUDA_VISIBLE_DEVICES names it; none: workers see what this process sees, with one thread each.
        elsewhere: makes the records of clips on other machines, as they are done, in place of `model` and `workers`.

    Raises:
        OmniZipError: a clip cannot be made or read, or a process ended early.
    """
    todo = [task for task in tasks if task not in store.records or is_lost(store.records[task])]
    shown = tqdm(total=len(tasks), initial=len(tasks) - len(todo), unit="clip", file=bar, dynamic_ncols=True, disable=bar is None)
    with shown, nullcontext(elsewhere(todo)) if elsewhere else _records(job, model, todo, workers, gpus) as made:
        for task, record in made:
            store.add(task, record)
            shown.update()
    return [store.records[task] for task in tasks]


@contextmanager
def _records(
    job: Examinable, model: QwenOmni | None, todo: Sequence[Task], workers: int, gpus: Sequence[str]
) -> Iterator[Iterable[tuple[Task, Record]]]:
    if model is not None and (workers == 1 or len(todo) < 2):
        examine = job.examiner(model)
        yield ((task, examine(task)) for task in todo)
        return
    spawn = get_context("spawn")
    free: Any = spawn.SimpleQueue()
    for gpu in gpus:
        free.put(gpu)
    pool = ProcessPoolExecutor(workers, spawn, initializer=_begin_worker, initargs=(job, free if gpus else None))
    try:
        futures = [pool.submit(_examine, task) for task in todo]
        yield (future.result() for future in as_completed(futures))
    except BrokenProcessPool:
        raise OmniZipError("A worker process ended unexpectedly, perhaps for lack of memory; use fewer --workers.") from None
    finally:
        pool.shutdown(cancel_futures=True)


_given: list[Examinable] = []  # a worker's job, sent once


def _begin_worker(job: Examinable, free: Any) -> None:
    """Take a GPU, where they are shared out; an interrupt reaches every process, and the workers leave it to the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if free is None:
        torch.set_num_threads(1)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = free.get()  # read when CUDA is first used, which nothing has done yet
    _given.append(job)


@lru_cache(1)
def _examiner() -> Callable[[Task], Record]:
    return _given[0].examiner(QwenOmni.load(_given[0].settings))


def _examine(task: Task) -> tuple[Task, Record]:
    return task, _examiner()(task)
