"""A randomly initialised Qwen3-Omni of some 300,000 parameters and its tokenizer; clips, extractor and widening are those of tiny.

Its layout is the real one's (patch 16, merge 2, 128 mel bins, 13 audio tokens and positions a second, blocks of eight seconds, a
mixture of experts, q/k norms, interleaved rotation, a picture added after the first layers).
"""

import json
from pathlib import Path

import tiny
import torch
from transformers import Qwen3OmniMoeThinkerConfig, Qwen3OmniMoeThinkerForConditionalGeneration

from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|audio_pad|>",
    "<|audio_start|>",
    "<|audio_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEMPLATE = tiny.TEMPLATE.replace("<|vision_bos|><|VIDEO|><|vision_eos|>", "<|vision_start|><|video_pad|><|vision_end|>")
TOKENS_PER_STEP = 12
DEEP = 3  # layers behind which the picture is added


def tokenizer():
    return tiny.tokenizer(SPECIAL, TEMPLATE)


def config(layers=4, positions_per_second=13):
    ids = tokenizer().get_vocab()
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    experts = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "head_dim": 16, "norm_topk_prob": True}
    return Qwen3OmniMoeThinkerConfig(
        audio_config={
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "num_mel_bins": 128,
            "downsample_hidden_size": 8,
            "output_dim": 64,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "patch_size": 16,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": list(range(DEEP)),
        },
        text_config=tiny.text_config(ids, len(ids) + tiny.UNUSED_ROWS, num_hidden_layers=layers, **experts | {"rope_parameters": rope}),
        audio_token_id=ids["<|audio_pad|>"],
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        audio_start_token_id=ids["<|audio_start|>"],
        position_id_per_seconds=positions_per_second,
        tie_word_embeddings=False,
    )


def model(seed=0, **sizes):
    made = tiny.widen(Qwen3OmniMoeThinkerForConditionalGeneration(config(**sizes)), seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, norm in made.named_parameters():  # norms that are one would hide a norm that is left out
        if norm.ndim == 1 and "norm" in name:
            norm.data += 0.2 * torch.randn(norm.shape, generator=generator)
    return made


def opened(seed=0, attention="sdpa", layers=4, **settings):
    made = model(seed, layers=layers)
    parts = Parts.of(made)
    parts.language.config._attn_implementation = attention
    return QwenOmni(Loaded(parts, tokenizer(), tiny.extractor(), {}), Settings(**{"tokens_per_step": TOKENS_PER_STEP, **settings}))


def save(folder, seed=0, **options):
    """Write a checkpoint of the thinker alone; returns its folder as text."""
    model(seed).save_pretrained(folder, **options)
    tokenizer().save_pretrained(folder)
    tiny.extractor().save_pretrained(folder)
    return str(folder)


def save_full(folder, seed=0, shard="200KB"):
    """Write a checkpoint in the layout of a released one: shards, keys under `thinker.`, talker and vocoder beside. Returns its keys."""
    from safetensors.torch import load_file, save_file

    folder = Path(save(folder, seed, max_shard_size=shard))
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    told = {}
    for file in sorted(set(index["weight_map"].values())):
        tensors = {name if name.startswith("thinker.") else f"thinker.{name}": value for name, value in load_file(folder / file).items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        told |= dict.fromkeys(tensors, file)
    beside = {
        "talker.model.layers.0.self_attn.q_proj.weight": torch.ones(8, 8),
        "code2wav.pre_transformer.layers.0.mlp.gate_proj.weight": torch.ones(8, 8),
    }
    save_file(beside, folder / "talker.safetensors", metadata={"format": "pt"})
    told |= dict.fromkeys(beside, "talker.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": told}))
    thinker = json.loads((folder / "config.json").read_text())
    full = {"model_type": "qwen3_omni_moe", "architectures": ["Qwen3OmniMoeForConditionalGeneration"], "thinker_config": thinker}
    (folder / "config.json").write_text(json.dumps(full))
    return sorted(told)
