"""Clips as the trained encoders see them, in batches of one shape, on disk.

While the language model learns, the encoders rest: a clip is rendered and encoded once, in a worker process, and read
several times with different questions.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnizip.evaluation.world import render
from omnizip.evaluation.world import scene as world

from . import features, pretrain
from .model import Student

SILENT_EVERY = 16  # batches of which one has no sound track


@dataclass(frozen=True)
class Batch:
    """Clips of one length and frame size."""

    seeds: tuple[int, ...]
    duration_s: float
    size: tuple[int, int]
    video: Tensor  # (clips, video tokens, width) float16
    audio: Tensor  # (clips, audio tokens, width) float16; no tokens where the clips have no sound track
    filmed: float = 0.0  # share of the clips that are filmed, not drawn

    @property
    def scenes(self) -> list[world.Scene]:
        """What happens in each clip."""
        return [scene_of(seed, self.duration_s, self.size, self.filmed) for seed in self.seeds]


def scene_of(seed: int, duration_s: float, size: tuple[int, int] | None, filmed: float) -> world.Scene:
    """The scene of a seed, filmed for that share of all seeds."""
    return world.scene(seed, duration_s, size, footage="filmed" if seed * 7 % 20 < 20 * filmed else "drawn")


@torch.no_grad()
def encode(
    student: Student, seeds: tuple[int, ...], duration_s: float, size: tuple[int, int], sound: bool = True, filmed: float = 0.0
) -> Batch:
    """Render and encode clips, with or without a sound track. Half of them get the colour resolution of a video file."""
    video, audio = [], []
    for seed in seeds:
        scene = scene_of(seed, duration_s, size, filmed)
        frames = render.frames(scene, np.arange(round(duration_s * 2)) / 2)
        if seed % 2:
            frames = features.degrade(frames, np.random.default_rng([seed, 5]))
        video.append(pretrain.video_features(student, [frames]).half().cpu())
        heard = (
            pretrain.audio_features(student, [render.waveform(scene)]).half().cpu() if sound else torch.empty(0, video[-1].shape[1]).half()
        )
        audio.append(heard)
    return Batch(seeds, duration_s, size, torch.stack(video), torch.stack(audio), filmed)


@lru_cache(1)
def _student(weights: str) -> Student:
    torch.set_num_threads(1)
    student = Student.fresh()
    student.thinker.load_state_dict(torch.load(weights, weights_only=True))
    return student


def _write(weights: str, path: str, *clips) -> None:
    batch = encode(_student(weights), *clips)
    unfinished = Path(f"{path}.part")
    torch.save(vars(batch), unfinished)
    unfinished.replace(path)


class InlineExecutor(Executor):
    """An executor that runs each task in the process that submits it."""

    def submit(self, task: Callable, /, *arguments, **named) -> Future:
        done: Future = Future()
        done.set_result(task(*arguments, **named))
        return done


def executor(workers: int) -> Executor:
    """A pool of `workers` processes, or this process for 0."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers else InlineExecutor()


class Bank:
    """Batches of a stage by number, made ahead of need by worker processes (0: when needed, in this one).

    The same folder serves a resumed run: what is on disk is not made again.
    """

    def __init__(
        self,
        folder: Path,
        weights: Path,
        *,
        clips: int,
        durations_s: tuple[float, ...],
        sizes: tuple[tuple[int, int], ...],
        first_seed: int,
        filmed: float = 0.0,
        workers: int = 1,
    ):
        self.folder, self.weights = folder, weights
        self.clips, self.durations_s, self.sizes, self.first_seed, self.filmed = clips, durations_s, sizes, first_seed, filmed
        folder.mkdir(parents=True, exist_ok=True)
        self._pool = executor(workers)
        self._coming: dict[int, Future] = {}

    def ask_for(self, number: int) -> None:
        """Start making a batch that is not there yet."""
        path = self.folder / f"{number}.pt"
        if number not in self._coming and not path.exists():
            first = self.first_seed + number * self.clips
            seeds = tuple(range(first, first + self.clips))
            duration_s = self.durations_s[number % len(self.durations_s)]
            size = self.sizes[number // len(self.durations_s) % len(self.sizes)]
            sound = number % SILENT_EVERY != SILENT_EVERY - 1
            self._coming[number] = self._pool.submit(_write, str(self.weights), str(path), seeds, duration_s, size, sound, self.filmed)

    def read(self, number: int) -> Batch:
        """Read a batch; waits while it is being made."""
        self.ask_for(number)
        if number in self._coming:
            self._coming.pop(number).result()
        return Batch(**torch.load(self.folder / f"{number}.pt", weights_only=True))

    def forget_before(self, number: int) -> None:
        """Delete batches that are not read again."""
        for path in self.folder.glob("*.pt"):
            if int(path.stem) < number:
                path.unlink()

    def close(self) -> None:
        """End the workers."""
        self._pool.shutdown(cancel_futures=True)
