"""The embedded model has the layout of the real one and survives being written and read."""

import json

import numpy as np
import pytest
import torch

from omnizip.evaluation.world import phrasings, scene
from training import model
from training.model import PATCH, Student


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return Student.fresh()


def test_rates_and_windows_are_those_of_the_real_model(student):
    layout = student.layout
    assert layout.audio_tokens(100) == 25
    assert layout.block_frames == 200
    assert (layout.temporal_patch, layout.merge, layout.positions_per_second) == (2, 2, 25)
    assert sum(student.thinker.config.text_config.rope_parameters["mrope_section"]) * 2 == 256 // 4


@pytest.mark.parametrize("size", scene.SIZES)
def test_evaluated_clips_have_at_least_64_tokens_a_step(student, size):
    width, height = size
    assert width % (2 * PATCH) == height % (2 * PATCH) == 0
    _, rows, columns = student.layout.grid(2, height, width, max_tokens=128)
    assert 64 <= rows * columns <= 128


@pytest.mark.parametrize("text", ["What colour is the star?", "Où est l'étoile ?", "鐘が鳴る 🔔", "line\none\t  two", ""])
def test_any_text_can_be_written_and_read_back(student, text):
    assert student.words.decode(student.words.encode(text)) == text


def test_words_of_the_world_are_one_token_each(student):
    for word in (*scene.SHAPES, *scene.COLOURS, *scene.SOUNDS, "colour", "when"):
        assert len(student.words.encode(f" {word}")) == 1
    assert len(student.words) <= model.VOCABULARY
    assert len(list(phrasings.corpus())) > 1000


def test_a_saved_model_is_read_back_by_the_stock_classes(student, tmp_path):
    folder = model.save(student.thinker, student.words, tmp_path / "nano")
    assert sum(f.stat().st_size for f in folder.iterdir()) < 25_000_000
    assert json.loads((folder / "preprocessor_config.json").read_text())["patch_size"] == PATCH
    again = Student.load(folder)
    assert again.words.encode("a bell rings<|im_end|>") == student.words.encode("a bell rings<|im_end|>")
    for name, value in student.thinker.state_dict().items():
        assert torch.equal(again.thinker.state_dict()[name], value.to(torch.bfloat16).to(value.dtype)), name
    ids = torch.tensor([student.words.encode("What is heard?")])
    with torch.no_grad():
        assert torch.allclose(again.thinker(ids).logits, student.thinker(ids).logits, atol=0.1)
    assert student.thinker.dtype == torch.float32


def test_two_fresh_models_of_one_seed_are_equal(student):
    torch.manual_seed(0)
    again = Student.fresh()
    same = [np.array_equal(a.detach(), b.detach()) for a, b in zip(student.thinker.parameters(), again.thinker.parameters(), strict=True)]
    assert all(same)
