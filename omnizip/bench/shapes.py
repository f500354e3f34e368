"""Sizes of released thinkers, of the embedded one and of tiny ones for tests, by short names; weights are drawn by whoever builds them.

Those of Qwen3-Omni are the published ones of the language model (48 layers of width 2048, 128 experts of width 768, eight for a token)
and of its encoders.
"""

from __future__ import annotations

from typing import Any

from transformers import Qwen2_5OmniThinkerConfig, Qwen3OmniMoeThinkerConfig

from ..model.loading import embedded

VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}  # of the released checkpoints, as are the next
TEXT = {
    "3b": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2},
    "7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4},
    "tiny": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
}
VOCABULARY = {"3b": 151936, "7b": 152064, "tiny": 1000}
ROPE_SECTIONS = {"tiny": [2, 3, 3]}  # of a head's width; the real ones are 16, 24, 24
TINY_AUDIO = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 96}
TINY_VISION = {"depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 4, "fullatt_block_indexes": [1]}
EXPERTS = {
    "qwen3-30b-a3b": {
        "text_config": {
            "hidden_size": 2048,
            "intermediate_size": 768,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "moe_intermediate_size": 768,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "vocab_size": 152064,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True},
        },
        "audio_config": {"output_dim": 2048},
        "vision_config": {"out_hidden_size": 2048},
    },
    "tiny-experts": {
        "text_config": {
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "moe_intermediate_size": 24,
            "num_experts": 6,
            "num_experts_per_tok": 2,
            "vocab_size": 1000,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True},
        },
        "audio_config": {**TINY_AUDIO, "output_dim": 64, "downsample_hidden_size": 8},
        "vision_config": {
            "depth": 4,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 4,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1, 2],
        },
        "audio_token_id": 1,
        "image_token_id": 2,
        "video_token_id": 3,
    },
}
SHAPES = ("3b", "7b", "qwen3-30b-a3b", "nano", "tiny", "tiny-experts")


def config_of(shape: str) -> Any:
    """The config of a released thinker, of the embedded model ("nano") or of one for tests ("tiny", "tiny-experts")."""
    if shape == "nano":
        return Qwen2_5OmniThinkerConfig.from_pretrained(embedded())
    if shape in EXPERTS:
        return Qwen3OmniMoeThinkerConfig(
            **{"audio_token_id": 151675, "position_id_per_seconds": 13, "tie_word_embeddings": False, **EXPERTS[shape]}
        )
    tiny, width = shape == "tiny", TEXT[shape]["hidden_size"]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": ROPE_SECTIONS.get(shape, [16, 24, 24])}
    return Qwen2_5OmniThinkerConfig(
        text_config={**TEXT[shape], "vocab_size": VOCABULARY[shape], "rope_parameters": rope, "tie_word_embeddings": False},
        audio_config={**(TINY_AUDIO if tiny else {}), "output_dim": width},
        vision_config={**(TINY_VISION if tiny else VISION), "out_hidden_size": width},
        tie_word_embeddings=False,
        **({"audio_token_index": 1, "image_token_index": 2, "video_token_index": 3} if tiny else {}),
    )
