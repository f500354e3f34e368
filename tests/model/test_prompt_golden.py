"""The prompt as the stock processor of transformers 5.23 lays it out, on every file of tests/golden/prompt."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings

FILES = sorted((Path(__file__).parents[1] / "golden" / "prompt").glob("*.npz"))
TEXT, AUDIO, VIDEO = 0, 1, 2


@pytest.fixture(scope="module")
def qwen():
    return QwenOmni(Loaded(Parts.of(tiny.model()), tiny.tokenizer(), tiny.extractor(), {}), Settings())


def test_there_are_files():
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_prompt_is_the_stock_processors(file, qwen):
    golden = np.load(file)
    meta = json.loads(str(golden["meta"]))
    processor, frames = qwen.processor, golden["frames"]

    grid = processor.grid(*frames.shape[:3], max_tokens=meta["max_tokens_per_step"], min_tokens=meta["min_tokens_per_step"])
    assert [grid[0], grid[1] * processor.merge, grid[2] * processor.merge] == golden["video_grid_thw"].reshape(-1).tolist()
    pixels = processor.patches(frames, *grid[1:])
    assert pixels.shape == golden["pixel_values_videos"].shape
    assert np.abs(pixels.numpy() - golden["pixel_values_videos"]).max() < 1e-3

    n_audio = 0
    if "waveform" in golden:
        mel = processor.log_mel(golden["waveform"])
        assert mel.shape == golden["log_mel"].shape
        assert np.abs(mel.numpy() - golden["log_mel"]).max() < 1e-3
        n_audio = processor.audio_tokens(mel.shape[1])

    second_per_step = processor.temporal_patch / meta["fps"]
    media = processor.media_ids(grid, n_audio, second_per_step)
    ids_of_kinds = [-1, processor.audio_id, processor.video_id, processor.vision_start_id, processor.vision_end_id]
    kinds = torch.tensor([*ids_of_kinds, processor.audio_start_id, processor.audio_end_id])
    token_kind = golden["token_kind"]
    inside = np.flatnonzero(token_kind)
    before, after = int(inside[0]), len(token_kind) - int(inside[-1]) - 1
    assert media.tolist() == kinds[torch.from_numpy(token_kind[before : len(token_kind) - after])].tolist()

    ids = torch.cat([torch.zeros(before, dtype=torch.int64), media, torch.zeros(after, dtype=torch.int64)])
    positions = qwen.positions(ids, grid, n_audio, second_per_step)
    assert np.array_equal(positions.numpy(), golden["positions"])
    assert int(positions.max()) + 1 - len(token_kind) == int(golden["rope_delta"].reshape(-1)[0])
