"""Training the embedded model: the vision encoder, then the audio encoder, then the language model on clips that grow longer.

1. `look`: the vision encoder names what each token of a single step shows.
2. `listen`: the audio encoder names the sound in each token of 40 ms.
3. Then the encoders rest and the language model learns to answer, on short clips of few tokens first. Several questions
   about a clip share one sequence but do not see each other (`packed_batch`). One of them is a description of the whole clip.
   A linear reader after the second layer asks every audio token what is on screen at its time and which sound came with it,
   another after the fourth how many sounds and shapes there were so far: binding and counting are what answers alone teach
   slowly.

Every batch follows from the seed, the stage and the step, and the state is written every few minutes, so a run that is
stopped goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import rmtree
from time import monotonic

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from omnizip.evaluation.packing import IGNORE, block_attention
from omnizip.evaluation.world import scene as world
from omnizip.evaluation.world.questions import BY_TIME, CROSS_MODAL, DESCRIPTION, KINDS, WITHOUT_SOUND, Question, about
from omnizip.types import Turn

from . import features, packed_batch, pretrain
from .bank import Bank, Batch, executor
from .model import TOKEN_SCALE, Student
from .muon import Muon
from .together import ALONE, ProcessShare

READ_AFTER = {"answer": 1, "so far": 3}  # index of the text layer after which audio tokens are asked what is now, and how often so far
READER_WEIGHT = {"answer": 0.5, "so far": 0.2}
SAVE_EVERY_S = 240
REUSE = 3  # times a batch of encoded clips is read, each time with other questions
FOLLOW_UPS = 0.08  # share of questions that are asked second in a chat
WINDOW = 120  # batches back from the newest that may be read again


@dataclass(frozen=True)
class CurriculumStage:
    """One part of the curriculum."""

    name: str
    steps: int
    clips: int  # per step; single steps of video for "look"
    lr: float
    lr_end: float
    durations_s: tuple[float, ...] = (8.0,)  # in turn, a batch each
    sizes: tuple[tuple[int, int], ...] = ()
    questions: int = 0  # per clip; 0 trains an encoder
    filmed: float = 0.0  # share of filmed clips

    @property
    def network(self) -> str:
        """What it trains: "look" the vision encoder, "listen" the audio encoder, "answer" the language model."""
        return "answer" if self.questions else self.name.split()[0]

    def scaled(self, factor: float) -> CurriculumStage:
        """The same stage with fewer or more steps."""
        return replace(self, steps=max(2, round(self.steps * factor)))


SQUARE = ((128, 128),)
CURRICULUM = (
    CurriculumStage("look", 720, 48, 2e-3, 4e-5),
    CurriculumStage("listen", 200, 16, 1.5e-3, 3e-5),
    CurriculumStage("four seconds", 240, 16, 1.5e-3, 1.5e-3, (4.0,), (world.SMALL,), 9),
    CurriculumStage("eight seconds, small frames", 450, 16, 1.5e-3, 1e-3, (8.0,), (world.SMALL,), 10),
    CurriculumStage("eight seconds", 400, 16, 1e-3, 2e-5, (8.0,), (*SQUARE, world.SMALL, *world.SIZES), 12),
    CurriculumStage("asked in more words", 720, 16, 1e-3, 1e-5, (8.0,), (*SQUARE, world.SMALL, *world.SIZES), 18),
    CurriculumStage("look at filmed pictures", 260, 48, 8e-4, 2e-5, filmed=0.5),
    CurriculumStage("longer clips", 436, 16, 1.2e-3, 6e-4, (8.0, 12.0, 16.0), (world.SMALL, *SQUARE, *world.SIZES), 14, 0.3),
    CurriculumStage("longest clips", 533, 16, 6e-4, 1e-5, (8.0, 16.0, 20.0, 24.0), (*SQUARE, *world.SIZES), 16, 0.3),
)
WEIGHTS = {  # how often a kind is asked; 1 for the rest
    **dict.fromkeys(CROSS_MODAL, 2.0),
    **dict.fromkeys(BY_TIME, 0.5),
    **dict.fromkeys(("colour of shape", "sound count", "shape count", "where", "motion"), 4.0),  # the slowest to come
    "sound at shape": 6.0,
    DESCRIPTION: 20.0,
}
Progress = Callable[[CurriculumStage, int, dict[str, float]], None]


def choose(scene: world.Scene, rng: np.random.Generator, count: int, kinds: tuple[str, ...] = KINDS) -> list[Question]:
    """Some of the questions a scene supports: cross-modal ones more often, the description nearly always, a few as follow-ups."""
    found = about(scene, rng, kinds)
    weight = np.array([WEIGHTS.get(q.kind, 1.0) for q in found])
    order = np.argsort(-(rng.random(len(found)) ** (1 / weight)))
    chosen = [found[i] for i in order[:count]]
    for place in range(1, len(chosen)):
        if rng.random() < FOLLOW_UPS:
            before = chosen[place - 1]
            chosen[place] = replace(chosen[place], history=(Turn(before.text, before.answer),))
    return chosen


def _optimizers(parameters: list[nn.Parameter], layers: nn.Module | None) -> list[torch.optim.Optimizer]:
    """AdamW; for the matrices of the language model's layers Muon, which nearly halves the steps (the encoders gain nothing)."""
    matrices = {m.weight for m in layers.modules() if isinstance(m, nn.Linear)} if layers else set()
    rest = [p for p in parameters if p not in matrices]
    adam = torch.optim.AdamW(rest, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05)
    return [Muon([p for p in parameters if p in matrices]), adam] if matrices else [adam]


def _answer_weights(packed: packed_batch.Packed, wanted: Tensor) -> Tensor:
    """A weight for each answer token, such that an answer counts as the root of its length; else descriptions drown short answers."""
    clips = torch.arange(len(wanted), device=wanted.device)[:, None] * (int(packed.owner.max()) + 1)
    answer = (packed.owner + clips)[wanted]
    return answer.bincount()[answer].float().rsqrt()


class Training:
    """The state of a run, in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        scale: float = 1.0,
        device: str = "cpu",
        workers: int = 1,
        stages: tuple[CurriculumStage, ...] = CURRICULUM,
        share: ProcessShare = ALONE,
    ):
        torch.manual_seed(seed)
        self.folder, self.seed, self.device, self.workers, self.share = Path(folder), seed, device, workers, share
        self.stages = tuple(stage.scaled(scale) for stage in stages)
        self.student = Student.fresh()
        self.thinker = self.student.thinker.to(device)
        width = self.thinker.config.text_config.hidden_size
        heads = {
            "look": features.VIDEO_LABELS,
            "listen": features.AUDIO_LABELS,
            "answer": features.MOMENT_LABELS,
            "so far": features.SO_FAR_LABELS,
        }
        self.heads = nn.ModuleDict({name: pretrain.Heads(width, labels) for name, labels in heads.items()}).to(device)
        parts = self.student.parts
        networks = {
            "look": [parts.vision, self.heads["look"]],
            "listen": [parts.audio, self.heads["listen"]],
            "answer": [parts.language, self.thinker.lm_head, *(self.heads[name] for name in READ_AFTER)],
        }
        self.parameters = {name: [p for n in found for p in n.parameters()] for name, found in networks.items()}
        self.optimizers = {
            name: _optimizers(found, parts.language if name == "answer" else None) for name, found in self.parameters.items()
        }
        self.stage, self.step, self.paused = 0, 0, False
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / "state.pt").exists():
            self._restore()

    def run(self, on_step: Progress | None = None, until: float = math.inf) -> None:
        """Train from where the state is to the end, or one step at least and until `monotonic()` reaches `until`."""
        self.paused = False
        while self.stage < len(self.stages) and not self.paused:
            stage = self.stages[self.stage]
            (self._answer if stage.questions else self._encode)(stage, on_step, until)
            if self.step == stage.steps:
                rmtree(self._bank, ignore_errors=True)
                self.stage, self.step = self.stage + 1, 0
            self.save()

    def start_from(self, checkpoint: Path, first: str | None = None) -> None:
        """Put a checkpoint's weights into a run that has not begun; what it knows is trained on.

        Args:
            first: name of the stage to begin with, by default the last. Raises ValueError where there is none of that name.
        """
        names = [stage.name for stage in self.stages]
        if first is not None and first not in names:
            raise ValueError(f"There is no stage called {first!r}; choose one of {', '.join(names)}.")
        self.thinker.load_state_dict(Student.load(checkpoint).thinker.state_dict())
        self.stage = names.index(first) if first else len(names) - 1

    def save(self) -> None:
        """Write the state, whole or not at all; of several processes the first does."""
        if self.share.rank:
            return
        state = {
            "stage": self.stage,
            "step": self.step,
            "model": self.thinker.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizers": {name: [o.state_dict() for o in pair] for name, pair in self.optimizers.items()},
        }
        unfinished = self.folder / "state.part"
        torch.save(state, unfinished)
        unfinished.replace(self.folder / "state.pt")

    def _restore(self) -> None:
        state = torch.load(self.folder / "state.pt", weights_only=True, map_location=self.device)
        self.stage, self.step = state["stage"], state["step"]
        self.thinker.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        for name, pair in self.optimizers.items():
            for optimizer, kept in zip(pair, state["optimizers"][name], strict=True):
                optimizer.load_state_dict(kept)

    @property
    def _bank(self) -> Path:
        """Clips of this stage for this process."""
        return self.folder / f"bank-{self.stage}-{self.share.rank}"

    def _steps(self, stage: CurriculumStage, name: str, loss_of: Callable[[int], tuple[Tensor, dict[str, float]]], on_step, until) -> None:
        """The loop every stage shares: learning rate, gradient, progress, state."""
        optimizers, saved = self.optimizers[name], monotonic()
        while self.step < stage.steps and not self.paused:
            share = self.step / stage.steps
            warm_up = min(1.0, (self.step + 1) / 30)
            lr = warm_up * (stage.lr_end + (stage.lr - stage.lr_end) * (0.5 + 0.5 * math.cos(math.pi * share)))
            loss, numbers = loss_of(self.step)
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.paused = self.share.average(self.parameters[name], monotonic() >= until)
            nn.utils.clip_grad_norm_(self.parameters[name], 1.0)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = lr
                optimizer.step()
            self.step += 1
            if on_step:
                on_step(stage, self.step, {"loss": loss.item(), **numbers})
            if monotonic() - saved > SAVE_EVERY_S:
                self.save()
                saved = monotonic()

    def _encode(self, stage: CurriculumStage, on_step: Progress | None, until: float) -> None:
        """Train one encoder on its own labels; at the end scale its tokens to the size of words."""
        parts, sees = self.student.parts, stage.network == "look"
        make = partial(pretrain.video_batch, filmed=stage.filmed) if sees else pretrain.audio_batch
        read, last = (pretrain.video_features, parts.vision.merger.mlp[-1]) if sees else (pretrain.audio_features, parts.audio.proj)
        with executor(self.workers) as pool:
            coming = {}

            def batch(step: int):
                for ahead in range(step, min(step + 1 + self.workers, stage.steps)):
                    if ahead not in coming:
                        seed = (self.seed * 1000 + self.stage) * 100_000 + self.share.rank * 10_000 + ahead
                        coming[ahead] = pool.submit(make, seed, stage.clips // self.share.processes)
                return coming.pop(step).result()

            def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
                data, truth = batch(step)
                tokens = read(self.student, data)
                loss, right = self.heads[stage.network].losses(tokens, truth)
                if step == stage.steps - 1:
                    loss_of.tokens = tokens.detach()
                return loss, right

            self.thinker.train()
            self._steps(stage, stage.network, loss_of, on_step, until)
            self.thinker.eval()
        if self.step == stage.steps:
            pretrain.rescale(last, loss_of.tokens, TOKEN_SCALE)

    def _answer(self, stage: CurriculumStage, on_step: Progress | None, until: float) -> None:
        """Train the language model on questions about encoded clips."""
        weights = self.folder / f"encoders-{self.stage}.pt"  # as this stage finds them
        if not weights.exists() and not self.share.rank:
            torch.save({name: value.cpu() for name, value in self.thinker.state_dict().items()}, weights)
        self.share.wait()
        first_seed = (self.seed * 100 + self.stage) * 1_000_000 + self.share.rank * 100_000
        bank = Bank(
            self._bank,
            weights,
            clips=stage.clips // self.share.processes,
            durations_s=stage.durations_s,
            sizes=stage.sizes,
            first_seed=first_seed,
            filmed=stage.filmed,
            workers=self.workers,
        )
        caught: dict[str, Tensor] = {}
        hooks = [self._catch(name, caught) for name in READ_AFTER]

        def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
            newest = step // REUSE
            for ahead in range(newest, min(newest + 1 + self.workers, -(-stage.steps // REUSE))):
                bank.ask_for(ahead)
            rng = np.random.default_rng([self.seed, self.stage, step])  # the same batch in every process: its size, sound or none
            number = newest if step % REUSE == 0 else int(rng.integers(max(0, newest - WINDOW), newest + 1))
            bank.forget_before(newest - WINDOW)
            rng = np.random.default_rng([self.seed, self.stage, step, self.share.rank])
            return self._answer_loss(bank.read(number), stage, rng, caught)

        try:
            with block_attention(self.student.parts.language):
                self._steps(stage, "answer", loss_of, on_step, until)
        finally:
            for hook in hooks:
                hook.remove()
            bank.close()

    def _catch(self, name: str, caught: dict[str, Tensor]) -> RemovableHandle:
        """Keep what the layer says that this reader reads."""

        def keep(_, __, output) -> None:
            caught[name] = output[0] if isinstance(output, tuple) else output

        return self.student.parts.language.layers[READ_AFTER[name]].register_forward_hook(keep)

    def _answer_loss(
        self, batch: Batch, stage: CurriculumStage, rng: np.random.Generator, caught: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, float]]:
        scenes = batch.scenes
        heard = batch.audio.shape[1] > 0
        asked = [choose(scene, rng, stage.questions, KINDS if heard else WITHOUT_SOUND) for scene in scenes]
        packed = packed_batch.pack(self.student, batch, asked)
        hidden = packed_batch.read(self.student, packed)
        wanted = packed.targets != IGNORE
        each = nn.functional.cross_entropy(self.thinker.lm_head(hidden[wanted]), packed.targets[wanted], reduction="none")
        weights = _answer_weights(packed, wanted)
        loss = (each * weights).sum() / weights.sum()
        if not heard:
            return loss, {"answer": loss.item()}
        numbers = {"answer": loss.item()}
        for name, labels_of in (("answer", features.moment_labels), ("so far", features.so_far_labels)):
            moments = [labels_of(scene) for scene in scenes]
            truth = {label: np.concatenate([m[label] for m in moments]) for label in moments[0]}
            bound, right = self.heads[name].losses(caught[name][:, packed.audio_index].flatten(0, 1), truth)
            loss = loss + READER_WEIGHT[name] * bound
            numbers |= right
        return loss, numbers
