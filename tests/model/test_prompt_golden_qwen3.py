"""The prompt of Qwen3-Omni as the stock processor of transformers 5.24 lays it out, with torchvision, on every stored file."""

from pathlib import Path

import numpy as np
import pytest
import tiny_qwen3
import torch

from omnizip.types import Turn

FILES = sorted((Path(__file__).parents[1] / "golden" / "prompt_qwen3_omni").glob("*.npz"))


@pytest.fixture(scope="module")
def processor():
    return tiny_qwen3.opened().processor


def test_there_are_files():
    assert len(FILES) == 3


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_ids_pixels_and_sound_are_the_stock_processors(file, processor):
    golden = np.load(file)
    frames, (steps, height, width) = golden["frames"], golden["grid"].tolist()
    pixels = processor.patches(frames, height // 2, width // 2)
    assert pixels.shape == golden["pixels"].shape
    assert np.abs(pixels.numpy() - golden["pixels"]).max() < 2e-3  # the file has them in 16 bits
    n_audio = 0
    if "waveform" in golden:
        mel = processor.log_mel(golden["waveform"])
        assert mel.shape == golden["log_mel"].shape == (128, int(golden["mel_frames"]))
        assert np.abs(mel.numpy() - golden["log_mel"]).max() < 1e-3
        n_audio = processor.audio_tokens(mel.shape[1])
    media = processor.media_ids((steps, height // 2, width // 2), n_audio, float(golden["second_per_step"]))
    ids = torch.cat(processor.prompt_ids([Turn("What?")], media))
    assert ids.tolist() == golden["input_ids"].tolist()
