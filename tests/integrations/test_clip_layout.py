"""Sizes alone tell where a clip's tokens lie: the same order, positions and windows as the model's own rule gives."""

import pytest
import tiny
import torch

from omnizip.integrations.vllm.clip_layout import ClipLayout
from omnizip.integrations.vllm.position_channels import placed_positions, positions_of, with_positions
from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.model.qwen2_5_omni import AUDIO_STRIDE
from omnizip.settings import Settings
from omnizip.types import Turn

CLIPS = [
    {"frames": 8, "seconds": 4.0},
    {"frames": 7, "seconds": 3.3},  # an odd frame, sound that ends within a chunk
    {"frames": 2, "seconds": 0.6},
    {"frames": 6, "seconds": 9.0},  # more sound than picture
    {"frames": 16, "seconds": 2.5},  # sound that ends before the picture
    {"frames": 16, "seconds": 6.25},  # in its last chunk
    {"frames": 9, "seconds": None},  # no sound
]


@pytest.fixture(scope="module")
def model():
    return QwenOmni(Loaded(Parts.of(tiny.model()), tiny.tokenizer(), tiny.extractor(), {}), Settings(device="cpu"))


def encoded_of(model, frames, seconds):
    return model.encode(tiny.clip(frames=frames, sound_s=seconds))


def layout_of(encoded):
    return ClipLayout(encoded.grid, 0 if encoded.audio is None else encoded.audio.shape[0], encoded.second_per_step)


@pytest.mark.parametrize("sizes", CLIPS)
def test_a_layout_is_the_prompts(model, sizes):
    encoded = encoded_of(model, **sizes)
    stream, layout = model.stream(encoded, [Turn("?")]), layout_of(encoded)
    media = stream.media_index
    assert torch.equal(layout.modality, stream.modality[media])
    first = media[0]
    begin = stream.positions[:, first - 1] + 1  # behind the marker before the clip
    assert torch.equal(layout.positions + begin[:, None], stream.positions[:, media])
    alone = layout.stream(stream.embeds[media], encoded.saliency, encoded.saliency_windowed)
    assert torch.equal(alone.window, stream.window[media]) and alone.grid == stream.grid
    assert torch.equal(alone.saliency.nan_to_num(-1), stream.saliency[media].nan_to_num(-1))
    behind = (stream.positions[:, media[-1] + 1 :] - begin[:, None]).unique(dim=0)[0].tolist()
    markers = 1 + (layout.n_audio > 0)
    assert behind[: markers + 1] == [layout.marker] * markers + [layout.marker + 1]


def test_sizes_are_read_off_what_vllm_knows(model):
    encoded = encoded_of(model, 7, 3.3)
    config, merge = model.parts.thinker.config, model.processor.merge
    steps, rows, columns = encoded.grid
    mel = model.processor.log_mel(encoded.clip.waveform)
    assert ClipLayout.of(config, (steps, rows * merge, columns * merge), mel.shape[1], encoded.second_per_step) == layout_of(encoded)
    counts = [ClipLayout.of(config, (steps, rows, columns), frames, 1.0).n_audio for frames in range(0, 40)]
    assert counts == [model.processor.audio_tokens(frames) if frames else 0 for frames in range(0, 40)]


def test_positions_travel_exactly_in_any_precision():
    positions = torch.stack([torch.arange(0, 60000, 7), torch.arange(0, 60000, 7) % 300, torch.arange(0, 60000, 7) % 257])
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        rows = with_positions(torch.ones(positions.shape[1], 5, dtype=dtype), positions)
        assert rows.dtype == dtype and torch.equal(positions_of(rows, 5), positions)


@pytest.mark.parametrize("cuts", [[], [5], [3, 4, 9], list(range(1, 24))])
def test_positions_of_two_clips_are_filled_in_wherever_the_prompt_is_cut(model, cuts):
    """The truth is transformers' rule on the whole prompt; the clips here are pruned to every third token."""
    clips = [encoded_of(model, **CLIPS[0]), encoded_of(model, **CLIPS[1])]
    processor, text = model.processor, torch.tensor([model._text_id])
    blocks = [processor.media_ids(clip.grid, clip.audio.shape[0], clip.second_per_step) for clip in clips]
    whole = torch.cat([text, text, blocks[0], text, blocks[1], text])
    merge = processor.merge
    truth, _ = model.parts.thinker.get_rope_index(
        whole[None],
        video_grid_thw=torch.tensor([[steps, rows * merge, columns * merge] for steps, rows, columns in (clip.grid for clip in clips)]),
        use_audio_in_video=True,
        audio_seqlens=torch.tensor([AUDIO_STRIDE * clip.audio.shape[0] for clip in clips]),
        second_per_grids=torch.tensor([clip.second_per_step for clip in clips]),
    )
    truth = truth[:, 0].to(torch.int64)
    media = (whole == processor.audio_id) | (whole == processor.video_id)
    kept = ~media | (media.cumsum(0) % 3 == 0)
    ids = torch.where(media, processor.video_id, whole)[kept]
    wanted = truth[:, kept]
    rows = [
        with_positions(torch.zeros(layout.positions[:, own].shape[1], 4), layout.positions[:, own])
        for layout, own in (
            (layout_of(clip), kept[media][start : start + size])
            for clip, start, size in zip(clips, [0, len(blocks[0]) - 4], [len(blocks[0]) - 4, len(blocks[1]) - 4], strict=True)
        )
    ]
    places = (ids == processor.video_id).nonzero().flatten().tolist()
    positions = wanted.clone()
    positions[:, places] = -1  # not known yet
    bounds = [0, *[cut * len(ids) // 24 for cut in cuts], len(ids)]
    owner = [0] * len(rows[0]) + [1] * len(rows[1])
    for start, end in zip(bounds, bounds[1:], strict=False):
        here = [i for i, place in enumerate(places) if start <= place < end]
        parts = [rows[clip][[i - len(rows[0]) * clip for i in here if owner[i] == clip]] for clip in (0, 1)]
        parts = [torch.zeros(2, 4), *(part for part in parts if len(part))]  # something that is no clip comes along
        positions = placed_positions(ids.tolist(), parts, 4, positions, start, processor.video_id)
        again = placed_positions(ids, parts, 4, positions, start, processor.video_id)
        assert torch.equal(again, positions)  # a request that was set back is read once more
    assert torch.equal(positions, wanted)
