"""A randomly initialised Qwen2.5-Omni of some 300,000 parameters, its tokenizer, and clips for it. Not trained: for arithmetic only.

Its layout is the real one's (patch 14, merge 2, 2 frames a step, 128 mel bins, 25 audio tokens a second); weights are drawn
wide enough that what it says varies.
"""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from omnizip.compressors import COMPRESSORS
from omnizip.compressors.layer_pruner import LayerPruner
from omnizip.media import Clip
from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
    "<|IMAGE|>",
    "<|VIDEO|>",
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_bos|><|VIDEO|><|vision_eos|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEEP = 14  # layers of the model that methods inside it are tried on
INSIDE = {name for name, method in COMPRESSORS.items() if issubclass(method, LayerPruner)}  # they decide in the model
UNUSED_ROWS = 6  # the output layer is longer than the vocabulary, as the real one's is


def tokenizer(special=SPECIAL, template=TEMPLATE):
    """One token per byte, and Qwen's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    bytewise.add_special_tokens(special)
    made = PreTrainedTokenizerFast(tokenizer_object=bytewise, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = template
    return made


def text_config(ids, vocabulary, **more):
    return {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        "tie_word_embeddings": False,
        "pad_token_id": ids["<|endoftext|>"],
        **more,
    }


def config():
    ids = tokenizer().get_vocab()
    return Qwen2_5OmniThinkerConfig(
        audio_config={
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "num_mel_bins": 128,
            "n_window": 100,
            "output_dim": 64,
        },
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "patch_size": 14,
            "window_size": 56,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 64,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        text_config=text_config(ids, len(ids) + UNUSED_ROWS),
        audio_token_index=ids["<|AUDIO|>"],
        image_token_index=ids["<|IMAGE|>"],
        video_token_index=ids["<|VIDEO|>"],
        audio_start_token_id=ids["<|audio_bos|>"],
        audio_end_token_id=ids["<|audio_eos|>"],
        tie_word_embeddings=False,
    )


def widen(model, seed, std=0.25):
    """Draw every matrix of `model` anew."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * max(std, fan_in**-0.5))
    return model


def model(seed=0):
    return widen(Qwen2_5OmniThinkerForConditionalGeneration(config()), seed).eval()


def extractor():
    return WhisperFeatureExtractor(
        feature_size=128, sampling_rate=16000, hop_length=160, chunk_length=300, n_fft=400, return_attention_mask=True
    )


def save(folder, made=None, seed=0, **options):
    """Write a checkpoint folder; returns it as text."""
    (made or model(seed)).save_pretrained(folder, **options)
    tokenizer().save_pretrained(folder)
    extractor().save_pretrained(folder)
    return str(folder)


def rename_to_full(folder):
    """Turn a saved thinker into the layout of a full checkpoint: keys under `thinker.`, with a talker and a vocoder beside."""
    from safetensors.torch import load_file, save_file

    folder = Path(folder)
    own = load_file(folder / "model.safetensors")
    tensors = {name if name.startswith("thinker.") else f"thinker.{name}": value for name, value in own.items()}
    tensors["talker.model.layers.0.self_attn.q_proj.weight"] = torch.ones(8, 8)
    tensors["talker.thinker_to_talker_proj.weight"] = torch.ones(8, 8)
    tensors["token2wav.code2wav_dit_model.input_embed.proj.weight"] = torch.ones(8, 8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    thinker = json.loads((folder / "config.json").read_text())
    full = {"model_type": "qwen2_5_omni", "architectures": ["Qwen2_5OmniModel"], "thinker_config": thinker, "enable_audio_output": True}
    (folder / "config.json").write_text(json.dumps(full))
    return sorted(tensors)


def clip(frames=8, height=60, width=90, sound_s=4.0, fps=2.0, seed=0, silent=False):
    """Noise that moves, and noise that gets louder. `sound_s` None: no sound."""
    generator = np.random.default_rng(seed)
    pictures = generator.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    waveform = None
    if sound_s is not None:
        samples = round(sound_s * 16000)
        loudness = np.linspace(0.01, 0.5, samples) * (1 + np.sin(np.arange(samples) / 4000))
        waveform = (generator.standard_normal(samples) * (0 if silent else loudness)).astype(np.float32)
    return Clip(
        path=Path("noise.mp4"),
        digest=f"{seed:016x}",
        frames=pictures,
        frame_times_s=np.arange(frames) / fps,
        fps=fps,
        waveform=waveform,
        duration_s=max(frames / fps, sound_s or 0),
        width=width,
        height=height,
        silent=silent,
        playable=True,
        warnings=(),
    )


def deep_model(layers=DEEP, attention="sdpa"):
    deep = config()
    deep.text_config.num_hidden_layers = layers
    deep.text_config.layer_types = ["full_attention"] * layers
    made = widen(Qwen2_5OmniThinkerForConditionalGeneration(deep), 3).eval()
    parts = Parts.of(made)
    parts.language.config._attn_implementation = attention
    return QwenOmni(Loaded(parts, tokenizer(), extractor(), {}), Settings(tokens_per_step=12))
