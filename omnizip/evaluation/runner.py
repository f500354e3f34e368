"""Every clip of a job, in this process or in several, remembered clip by clip so that a stopped run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TextIO

import torch
from tqdm import tqdm

from .. import __version__
from ..errors import OmniZipError, UsageError
from ..model.qwen import QwenOmni
from .examiner import Examiner, Job, Record

DECIDING = ("device", "dtype", "four_bit", "fps", "tokens_per_step", "max_frames", "max_new_tokens")  # settings that change outcomes
ARGUMENTS, CLIPS = "arguments.json", "clips.jsonl"
Task = tuple[int, int]  # which of the job's choices, number of the clip


def digest(model: QwenOmni) -> str:
    """First 16 hex digits of the sha256 of all weights by name."""
    found = hashlib.sha256()
    for name, value in sorted(model.parts.thinker.state_dict().items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def identity(job: Job, weights: str) -> dict[str, Any]:
    """What a remembered clip depends on. The number of clips is not among it, so a run may be made longer."""
    settings = asdict(job.settings)
    return {
        "weights": weights,
        "omnizip": __version__,
        "settings": {name: settings[name] for name in DECIDING},
        "arms": [[entry.name, entry.seeds] for entry in job.entries],
        "clips": [asdict(choice) for choice in job.choices],
        "controls": job.controls,
        "density": list(job.density),
    }


class RecordStore:
    """Clips that are done, one JSON line each, in a folder or in memory alone."""

    def __init__(self, folder: Path | None, known: dict[str, Any]) -> None:
        """Raises UsageError for a folder that holds a run with other arguments, or cannot be used."""
        self.records: dict[Task, Record] = {}
        self._file: Path | None = None
        if folder is None:
            return
        self._file = folder / CLIPS
        known = json.loads(json.dumps(known))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / ARGUMENTS).exists():
                self._check(folder, json.loads((folder / ARGUMENTS).read_text()), known)
            else:
                (folder / ARGUMENTS).write_text(json.dumps(known, indent=2) + "\n")
            self._read()
        except (OSError, ValueError) as error:
            raise UsageError(f"--state {folder} cannot be used ({error}); give another folder.") from None

    def _check(self, folder: Path, held: dict[str, Any], known: dict[str, Any]) -> None:
        if other := [name for name in known if held.get(name) != known[name]]:
            raise UsageError(f"--state {folder} holds a run with other arguments ({', '.join(other)}); give those again or another folder.")

    def _read(self) -> None:
        """Read what is whole; a line cut off by a sudden end is forgotten."""
        text = self._file.read_text() if self._file.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        for line in whole.splitlines():
            task, record = json.loads(line)
            self.records[tuple(task)] = record
        if whole != text:
            self._file.write_text(whole)

    def add(self, task: Task, record: Record) -> None:
        """Remember a clip, at once."""
        self.records[task] = record
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(json.dumps([task, record]) + "\n")


def run(job: Job, model: QwenOmni, clips: int, store: RecordStore, workers: int = 1, bar: TextIO | None = None) -> list[Record]:
    """Examine clips 0 to `clips` - 1 of every choice; returns their records in order, whoever made them and when.

    Args:
        workers: processes; with 1 it is this one, with `model`.
        bar: where a progress bar is drawn.

    Raises:
        OmniZipError: a clip cannot be made or read, or a process ended early.
    """
    tasks = [(which, number) for which in range(len(job.choices)) for number in range(clips)]
    todo = [task for task in tasks if task not in store.records]
    shown = tqdm(total=len(tasks), initial=len(tasks) - len(todo), unit="clip", file=bar, dynamic_ncols=True, disable=bar is None)
    with shown, _records(job, model, todo, workers) as made:
        for task, record in made:
            store.add(task, record)
            shown.update()
    return [store.records[task] for task in tasks]


@contextmanager
def _records(job: Job, model: QwenOmni, todo: list[Task], workers: int) -> Iterator[Iterable[tuple[Task, Record]]]:
    if workers == 1 or len(todo) < 2:
        examiner = Examiner(job, model)
        yield ((task, examiner.examine(job.choices[task[0]], task[1])) for task in todo)
        return
    # An interrupt reaches every process; the workers leave it to this one.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        futures = [pool.submit(_examine, job, task) for task in todo]
        yield (future.result() for future in as_completed(futures))
    except BrokenProcessPool:
        raise OmniZipError("A worker process ended unexpectedly, perhaps for lack of memory; use fewer --workers.") from None
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(1)
def _examiner(job: Job) -> Examiner:
    torch.set_num_threads(1)
    return Examiner(job, QwenOmni.load(job.settings))


def _examine(job: Job, task: Task) -> tuple[Task, Record]:
    return task, _examiner(job).examine(job.choices[task[0]], task[1])
