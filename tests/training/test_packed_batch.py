"""Questions packed beside each other must be read as if each were asked alone, by the untouched model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnizip.evaluation.packing import IGNORE, block_attention
from omnizip.evaluation.world import questions, render
from omnizip.evaluation.world import scene as world
from omnizip.types import Turn
from training import bank, packed_batch
from training.model import Student


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return Student.fresh()


@pytest.fixture(scope="module")
def batch(student):
    return bank.encode(student, (2, 4), 4.0, world.SMALL)  # even seeds: pictures as rendered


def test_each_question_is_read_as_if_it_were_alone(student, batch):
    rng = np.random.default_rng(0)
    asked = [questions.about(scene, rng)[:n] for scene, n in zip(batch.scenes, (5, 3), strict=True)]
    packed = packed_batch.pack(student, batch, asked)
    with torch.no_grad(), block_attention(student.parts.language):
        together = packed_batch.read(student, packed)
    scene, layout, thinker = batch.scenes[1], student.layout, student.thinker
    mel = layout.log_mel(render.waveform(scene))
    pixels = layout.patches(render.frames(scene, np.arange(8) / 2), 6, 6)
    for number, question in enumerate(asked[1]):
        before, after = layout.prompt_ids([Turn(question.text)], layout.media_ids((4, 6, 6), 100, 1.0))
        ids = torch.cat([before, after])[None]
        with torch.no_grad():
            alone = thinker(
                input_ids=ids,
                input_features=mel[None],
                feature_attention_mask=torch.ones(1, mel.shape[1], dtype=torch.long),
                pixel_values_videos=pixels,
                video_grid_thw=torch.tensor([[4, 12, 12]]),
                attention_mask=torch.ones_like(ids),
                use_audio_in_video=True,
                video_second_per_grid=torch.tensor([1.0]),
            ).logits[0, len(before) :]
        mine = thinker.lm_head(together[1][packed.owner[1] == number])[: len(after)]
        assert torch.allclose(mine, alone, atol=2e-2)  # encoded clips are kept in float16
        assert (mine - alone).abs().max() < 0.05 * alone.abs().max()


def test_a_follow_up_and_a_clip_without_sound_are_read_as_in_use(student):
    silent = bank.encode(student, (2,), 4.0, world.SMALL, sound=False)
    (scene,) = silent.scenes
    first, second = questions.about(scene, np.random.default_rng(0), questions.WITHOUT_SOUND)[:2]
    follow_up = replace(second, history=(Turn(first.text, first.answer),))
    packed = packed_batch.pack(student, silent, [[first, follow_up]])
    with torch.no_grad(), block_attention(student.parts.language):
        mine = student.thinker.lm_head(packed_batch.read(student, packed)[0][packed.owner[0] == 1])
    turns = [Turn(first.text, first.answer), Turn(second.text)]
    before, after = student.layout.prompt_ids(turns, student.layout.media_ids((4, 6, 6), 0, 1.0))
    ids = torch.cat([before, after])[None]
    with torch.no_grad():
        alone = student.thinker(
            input_ids=ids,
            pixel_values_videos=student.layout.patches(render.frames(scene, np.arange(8) / 2), 6, 6),
            video_grid_thw=torch.tensor([[4, 12, 12]]),
            attention_mask=torch.ones_like(ids),
            video_second_per_grid=torch.tensor([1.0]),
        ).logits[0, len(before) :]
    assert (mine[: len(after)] - alone).abs().max() < 0.05 * alone.abs().max()


def test_targets_are_the_answers(student, batch):
    asked = [questions.about(scene, np.random.default_rng(1))[:4] for scene in batch.scenes]
    packed = packed_batch.pack(student, batch, asked)
    for clip, found in enumerate(asked):
        for number, question in enumerate(found):
            mine = packed.targets[clip][packed.owner[clip] == number]
            assert student.words.decode(mine[mine != IGNORE]) == f"{question.answer}<|im_end|>"


def test_no_question_sees_another(student, batch):
    asked = [questions.about(scene, np.random.default_rng(2))[:4] for scene in batch.scenes]
    packed = packed_batch.pack(student, batch, asked)
    clip = packed.embeds.shape[1] - packed.targets.shape[1]
    for seen, owner in zip(packed.mask[:, 0], packed.owner, strict=True):
        assert seen[:, :clip].all()
        rows, columns = seen[:, clip:].nonzero().T
        assert (owner[rows] == owner[columns]).all()
        assert (columns <= rows).all()


def test_the_usual_attention_comes_back_after_a_failure(student):
    config = student.parts.language.config
    usual = config._attn_implementation
    with pytest.raises(RuntimeError, match="midway"), block_attention(student.parts.language):
        assert config._attn_implementation != usual
        raise RuntimeError("midway")
    assert config._attn_implementation == usual
