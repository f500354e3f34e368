"""What is observed only when asked for, against eager attention of the untouched model's own layers."""

import pytest
import tiny
import torch
from torch import nn

from omnizip.model.joint_attention import joint_attention
from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.model.saliency import attention_received_windowed
from omnizip.settings import Settings
from omnizip.stream import Modality
from omnizip.types import Turn


def loaded(seed=4):
    return QwenOmni(Loaded(Parts.of(tiny.model(seed)), tiny.tokenizer(), tiny.extractor(), {}), Settings())


def eager_weights(module_of_interest, run):
    """The attention matrices that `module_of_interest` hands out while `run` runs on eager attention."""
    import transformers.models.qwen2_5_omni.modeling_qwen2_5_omni as stock

    eager, weights = stock.eager_attention_forward, []

    def recording(module, *args, **kwargs):
        output, attention = eager(module, *args, **kwargs)
        if module is module_of_interest:
            weights.append(attention[0])
        return output, attention

    stock.eager_attention_forward = recording
    try:
        run()
    finally:
        stock.eager_attention_forward = eager
    return weights


@pytest.mark.parametrize("height, width", [(196, 280), (84, 140)])
def test_video_saliency_is_the_last_full_layers_own_attention(height, width):
    """Through the whole matrix, un-windowed by the processor's rule, for pictures of several windows and of ragged ones."""
    from transformers.vision_utils import get_vision_window_index

    qwen = loaded()
    encoded = qwen.encode(tiny.clip(frames=6, height=height, width=width, sound_s=None))
    steps, rows, columns = encoded.grid
    assert rows > 2 and (rows % 2 or columns % 2)  # several windows of 2 x 2 tokens, the last ones cut
    got, ms = qwen.encoder.video_saliency(encoded)
    parts = qwen.parts
    parts.vision.set_attn_implementation("eager")
    layer = parts.vision.blocks[1].attn
    assert parts.watched_vision_attention is layer
    weights = eager_weights(layer, lambda: qwen.encode(encoded.clip))
    assert len(weights) == steps and weights[0].shape[-1] == 4 * rows * columns
    order, _ = get_vision_window_index(
        torch.tensor([[1, 2 * rows, 2 * columns]]), spatial_merge_size=2, window_size=56, patch_size=14, kwargs={}
    )
    for step, matrix in enumerate(weights):
        received = matrix.sum(dim=(0, 1)).view(-1, 4).mean(dim=1) / (matrix.shape[0] * matrix.shape[1] * steps)
        expected = torch.empty(rows * columns)
        expected[order] = received
        torch.testing.assert_close(got.view(steps, -1)[step], expected, atol=1e-7, rtol=1e-3)
    assert ms > 0 and got.std() > 0.01 * got.mean()


def test_video_saliency_is_made_when_asked_for_and_once():
    qwen = loaded()
    encoded = qwen.encode(tiny.clip(frames=4, sound_s=2.0))
    passes = []
    qwen.parts.vision.register_forward_pre_hook(lambda *_: passes.append(1))
    stream = qwen.stream(encoded, [Turn("What?")])
    assert not passes and stream.observing_ms(frozenset({"saliency_video"})) == 0
    scores = stream.observed("saliency_video")
    assert scores.shape == (stream.n_video,) and len(passes) == 1
    assert torch.equal(qwen.stream(encoded, [Turn("Why?")]).observed("saliency_video"), scores) and len(passes) == 1
    assert stream.observing_ms(frozenset({"saliency_video"})) > 0


def test_windows_too_large_to_hold_at_once_score_the_same():
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(3, 120, 8, generator=generator) for _ in range(2))
    whole = attention_received_windowed(queries, keys, 40)
    torch.testing.assert_close(attention_received_windowed(queries, keys, 40, block_bytes=500), whole)


def test_joint_attention_is_that_of_the_layers_without_their_mask():
    qwen = loaded(5)
    encoded = qwen.encode(tiny.clip(frames=4, sound_s=3.0))
    stream = qwen.stream(encoded, [Turn("What?")])
    parts, before = qwen.parts, qwen.parts.language.config._attn_implementation
    got, ms = joint_attention(parts, stream, layers=2)
    media = (stream.modality != Modality.TEXT).nonzero().flatten()
    parts.language.set_attn_implementation("eager")

    def run():
        hidden = stream.embeds[media][None]
        rotation = parts.language.rotary_emb(hidden, stream.positions[:, None, media])
        with torch.no_grad():
            for layer in parts.language.layers[:2]:
                made = layer(hidden, attention_mask=None, position_embeddings=rotation)
                hidden = made[0] if isinstance(made, tuple) else made

    (matrix,) = eager_weights(parts.language.layers[1].self_attn, run)
    torch.testing.assert_close(got, matrix.mean(dim=(0, 1)), atol=1e-6, rtol=1e-3)
    assert matrix[:, 0, -1].max() > 0  # it does look ahead
    assert ms > 0 and before == "sdpa"


def test_the_layers_are_left_as_they_were_when_looking_fails():
    qwen = loaded()
    stream = qwen.stream(qwen.encode(tiny.clip(frames=2, sound_s=1.0)), [Turn("What?")])
    layers, before = qwen.parts.language.layers, qwen.parts.language.config._attn_implementation
    handle = layers[1].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("planted")))
    with pytest.raises(RuntimeError, match="planted"):
        joint_attention(qwen.parts, stream, layers=3)
    handle.remove()
    assert qwen.parts.language.config._attn_implementation == before
    assert not any("_omnizip_listener" in module.__dict__ for module in layers.modules() if isinstance(module, nn.Module))
