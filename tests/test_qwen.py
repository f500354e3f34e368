"""The model's side against the stock model: same features, same positions, same tokens; and hooks that leave no trace."""

import copy
import dataclasses

import pytest
import tiny
import torch

from omnizip.compressors import COMPRESSORS
from omnizip.encoding import captured_input
from omnizip.layout import AUDIO_STRIDE
from omnizip.loading import Loaded, Parts
from omnizip.qwen import QwenOmni
from omnizip.run import Sampling, Turn
from omnizip.settings import Settings
from omnizip.stream import Modality

STEPS = 40
TURNS = [Turn("What is loud?")]


def open_model(seed=0, **settings):
    return QwenOmni(Loaded(Parts.of(tiny.model(seed)), tiny.tokenizer(), tiny.extractor(), {}), Settings(tokens_per_step=12, **settings))


@pytest.fixture(scope="module")
def qwen():
    return open_model()


def stock_inputs(qwen, clip, turns):
    """What the stock model's own forward takes for the same clip and chat."""
    layout = qwen.layout
    grid = layout.grid(*clip.frames.shape[:3], max_tokens=12)
    inputs = {
        "pixel_values_videos": layout.patches(clip.frames, *grid[1:]),
        "video_grid_thw": torch.tensor([[grid[0], grid[1] * 2, grid[2] * 2]]),
        "video_second_per_grid": torch.tensor([2 / clip.fps]),
        "use_audio_in_video": clip.waveform is not None,
    }
    n_audio = 0
    if clip.waveform is not None:
        mel = layout.log_mel(clip.waveform)
        n_audio = layout.audio_tokens(mel.shape[1])
        inputs |= {"input_features": mel[None], "feature_attention_mask": torch.ones(1, mel.shape[1], dtype=torch.int64)}
    ids = torch.cat(layout.prompt_ids(turns, layout.media_ids(grid, n_audio, 2 / clip.fps)))
    return inputs | {"input_ids": ids[None], "attention_mask": torch.ones_like(ids[None])}


def full_prompt(qwen, encoded, turns=TURNS):
    stream = qwen.stream(encoded, turns)
    return stream.prompt(COMPRESSORS["full"]().compress(stream))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sound_s", [4.6, None], ids=["sound", "no sound"])
def test_full_equals_stock_generate(seed, sound_s):
    qwen = open_model(seed)
    clip = tiny.clip(frames=9, sound_s=sound_s, seed=seed)
    prefilled = qwen.prefill(full_prompt(qwen, qwen.encode(clip)))
    logits, ids = [prefilled.logits], []
    endless = dataclasses.replace(qwen.decoder, end_ids=frozenset())
    keep_logits = endless.advance

    def advance(*args):
        logits.append(keep_logits(*args))
        return logits[-1]

    object.__setattr__(endless, "advance", advance)
    forbidden = torch.cat([qwen.layout.suppressed_ids, torch.tensor(sorted(qwen.layout.end_ids))])
    object.__setattr__(endless, "suppressed_ids", forbidden)
    ids = list(endless.decode(prefilled, Sampling(max_new_tokens=STEPS)))

    stock = qwen.parts.thinker.generate(
        **stock_inputs(qwen, clip, TURNS),
        max_new_tokens=STEPS,
        do_sample=False,
        eos_token_id=-1,
        suppress_tokens=forbidden.tolist(),
        return_dict_in_generate=True,
        output_logits=True,
    )
    assert ids == stock.sequences[0, -STEPS:].tolist()
    assert len(set(ids)) >= 8
    assert len(ids) == len(logits) == STEPS
    for ours, theirs in zip(logits, stock.logits, strict=True):
        assert (ours - theirs[0]).abs().max() < 1e-4
