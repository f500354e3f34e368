"""Scoring: what counts as right is what the product's greedy decoding would say, read from a real file."""

import numpy as np
import pytest
import torch

from omnizip import media
from omnizip.evaluation.packing import IGNORE, block_attention
from omnizip.evaluation.world import questions, render
from omnizip.evaluation.world import scene as world
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
from omnizip.stream import Compression, Reason
from omnizip.types import Sampling, Turn
from training import check, model, packed_batch
from training.model import Student

SEED = world.HELD_OUT_SEEDS.start + 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model whose first words depend on the clip; what it says is not the point here."""
    torch.manual_seed(3)
    student = Student.fresh()
    with torch.no_grad():
        for layer in student.parts.language.layers:
            layer.self_attn.v_proj.weight.mul_(20)
            layer.self_attn.o_proj.weight.mul_(20)
    return model.save(student.thinker, student.words, tmp_path_factory.mktemp("nano"))


def test_the_answer_scored_is_the_one_the_product_decodes(folder, tmp_path):
    student = Student.load(folder)
    product = QwenOmni.load(Settings(model=str(folder), device="cpu"))
    scene = world.scene(SEED, 4.0, world.SMALL)
    encoded = product.encode(media.load(render.write_mp4(scene, tmp_path / "clip.mp4"), Settings()))
    batch = check.from_file(student, SEED, 4.0, world.SMALL, tmp_path)
    for question in questions.about(scene, np.random.default_rng(0))[:3]:
        stream = product.stream(encoded, [Turn(question.text)])
        everything = Compression.of(stream, torch.where(stream.modality == 0, Reason.TEXT, Reason.SALIENT).to(torch.uint8))
        (said,) = product.decode(product.prefill(stream.prompt(everything)), Sampling(max_new_tokens=1))
        packed = packed_batch.pack(student, batch, [[question]])
        with torch.no_grad(), block_attention(student.parts.language):
            logits = student.thinker.lm_head(packed_batch.read(student, packed))[0]
        first = (packed.targets[0] != IGNORE).nonzero()[0]
        logits[:, product.processor.suppressed_ids] = -torch.inf
        assert int(logits[first].argmax()) == said


def test_score_wants_every_token_of_an_answer(folder, tmp_path):
    student = Student.load(folder)
    batch = check.from_file(student, SEED, 2.0, world.SMALL, tmp_path)
    asked = questions.about(batch.scenes[0], np.random.default_rng(0))[:4]
    packed = packed_batch.pack(student, batch, [asked])
    wanted = packed.targets[0] != IGNORE
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        table = torch.nn.functional.one_hot(packed.targets[0].clamp(min=0), model.VOCABULARY).float()
        patch.setattr(packed_batch, "read", lambda *_: table[None])
        patch.setattr(student.thinker, "lm_head", torch.nn.Identity())
        assert check.score(student, batch, [asked]) == [[True] * 4]
        last = wanted.nonzero()[-1]
        table[last] = table[last].roll(1)
        assert check.score(student, batch, [asked]) == [[True, True, True, False]]


def test_validation_counts_by_kind_and_uses_files(folder):
    student = Student.load(folder)
    ticks = []
    found = check.validate(student, clips=2, duration_s=2.0, size=world.SMALL, per_clip=5, files=True, on_clip=lambda: ticks.append(1))
    assert sum(asked for _, asked in found.values()) == 10
    assert all(0 <= right <= asked for right, asked in found.values())
    assert len(ticks) == 2
