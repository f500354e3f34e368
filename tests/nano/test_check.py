"""Scoring: what counts as right is what the product's greedy decoding would say, read from a real file."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnizip import media
from omnizip.nano import check, model, questions, render, world
from omnizip.nano.model import Student
from omnizip.qwen import QwenOmni
from omnizip.run import Sampling, Turn
from omnizip.settings import Settings
from omnizip.stream import Compression, Reason

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


def test_a_right_answer_is_the_one_the_product_decodes(folder, tmp_path):
    student = Student.load(folder)
    product = QwenOmni.load(Settings(model=str(folder), device="cpu"))
    path = render.write_mp4(world.scene(SEED, 4.0, world.SMALL), tmp_path / "clip.mp4")
    encoded = product.encode(media.load(path, Settings()))
    asked = questions.about(world.scene(SEED, 4.0, world.SMALL), np.random.default_rng(0))[:3]
    said = []
    for question in asked:
        stream = product.stream(encoded, [Turn(question.text)])
        everything = Compression.of(stream, torch.where(stream.modality == 0, Reason.TEXT, Reason.SALIENT).to(torch.uint8))
        ids = list(product.decode(product.prefill(stream.prompt(everything)), Sampling(max_new_tokens=2)))
        said.append(product.text(ids))
    assert all(said)
    batch = check.from_file(student, SEED, 4.0, world.SMALL, tmp_path)
    claims = [replace(q, answer=words) for q, words in zip(asked, said, strict=True)]
    packed = check.packing.pack(student, batch, [claims])
    with torch.no_grad(), check.packing.block_attention(student):
        best = student.thinker.lm_head(check.packing.read(student, packed)).argmax(-1)[0]
    for number, words in enumerate(said):
        mine = best[(packed.owner[0] == number) & (packed.targets[0] != check.packing.IGNORE)]
        assert student.words.decode(mine[:-1]) == words


def test_score_wants_every_token_of_an_answer(folder, tmp_path):
    student = Student.load(folder)
    batch = check.from_file(student, SEED, 2.0, world.SMALL, tmp_path)
    asked = questions.about(batch.scenes[0], np.random.default_rng(0))[:4]
    packed = check.packing.pack(student, batch, [asked])
    wanted = packed.targets[0] != check.packing.IGNORE
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        table = torch.nn.functional.one_hot(packed.targets[0].clamp(min=0), model.VOCABULARY).float()
        patch.setattr(check.packing, "read", lambda *_: table[None])
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
