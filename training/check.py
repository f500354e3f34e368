"""How often the model's answer is right word for word, per kind of question, on clips it was not trained on, with all tokens.

All questions about a clip are read in one pass (`packed_batch`), each as if it were asked alone. An answer counts as right if
every token of it is the most likely one after the right beginning, end of turn included: that is when greedy decoding says it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from omnizip import media
from omnizip.evaluation.packing import IGNORE, block_attention
from omnizip.evaluation.world import render
from omnizip.evaluation.world import scene as world
from omnizip.evaluation.world.phrasings import paraphrases
from omnizip.evaluation.world.questions import Question, about
from omnizip.model.encoders import Encoder
from omnizip.settings import Settings

from . import packed_batch
from .bank import Batch, encode
from .model import Student

Tally = dict[str, tuple[int, int]]  # kind -> (right, asked)


@torch.no_grad()
def score(student: Student, batch: Batch, asked: list[list[Question]]) -> list[list[bool]]:
    """Which questions about each clip get the right answer."""
    packed = packed_batch.pack(student, batch, asked)
    with block_attention(student.parts.language):
        said = student.thinker.lm_head(packed_batch.read(student, packed)).argmax(-1)
    wrong = (said != packed.targets) & (packed.targets != IGNORE)
    return [[not bool(wrong[clip][packed.owner[clip] == n].any()) for n in range(len(found))] for clip, found in enumerate(asked)]


def from_file(student: Student, seed: int, duration_s: float, size: tuple[int, int], folder: Path) -> Batch:
    """One clip, written as .mp4 and read back the way a person's file is."""
    path = render.write_mp4(world.scene(seed, duration_s, size), folder / f"{seed}.mp4")
    settings = Settings()
    encoded = Encoder(student.parts, student.layout, settings.tokens_per_step).encode(media.load(path, settings))
    path.unlink()
    sound = encoded.video[:0] if encoded.audio is None else encoded.audio
    return Batch((seed,), encoded.grid[0] * encoded.second_per_step, size, encoded.video[None].half(), sound[None].half())


def validate(
    student: Student,
    *,
    clips: int = 48,
    duration_s: float = 8.0,
    size: tuple[int, int] = (128, 128),
    per_clip: int = 40,
    files: bool = False,
    paraphrased: bool = False,
    on_clip: Callable[[], None] | None = None,
) -> Tally:
    """Accuracy on the last held-out seeds, which no other measurement uses.

    Args:
        per_clip: questions per clip, at most.
        files: go through .mp4 files and the product's decoder instead of the rendered arrays.
        paraphrased: ask in the wordings of `phrasings.paraphrases`, which training does not know.
        on_clip: called after each clip.
    """
    right, asked_of = defaultdict(int), defaultdict(int)
    with TemporaryDirectory() as folder:
        for number in range(clips):
            seed = world.HELD_OUT_SEEDS[-1 - number]
            scene = world.scene(seed, duration_s, size)
            asked = about(scene, np.random.default_rng([6, number]), wordings=paraphrases() if paraphrased else None)[:per_clip]
            batch = from_file(student, seed, duration_s, size, Path(folder)) if files else encode(student, (seed,), duration_s, size)
            for question, correct in zip(asked, score(student, batch, [asked])[0], strict=True):
                right[question.kind] += correct
                asked_of[question.kind] += 1
            if on_clip:
                on_clip()
    return {kind: (right[kind], asked_of[kind]) for kind in sorted(asked_of)}
