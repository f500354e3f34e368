"""Attention within blocks: equal to the stock path that goes block by block, in a few calls."""

import pytest
import tiny
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from omnizip.model.block_attention import Blocks, batched_blocks
from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings


class AttentionCalls(TorchDispatchMode):
    """Counts the calls of scaled dot-product attention, whichever kernel takes them."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "scaled_dot_product" in function.__name__:
            self.count += 1
        return function(*args, **(kwargs or {}))


def omni(attention="sdpa"):
    thinker = tiny.model()
    parts = Parts.of(thinker)
    for part in (parts.audio, parts.vision, parts.language):
        part.config._attn_implementation = attention
    return QwenOmni(Loaded(parts, tiny.tokenizer(), tiny.extractor(), {}), Settings(tokens_per_step=15))


@pytest.fixture(scope="module")
def qwen():
    return omni()


def stock(qwen, clip):
    """Both encoders called as transformers has them, the whole clip at once."""
    processor, thinker = qwen.processor, qwen.parts.thinker
    grid = processor.grid(*clip.frames.shape[:3], max_tokens=15)
    shape = torch.tensor([[grid[0], grid[1] * processor.merge, grid[2] * processor.merge]])
    with torch.inference_mode():
        video = torch.cat(tuple(thinker.get_video_features(processor.patches(clip.frames, *grid[1:]), shape).pooler_output))
        mel = processor.log_mel(clip.waveform)
        mask = torch.ones(1, mel.shape[1], dtype=torch.int64)
        audio = thinker.get_audio_features(mel[None], feature_attention_mask=mask).last_hidden_state
    return video, audio


@pytest.mark.parametrize("size", [(56, 56), (84, 140), (140, 84), (70, 70)], ids=["whole windows", "edges", "edges on end", "odd"])
@pytest.mark.parametrize("sound_s", [2.0, 5.37])
def test_features_equal_those_of_the_stock_path(qwen, size, sound_s):
    clip = tiny.clip(frames=6, height=size[0], width=size[1], sound_s=sound_s)
    for got, expected in zip(qwen.encoder.features(clip), stock(qwen, clip), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)


def test_a_layer_calls_attention_once_for_each_length_of_block(qwen):
    """Pictures of 3 x 5 tokens have windows of 2 x 2, 1 x 2, 2 x 1 and 1 x 1; 5.37 s of sound are two whole blocks and a rest."""
    clip = tiny.clip(frames=16, height=84, width=140, sound_s=5.37)
    with AttentionCalls() as ours:
        qwen.encoder.features(clip)
    layers = len(qwen.parts.vision.blocks), len(qwen.parts.vision.config.fullatt_block_indexes), len(qwen.parts.audio.layers)
    assert 0 < ours.count <= (layers[0] - layers[1]) * 4 + layers[1] + layers[2] * 2
    with AttentionCalls() as theirs:
        stock(qwen, clip)
    assert theirs.count > 5 * ours.count


def test_the_implementation_is_as_before_even_after_an_error(qwen):
    with pytest.raises(KeyError), batched_blocks(qwen.parts.vision):
        raise KeyError
    assert qwen.parts.vision.config._attn_implementation == "sdpa"


def test_eager_attention_stays_eager():
    eager = omni("eager")
    with AttentionCalls() as calls:
        video, audio = eager.encoder.features(tiny.clip())
    assert calls.count == 0
    for got, expected in zip((video, audio), omni().encoder.features(tiny.clip()), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[4, 4, 4], [4, 2, 4, 1, 2], [0, 3, 0, 3], [5], []])
def test_blocks_hold_every_row_once(lengths):
    edges = torch.tensor([0, *lengths], dtype=torch.int32).cumsum(0)
    blocks = Blocks.of(edges)
    assert sorted(length for count, length in blocks.groups for _ in range(count)) == sorted(n for n in lengths if n)
    rows = torch.arange(sum(lengths))
    if blocks.order is not None:
        assert torch.equal(rows[blocks.order][blocks.inverse], rows)
        block_of = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        parts = block_of[blocks.order].split([length for count, length in blocks.groups for _ in range(count)])
        assert all(part.unique().numel() == 1 for part in parts)
