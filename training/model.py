"""The embedded model before training: a Qwen2.5-Omni thinker of a few million parameters, its tokenizer and its settings on disk.

Architecture and token layout are those of Qwen2.5-Omni-7B: 25 audio tokens a second, two frames a step, 2x2 patches merged,
two-second windows, time-aligned mRoPE. What differs is size. The patch is 8 pixels instead of 14, so a frame of 128 pixels
already gives 64 tokens.

mRoPE: the time section takes the first (fastest) half of the frequencies. With 16 of 32 pairs and theta 1e4 its longest
period is about 470 positions, 19 seconds: events of one clip can be told apart by time. Height and width get the slow rest
and hardly turn, which is why the world shows place by light and floor.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from omnizip.evaluation.world import phrasings
from omnizip.model.loading import MARK, Parts, load
from omnizip.model.processor import Processor
from omnizip.model.qwen2_5_omni import SYSTEM
from omnizip.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen2_5OmniThinkerForConditionalGeneration, WhisperFeatureExtractor

NAME = "OmniZip nano"
VOCABULARY = 896
TOKEN_SCALE = 0.25  # root mean square of an embedded token, whether word, picture or sound
PATCH = 8
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
    "<|vision_pad|>",
    "<|IMAGE|>",
    "<|VIDEO|>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif part['type'] == 'image' %}<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif part['type'] == 'video' %}<|vision_bos|><|VIDEO|><|vision_eos|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PREPROCESSOR = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "chunk_length": 300,
    "dither": 0.0,
    "feature_size": 128,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 4_800_000,
    "nb_max_frames": 30_000,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 16_000,
    "image_processor_type": "Qwen2VLImageProcessor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "min_pixels": 4 * (2 * PATCH) ** 2,
    "max_pixels": 72 * (2 * PATCH) ** 2,  # the world's largest frames: it has seen no finer ones
    "merge_size": 2,
    "patch_size": PATCH,
    "temporal_patch_size": 2,
    "processor_class": "Qwen2_5OmniProcessor",
}


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with Qwen's special tokens, trained on the world's sentences; any text can be written in it."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=1,
    )
    frame = "system\n", "user\n", "assistant\n", SYSTEM
    bpe.train_from_iterator([*phrasings.corpus(), *frame], trainer)
    names = ("audio", "image", "video", "audio_bos", "audio_eos", "vision_bos", "vision_eos")
    values = ("<|AUDIO|>", "<|IMAGE|>", "<|VIDEO|>", "<|audio_bos|>", "<|audio_eos|>", "<|vision_bos|>", "<|vision_eos|>")
    bpe.add_special_tokens(list(SPECIAL))
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={f"{name}_token": value for name, value in zip(names, values, strict=True)},
        clean_up_tokenization_spaces=False,
        model_max_length=32768,
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def extractor() -> WhisperFeatureExtractor:
    """The log-mel transform, with Qwen2.5-Omni's numbers."""
    from transformers import WhisperFeatureExtractor

    names = ("chunk_length", "feature_size", "hop_length", "n_fft", "sampling_rate", "return_attention_mask")
    return WhisperFeatureExtractor(**{name: PREPROCESSOR[name] for name in names})


def untrained_model(words: PreTrainedTokenizerFast) -> Qwen2_5OmniThinkerForConditionalGeneration:
    """The model with fresh weights (from torch's generator), in float32 and in evaluation mode."""
    from transformers import Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration

    ids = {name: words.convert_tokens_to_ids(name) for name in SPECIAL}
    config = Qwen2_5OmniThinkerConfig(
        audio_config={
            "d_model": 128,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 384,
            "num_mel_bins": 128,
            "n_window": 100,
            "output_dim": 256,
        },
        vision_config={
            "depth": 3,
            "hidden_size": 128,
            "intermediate_size": 320,
            "num_heads": 4,
            "patch_size": PATCH,
            "window_size": 8 * PATCH,
            "fullatt_block_indexes": [1, 2],
            "out_hidden_size": 256,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": 256,
            "intermediate_size": 384,
            "num_hidden_layers": 5,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [16, 8, 8]},
            "tie_word_embeddings": False,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        audio_token_index=ids["<|AUDIO|>"],
        image_token_index=ids["<|IMAGE|>"],
        video_token_index=ids["<|VIDEO|>"],
        audio_start_token_id=ids["<|audio_bos|>"],
        audio_end_token_id=ids["<|audio_eos|>"],
        vision_start_token_id=ids["<|vision_bos|>"],
        vision_end_token_id=ids["<|vision_eos|>"],
        position_id_per_seconds=25,
        seconds_per_chunk=2,
        tie_word_embeddings=False,
    )
    model = Qwen2_5OmniThinkerForConditionalGeneration(config)
    torch.nn.init.normal_(Parts.of(model).language.embed_tokens.weight, std=TOKEN_SCALE)
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model.eval()


@dataclass(frozen=True, eq=False)
class Student:
    """A thinker in float32 with what lays out its input, the same code that serves a downloaded checkpoint."""

    thinker: Qwen2_5OmniThinkerForConditionalGeneration
    words: PreTrainedTokenizerFast
    layout: Processor

    @classmethod
    def of(cls, thinker: Qwen2_5OmniThinkerForConditionalGeneration, words: PreTrainedTokenizerFast) -> Student:
        """Read the layout off a thinker and its tokenizer."""
        return cls(thinker, words, Processor.of(thinker.config, words, extractor()))

    @classmethod
    def fresh(cls) -> Student:
        """An untrained one, from torch's generator."""
        words = tokenizer()
        return cls.of(untrained_model(words), words)

    @classmethod
    def load(cls, folder: Path | str) -> Student:
        """One that was saved, read as any checkpoint is. Raises ModelError for a folder that holds none."""
        loaded = load(Settings(model=str(folder), device="cpu", dtype="float32"))
        thinker = loaded.parts.thinker
        return cls(thinker, loaded.tokenizer, Processor.of(thinker.config, loaded.tokenizer, loaded.extractor))

    @property
    def parts(self) -> Parts:
        """The thinker's three networks."""
        return Parts.of(self.thinker)


def save(model: Qwen2_5OmniThinkerForConditionalGeneration, words: PreTrainedTokenizerFast, folder: Path | str) -> Path:
    """Write weights (bfloat16 safetensors), config, tokenizer and preprocessor settings as a checkpoint folder.

    The folder has the files a downloaded Qwen2.5-Omni has, so the same code loads both.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.to(torch.bfloat16) if value.is_floating_point() else value for name, value in model.state_dict().items()}
    model.config.dtype = torch.bfloat16
    try:
        model.save_pretrained(folder, state_dict=state)
    finally:
        model.config.dtype = torch.float32
    words.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    (folder / MARK).write_text(json.dumps({"name": NAME, "embedded": True}, indent=2) + "\n")
    return folder
