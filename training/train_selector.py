"""Training OmniSIFT's audio selector for a model that stays as it is; the published one was trained together with its model.

The loss is the frozen model's own on questions about training clips, with the video that OmniSIFT's rule keeps and with
audio through the selector: per chunk of two seconds the highest scores pass and the rest is silenced. Forward the choice is
hard, backward it counts as the score itself (straight-through), as published. A small second term lets every score follow how
much its token would help: the loss with all audio scaled by the scores, which has no hard choice in it.

How much passes is drawn per step, so that one selector serves several retentions. Each batch follows from the seed and the
step, and the state is written every few minutes, so a run that is stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from omnizip.compressors.omnisift_selector import OWN_FILE, PREFIX, AudioSelector
from omnizip.compressors.ops.selection import highest
from omnizip.compressors.ops.similarity import echo
from omnizip.evaluation.packing import IGNORE, block_attention
from omnizip.evaluation.world import scene as world
from omnizip.windows import AUDIO_TOKENS_PER_WINDOW, STEPS_PER_WINDOW

from . import packed_batch
from .bank import Batch, encode
from .model import Student
from .train import choose

HIDDEN = 64
RHO_VIDEO = 0.7
RHO_AUDIO = (0.4, 0.8)  # drawn between
LR = 1e-3
WARM_UP = 20  # steps
SAVE_EVERY_S = 120
FIRST_SEED = 900_000_000  # training clips the model's own training does not reach


def kept_video(video: Tensor, per_step: int, rho: float) -> Tensor:
    """(clips, V) bool what OmniSIFT's rule keeps of (clips, V, width): unlike the step's mean, then unlike the step before."""
    x = video.float().unflatten(1, (-1, per_step))  # (clips, steps, n, width)
    unlike = -echo(x, x.mean(dim=2, keepdim=True).expand_as(x))
    unlike[:, 1::STEPS_PER_WINDOW] = -echo(x[:, 1::STEPS_PER_WINDOW], x[:, : x.shape[1] // 2 * 2 : STEPS_PER_WINDOW])
    rows = unlike.flatten(0, 1)
    return highest(rows, torch.full((rows.shape[0],), per_step - int(per_step * rho))).view(video.shape[:2])


def audio_scores(selector: AudioSelector, batch: Batch, kept: Tensor, per_step: int) -> Tensor:
    """(clips, A) scores, chunk by chunk as in use: audio of two seconds beside the video kept of them (whole chunks only)."""
    chunks = batch.audio.shape[1] // AUDIO_TOKENS_PER_WINDOW
    audio = batch.audio.float().unflatten(1, (chunks, -1)).flatten(0, 1)
    video = batch.video.float().unflatten(1, (chunks, -1)).flatten(0, 1)
    hidden = ~kept.unflatten(1, (chunks, STEPS_PER_WINDOW * per_step)).flatten(0, 1)
    return selector(audio, video, hidden).view(batch.audio.shape[:2])


class SelectorTraining:
    """The state of a run: a selector, its optimiser and the steps done, in a folder of its own."""

    def __init__(self, student: Student, folder: Path, *, seed: int = 0, clips: int = 4, duration_s: float = 8.0, questions: int = 8):
        torch.manual_seed(seed)
        self.student, self.folder, self.seed = student, Path(folder), seed
        self.clips, self.duration_s, self.questions = clips, duration_s, questions
        student.thinker.eval().requires_grad_(False)
        self.selector = AudioSelector(student.thinker.config.text_config.hidden_size, HIDDEN)
        self.optimizer = torch.optim.AdamW(self.selector.parameters(), lr=LR, weight_decay=0.01)
        self.step = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / "selector-state.pt").exists():
            self._restore()

    def batch(self, step: int) -> tuple[Batch, list[list], float]:
        """Encoded clips of a step, questions about each, and the share of audio to drop."""
        first = FIRST_SEED + (self.seed * 10_000 + step) * self.clips
        made = encode(self.student, tuple(range(first, first + self.clips)), self.duration_s, world.SMALL)
        rng = np.random.default_rng([11, self.seed, step])
        return made, [choose(scene, rng, self.questions) for scene in made.scenes], float(rng.uniform(*RHO_AUDIO))

    def loss(self, batch: Batch, asked: list[list], rho: float) -> tuple[Tensor, Tensor]:
        """The frozen model's loss with hard choices, and with all audio scaled by its scores."""
        per_step = batch.video.shape[1] // round(batch.duration_s)
        kept = kept_video(batch.video, per_step, RHO_VIDEO)
        scores = audio_scores(self.selector, batch, kept, per_step)
        rows = scores.unflatten(1, (-1, AUDIO_TOKENS_PER_WINDOW)).flatten(0, 1)
        count = AUDIO_TOKENS_PER_WINDOW - int(AUDIO_TOKENS_PER_WINDOW * rho)
        hard = highest(rows.detach(), torch.full((rows.shape[0],), count)).view_as(scores).float()
        video = batch.video.float() * kept[..., None]
        gates = hard + scores - scores.detach(), scores / scores.detach().mean().clamp(min=1e-3) * (1 - rho)
        return tuple(self._answers(replace(batch, video=video, audio=batch.audio.float() * gate[..., None]), asked) for gate in gates)

    def _answers(self, batch: Batch, asked: list[list]) -> Tensor:
        packed = packed_batch.pack(self.student, batch, asked)
        with block_attention(self.student.parts.language):
            hidden = packed_batch.read(self.student, packed)
        wanted = packed.targets != IGNORE
        return functional.cross_entropy(self.student.thinker.lm_head(hidden[wanted]), packed.targets[wanted])

    def run(self, steps: int, on_step: Callable[[int, float], None] | None = None, until: float = math.inf) -> None:
        """Train up to `steps` in all, or until `monotonic()` reaches `until`; the state is saved at the end."""
        saved = monotonic()
        while self.step < steps:
            hard, soft = self.loss(*self.batch(self.step))
            self.optimizer.zero_grad(set_to_none=True)
            (hard + soft).backward()
            torch.nn.utils.clip_grad_norm_(self.selector.parameters(), 1.0)
            for group in self.optimizer.param_groups:
                group["lr"] = LR * min(1.0, (self.step + 1) / WARM_UP)
            self.optimizer.step()
            self.step += 1
            if on_step:
                on_step(self.step, hard.item())
            if monotonic() >= until:
                break
            if monotonic() - saved > SAVE_EVERY_S:
                self.save()
                saved = monotonic()
        self.save()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        unfinished = self.folder / "selector-state.part"
        torch.save({"step": self.step, "selector": self.selector.state_dict(), "optimizer": self.optimizer.state_dict()}, unfinished)
        unfinished.replace(self.folder / "selector-state.pt")

    def _restore(self) -> None:
        state = torch.load(self.folder / "selector-state.pt", weights_only=True)
        self.step = state["step"]
        self.selector.load_state_dict(state["selector"])
        self.optimizer.load_state_dict(state["optimizer"])

    def write(self, checkpoint: Path) -> Path:
        """Save the selector beside a checkpoint, its tensors named as in the released one; `omnisift` uses it from then on."""
        file = Path(checkpoint) / OWN_FILE
        save_file(
            {PREFIX + name: value.contiguous() for name, value in self.selector.state_dict().items()}, file, metadata={"format": "pt"}
        )
        return file


def train_selector(chosen: argparse.Namespace) -> None:
    """Train as the flags say and write the selector, at the end or at a pause."""
    from tqdm import tqdm

    torch.set_num_threads(1)
    training = SelectorTraining(Student.load(chosen.checkpoint), chosen.work, seed=chosen.seed, clips=chosen.clips)
    with tqdm(total=chosen.steps, initial=training.step) as bar, (chosen.work / "selector.jsonl").open("a") as log:

        def tell(step: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()
            log.write(json.dumps({"step": step, "loss": round(loss, 4)}) + "\n")
            log.flush()

        training.run(chosen.steps, tell, monotonic() + chosen.minutes * 60)
    sys.stdout.write(f"{training.write(chosen.checkpoint)}\n")
