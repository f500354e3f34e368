"""The vision encoder on chosen groups: the stock encoder's result with all chosen, a dense masked encoder's with some."""

import copy

import pytest
import tiny
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Thinker

from omnizip.model import encoders, qwen2_5_omni
from omnizip.model.block_attention import batched_blocks
from omnizip.model.encode_subset import encode_subset, window_labels, window_side
from omnizip.model.loading import Loaded, Parts, embedded
from omnizip.model.qwen import QwenOmni, encoder_shape_of
from omnizip.report.flops import encoder_flops
from omnizip.settings import Settings

GRIDS = [(1, 1, 1), (1, 4, 4), (2, 3, 5), (3, 5, 3), (2, 9, 16), (5, 2, 7), (3, 4, 8), (2, 6, 4), (1, 1, 9)]


def real_layout():
    """Windows of 112 pixels, so four groups wide, as in the released checkpoints, and full attention in every fourth block."""
    config = tiny.config()
    vision = config.vision_config
    vision.window_size, vision.depth, vision.fullatt_block_indexes = 112, 8, [3, 7]
    return tiny.widen(Thinker(config), 5).eval()


@pytest.fixture(scope="module", params=["real layout", "nano"])
def vision(request):
    thinker = real_layout() if request.param == "real layout" else Thinker.from_pretrained(embedded(), dtype=torch.float32).eval()
    parts = Parts.of(thinker)
    parts.vision.config._attn_implementation = "sdpa"
    return parts.vision


def pixels_of(vision, grid, seed=0):
    config, (steps, rows, columns) = vision.config, grid
    groups = steps * rows * columns
    width = config.in_channels * config.temporal_patch_size * config.patch_size**2
    return torch.randn(groups, config.spatial_merge_size**2, width, generator=torch.Generator().manual_seed(seed))


def stock(vision, pixels, grid):
    steps, rows, columns = grid
    merge = vision.config.spatial_merge_size
    with torch.inference_mode():
        return vision(pixels.flatten(0, 1), torch.tensor([[steps, rows * merge, columns * merge]])).pooler_output


def subset(vision, pixels, grid, keep):
    with torch.inference_mode():
        return encode_subset(vision, pixels[keep.flatten()].flatten(0, 1), grid[2], keep)


def some(grid, share=0.4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(grid[0], grid[1] * grid[2], generator=generator) < share
    keep[-1, -1] = True
    return keep


def dense(vision, pixels, grid, keep):
    """What the encoder's layers make of the kept groups if nothing else may be attended to: every group is carried through, in
    picture order, and a mask of step and window says who sees whom. Written from the layers' formulas, not from their code."""
    steps, rows, columns = grid
    config, unit = vision.config, vision.config.spatial_merge_size**2
    n, merge, heads = rows * columns, config.spatial_merge_size, config.num_heads
    step = torch.arange(steps).repeat_interleave(n * unit)
    window = window_labels(rows, columns, window_side(vision.config)).repeat(steps).repeat_interleave(unit)
    kept = keep.flatten().repeat_interleave(unit)
    place = torch.arange(n).repeat(steps).repeat_interleave(unit)
    inner = torch.arange(unit).repeat(steps * n)
    row, column = place // columns * merge + inner // merge, place % columns * merge + inner % merge
    dim = config.hidden_size // heads
    frequency = 10000.0 ** -(torch.arange(0, dim // 2, 2).float() / (dim // 2))
    angle = torch.cat([row[:, None] * frequency, column[:, None] * frequency], dim=1).repeat(1, 2)  # (T, dh)

    def turned(x):
        left, right = x.chunk(2, dim=-1)
        return x * angle.cos()[:, None] + torch.cat([-right, left], dim=-1) * angle.sin()[:, None]

    with torch.inference_mode():
        x = vision.patch_embed(pixels.flatten(0, 1))
        for number, block in enumerate(vision.blocks):
            same = step[:, None] == step
            if number not in config.fullatt_block_indexes:
                same = same & (window[:, None] == window)
            mask = same & kept[None, :]
            mask |= torch.eye(len(kept), dtype=torch.bool)  # a row that sees nothing would be no number
            y = block.norm1(x)
            q, k, v = (part(y).unflatten(1, (heads, dim)) for part in (block.attn.q, block.attn.k, block.attn.v))
            scores = torch.einsum("qhd,khd->hqk", turned(q), turned(k)) * dim**-0.5
            weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
            x = x + block.attn.proj(torch.einsum("hqk,khd->qhd", weights, v).flatten(1))
            x = x + block.mlp(block.norm2(x))
        return vision.merger(x)[keep.flatten()]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("attention", ["batched blocks", "sdpa", "eager"])
def test_with_all_kept_it_is_the_stock_encoder_bit_for_bit(vision, grid, attention, monkeypatch):
    if attention == "eager":
        monkeypatch.setattr(vision.config, "_attn_implementation", "eager")
    pixels, everything = pixels_of(vision, grid), torch.ones(grid[0], grid[1] * grid[2], dtype=torch.bool)
    if attention == "batched blocks":
        with batched_blocks(vision):
            assert torch.equal(subset(vision, pixels, grid, everything), stock(vision, pixels, grid))
    else:
        assert torch.equal(subset(vision, pixels, grid, everything), stock(vision, pixels, grid))


@pytest.mark.parametrize("grid", [grid for grid in GRIDS if grid != (2, 9, 16)], ids=str)
@pytest.mark.parametrize("batched", [True, False], ids=["batched blocks", "sdpa"])
def test_a_part_is_what_a_dense_encoder_makes_with_the_rest_masked(vision, grid, batched):
    pixels, keep = pixels_of(vision, grid), some(grid)
    if batched:
        with batched_blocks(vision):
            got = subset(vision, pixels, grid, keep)
    else:
        got = subset(vision, pixels, grid, keep)
    expected = dense(vision, pixels, grid, keep)
    assert got.shape == expected.shape
    torch.testing.assert_close(got, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-5)


def test_the_dense_encoder_with_nothing_masked_is_the_stock_one(vision):
    grid = (2, 5, 6)
    pixels, everything = pixels_of(vision, grid), torch.ones(2, 30, dtype=torch.bool)
    expected = stock(vision, pixels, grid)
    torch.testing.assert_close(dense(vision, pixels, grid, everything), expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-5)


def test_steps_do_not_influence_each_other(vision):
    grid = (3, 5, 6)
    keep = some(grid, 0.5)
    pixels, other = pixels_of(vision, grid), pixels_of(vision, grid, seed=1)
    other.view(3, 30, *other.shape[1:])[1] = pixels.view(3, 30, *pixels.shape[1:])[1]
    first, second = (subset(vision, p, grid, keep) for p in (pixels, other))
    rows = torch.repeat_interleave(torch.arange(3), keep.sum(dim=1)) == 1
    scale = float(first.abs().max())
    torch.testing.assert_close(first[rows], second[rows], atol=1e-6 * scale, rtol=1e-6)
    assert not torch.allclose(first[~rows], second[~rows])


def test_neighbours_that_are_left_out_change_what_is_kept(vision):
    """Which is why a subset is run and not cut out of a full encoding."""
    grid = (1, 4, 4)
    pixels, keep = pixels_of(vision, grid), some(grid)
    assert not torch.allclose(subset(vision, pixels, grid, keep), stock(vision, pixels, grid)[keep.flatten()], atol=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.02], ids=["nothing", "a few"])
def test_steps_and_windows_may_be_empty(vision, share):
    grid = (6, 9, 16)
    keep = torch.rand(6, 144, generator=torch.Generator().manual_seed(1)) < share
    keep[2] = False
    got = subset(vision, pixels_of(vision, grid), grid, keep)
    assert got.shape == (int(keep.sum()), vision.config.out_hidden_size) and bool(got.isfinite().all())


def test_bfloat16_is_as_near_as_its_precision(vision):
    grid = (2, 5, 6)
    half = copy.deepcopy(vision).bfloat16()
    pixels, keep = pixels_of(vision, grid), some(grid)
    everything = torch.ones_like(keep)
    assert torch.equal(subset(half, pixels, grid, everything), stock(half, pixels.bfloat16(), grid))
    got, expected = subset(half, pixels, grid, keep), subset(vision, pixels, grid, keep)
    assert got.dtype == torch.bfloat16
    assert float((got.float() - expected).norm() / expected.norm()) < 0.05


@pytest.fixture(scope="module")
def qwen():
    parts = Parts.of(real_layout())
    return QwenOmni(Loaded(parts, tiny.tokenizer(), tiny.extractor(), {}), Settings(tokens_per_step=15))


@pytest.mark.parametrize("frames", [8, 7], ids=["even", "odd"])
def test_a_clip_in_batches_is_the_clip_at_once(qwen, frames, monkeypatch):
    """Batches count the patches that are kept, whatever they are, and hold whole steps."""
    clip = tiny.clip(frames=frames, height=84, width=140)
    encoded = qwen.encode(clip)
    heard = qwen.encoder.listen(clip)
    everything = qwen.encoder.encode_seen(heard, torch.ones_like(heard.seen))
    torch.testing.assert_close(everything.video, encoded.video, atol=1e-6 * float(encoded.video.abs().max()), rtol=1e-6)
    assert torch.equal(everything.audio, encoded.audio) and heard.video.shape[0] == 0
    keep = some(heard.grid, 0.5)
    at_once = qwen.encoder.encode_seen(heard, keep)
    sizes = []
    counted = qwen2_5_omni.encode_subset
    monkeypatch.setattr(qwen2_5_omni, "encode_subset", lambda v, p, c, k: sizes.append(k.sum(dim=1) * 4) or counted(v, p, c, k))
    monkeypatch.setattr(encoders, "PATCHES_PER_BATCH", 60)
    in_batches = qwen.encoder.encode_seen(heard, keep)
    assert len(sizes) > 1 and all(int(size.sum()) <= 60 or size.numel() == 1 for size in sizes)
    torch.testing.assert_close(in_batches.video, at_once.video, atol=1e-6 * float(at_once.video.abs().max()), rtol=1e-6)
    assert at_once.video.shape[0] == int(keep.sum()) and torch.equal(at_once.seen, keep)


@pytest.mark.parametrize("share", [1.0, 0.4], ids=["all", "a part"])
def test_the_count_of_operations_is_what_torch_counts(qwen, share, monkeypatch):
    """Torch counts the products that are really called: of the picture with eager attention, since it knows no kernel of the CPU for
    attention; of the sound without attention, which is three blocks of 100 frames."""
    monkeypatch.setattr(qwen.parts.vision.config, "_attn_implementation", "eager")
    clip = tiny.clip(frames=8, height=84, width=140, sound_s=6.0)
    heard, shape = qwen.encoder.listen(clip), encoder_shape_of(qwen.parts)
    keep = some(heard.grid, share) if share < 1 else torch.ones_like(heard.seen)
    with FlopCounterMode(display=False) as counted:
        qwen.encoder.encode_seen(heard, keep)
    assert encoder_flops(shape, heard.grid, keep, 0) == counted.get_total_flops()
    mel = qwen.encoder._log_mel(clip)
    with FlopCounterMode(display=False) as counted:
        qwen.encoder._encode_audio(mel, lambda part: None)
    attention = shape.audio_layers * 4 * shape.audio_width * 3 * 100**2
    assert encoder_flops(shape, heard.grid, torch.zeros_like(keep), 150) - attention == counted.get_total_flops()
