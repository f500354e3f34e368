"""Saliency against the attention it claims to be: the layer's own weights, and a dense softmax of the same Q and K."""

import pytest
import tiny
import torch

from omnizip.model.captured_input import captured_input
from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.model.saliency import attention_received, attention_received_windowed, per_token
from omnizip.settings import Settings


def random_qk(heads=3, frames=250, width=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(2 * torch.randn(heads, frames, width, generator=generator) for _ in range(2))


def dense(queries, keys, window=None):
    """Attention received by definition, from the whole matrix."""
    logits = queries.double() @ keys.double().transpose(1, 2) / queries.shape[2] ** 0.5
    if window is not None:
        block = torch.arange(queries.shape[1]) // window
        logits = logits.masked_fill(block[:, None] != block[None, :], -torch.inf)
    return (logits.softmax(-1).sum(dim=(0, 1)) / (queries.shape[0] * queries.shape[1])).float()


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 250])
@pytest.mark.parametrize("block_bytes", [1, 5_000, 1 << 26])
def test_clip_scope_is_a_dense_softmax_for_any_block(frames, block_bytes):
    queries, keys = random_qk(frames=frames)
    received = attention_received(queries, keys, block_bytes=block_bytes)
    torch.testing.assert_close(received, dense(queries, keys), atol=1e-6, rtol=1e-5)
    assert received.dtype == torch.float32
    assert abs(float(received.sum()) - 1) < 1e-5


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 350])
@pytest.mark.parametrize("block_bytes", [1, 250_000, 1 << 26])
def test_window_scope_is_a_block_diagonal_softmax_for_any_block(frames, block_bytes):
    queries, keys = random_qk(frames=frames, seed=1)
    received = attention_received_windowed(queries, keys, 100, block_bytes=block_bytes)
    torch.testing.assert_close(received, dense(queries, keys, 100), atol=1e-6, rtol=1e-5)
    assert abs(float(received.sum()) - 1) < 1e-5


def test_each_window_holds_its_share_whatever_its_length():
    queries, keys = random_qk(frames=230)
    received = attention_received_windowed(queries, keys, 100)
    shares = [float(part.sum()) for part in received.split(100)]
    assert shares == pytest.approx([100 / 230, 100 / 230, 30 / 230], abs=1e-6)


def test_scopes_agree_within_one_window_and_differ_beyond():
    queries, keys = random_qk(frames=90)
    torch.testing.assert_close(attention_received_windowed(queries, keys, 100), attention_received(queries, keys))
    queries, keys = random_qk(frames=200)
    assert (attention_received_windowed(queries, keys, 100) - attention_received(queries, keys)).abs().max() > 1e-4


def test_half_precision_is_scored_in_float32():
    queries, keys = (x.to(torch.bfloat16) for x in random_qk())
    torch.testing.assert_close(attention_received(queries, keys), dense(queries.float(), keys.float()), atol=1e-6, rtol=1e-5)


def test_a_token_is_the_mean_of_its_two_frames():
    assert per_token(torch.tensor([1.0, 3.0, 5.0, 5.0, 9.0])).tolist() == [2.0, 5.0]
    assert per_token(torch.tensor([1.0])).tolist() == []


def test_no_frames():
    queries, keys = random_qk(frames=0)
    assert attention_received(queries, keys).shape == attention_received_windowed(queries, keys, 100).shape == (0,)


def test_memory_does_not_grow_with_the_square_of_the_clip():
    from torch.profiler import ProfilerActivity, profile

    queries, keys = random_qk(heads=2, frames=6000)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        attention_received(queries, keys, block_bytes=1 << 20)
    largest = max(event.self_cpu_memory_usage for event in record.events() if event.name != "[memory]")
    assert largest < 8 << 20  # the whole matrix would be 288 MB


@pytest.mark.parametrize("sound_s", [1.3, 4.0, 7.7])
def test_windowed_saliency_is_what_the_layer_computed(sound_s):
    """Eager attention hands out its weights, block by block; ours is recomputed beside whatever backend runs."""
    thinker = tiny.model(2)
    qwen = QwenOmni(Loaded(Parts.of(thinker), tiny.tokenizer(), tiny.extractor(), {}), Settings())
    clip = tiny.clip(frames=2, sound_s=sound_s)
    encoded = qwen.encode(clip)

    parts, weights = Parts.of(thinker), []
    parts.audio.set_attn_implementation("eager")
    import transformers.models.qwen2_5_omni.modeling_qwen2_5_omni as stock

    eager = stock.eager_attention_forward

    def recording(module, *args, **kwargs):
        output, attention = eager(module, *args, **kwargs)
        if module is parts.last_audio_attention:
            weights.append(attention[0])  # (H, n, n) of one block
        return output, attention

    stock.eager_attention_forward = recording
    try:
        again = qwen.encode(clip)
    finally:
        stock.eager_attention_forward = eager
    frames = sum(block.shape[-1] for block in weights)
    assert len(weights) == -(-int(sound_s * 100) // 200)
    received = torch.cat([block.sum(dim=(0, 1)) for block in weights]) / (weights[0].shape[0] * frames)
    torch.testing.assert_close(encoded.saliency_windowed, per_token(received), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(again.saliency_windowed, encoded.saliency_windowed, atol=1e-6, rtol=1e-4)


def test_clip_saliency_is_a_dense_softmax_of_the_layers_q_and_k():
    thinker = tiny.model(3)
    parts = Parts.of(thinker)
    qwen = QwenOmni(Loaded(parts, tiny.tokenizer(), tiny.extractor(), {}), Settings())
    clip = tiny.clip(frames=2, sound_s=5.0)
    encoded = qwen.encode(clip)
    layer = parts.last_audio_attention
    mel = qwen.processor.log_mel(clip.waveform)
    with torch.no_grad(), captured_input(layer) as seen:
        thinker.get_audio_features(mel[None], feature_attention_mask=torch.ones(1, mel.shape[1], dtype=torch.int64))
        queries, keys = (project(seen[0]).view(250, layer.num_heads, -1).transpose(0, 1) for project in (layer.q_proj, layer.k_proj))
    torch.testing.assert_close(encoded.saliency, per_token(dense(queries, keys)), atol=1e-6, rtol=1e-4)
    assert encoded.saliency.std() > 0.1 * encoded.saliency.mean()
