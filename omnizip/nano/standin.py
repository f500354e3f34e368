"""The stand-in: a Qwen2.5-Omni of under a million random parameters, for machines without a GPU or a checkpoint.

`python -m omnizip.nano.standin` writes assets/standin anew, the same each time. Sizes are tiny; architecture, token layout
(patch 14, merge 2, two frames a step, 25 audio tokens a second, two-second windows, time-aligned positions) and files are
those of a real checkpoint, so counts, token maps and timings of a run are real. Nothing was trained: its words mean nothing.

They are words at all because of how the random weights are drawn. Every word of a small vocabulary has a class; the first
numbers of its embedding say which, no layer writes there, and the output layer favours the classes that may follow. Which word
of a class comes next hangs on the random rest, hence on the whole prompt. So an answer reads "Some quiet rivers ..." and ends
after a few sentences, and a prompt with other tokens gets another answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5OmniThinkerConfig,
    Qwen2_5OmniThinkerForConditionalGeneration,
    WhisperFeatureExtractor,
)

from ..layout import END_OF_TURN, SYSTEM
from ..loading import EMBEDDED, MARK, Parts

SEED = 6
WIDTH = 128
SPECIAL = (
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
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_bos|><|VIDEO|><|vision_eos|>"
    "{% elif part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif part['type'] == 'image' %}<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUESTIONS = "What happens in this clip and when? Describe the sound, the picture, the people and where they are. Who is it? Why? How many?"
WORDS = {
    "opening": "The One Every Some This That No Another Each",
    "determiner": " The| One| Every| Some| This| That| No| Another| Each",
    "adjective": " quiet| green| narrow| seven| patient| hollow| distant| copper| gentle| broken| early| golden| silent| heavy| round",
    "noun": " river| lantern| window| garden| engine| winter| ladder| pocket| mirror| cloud| violin| market| feather| harbour| clock",
    "verb": " carries| follows| borrows| paints| remembers| measures| answers| gathers| crosses| forgets| counts| repairs| invents",
    "preposition": " under| beyond| before| without| among| behind| towards| against| between| above",
    "plural": " mountains| letters| voices| shadows| bridges| numbers| oranges| trains| stories| kettles| islands| candles| drums| maps",
    "adverb": " slowly| twice| tomorrow| sideways| gladly| never| again| softly| nearby| upwards| outdoors| together",
    "stop": ".",
}
FOLLOWED_BY = {
    "start": ("opening",),
    "opening": ("adjective",),
    "determiner": ("adjective",),
    "adjective": ("noun",),
    "noun": ("verb",),
    "verb": ("preposition", "adverb"),
    "preposition": ("plural",),
    "plural": ("adverb", "stop"),
    "adverb": ("stop",),
    "stop": ("determiner", "end"),
}
CLASSES = tuple(FOLLOWED_BY)
CLASS_SIZE = 20.0  # of an embedding's class entry; the rest is about 1 each
CLASS_WEIGHT = 20.0  # of the output layer for classes that may follow
CHOICE_WEIGHT = 0.3  # of the output layer for the random rest
END_WEIGHT = 1.6  # how much wider the end of turn is drawn than its rivals
ENCODER_GAIN = 1.3  # of queries and keys in the encoders, so that attention has peaks
READER_GAIN = 2.5  # of queries and keys in the language model, so that a few tokens of thousands count
CONTEXT_GAIN = 3.0  # of what a layer adds to a word, so that the prompt has a say in the next


def words_of(kind: str) -> list[str]:
    """The words of a class as they stand in a text."""
    text = WORDS[kind]
    return text.split("|") if "|" in text else text.split()


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with Qwen's special tokens; any text can be written in it, and each word above is one token."""
    pieces = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pieces), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1 << 14,  # never reached: merging ends when every word is whole
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=1,
    )
    corpus = [word for kind in WORDS for word in words_of(kind)]
    bpe.train_from_iterator([*corpus, QUESTIONS, SYSTEM, "system\n", "user\n", "assistant\n"], trainer)
    bpe.add_special_tokens(list(SPECIAL))
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        model_max_length=32768,
    )
    made.chat_template = CHAT_TEMPLATE
    return made


def config(ids: dict[str, int]) -> Qwen2_5OmniThinkerConfig:
    """The sizes of the stand-in, for a tokenizer's vocabulary."""
    return Qwen2_5OmniThinkerConfig(
        audio_config={
            "d_model": 64,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 96,
            "num_mel_bins": 128,
            "n_window": 100,
            "output_dim": WIDTH,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 4,
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "out_hidden_size": WIDTH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        text_config={
            "vocab_size": len(ids),
            "hidden_size": WIDTH,
            "intermediate_size": 192,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
            "tie_word_embeddings": False,
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


@torch.no_grad()
def model(words: PreTrainedTokenizerFast, seed: int = SEED) -> Qwen2_5OmniThinkerForConditionalGeneration:
    """The stand-in's weights, drawn from `seed`."""
    ids = words.get_vocab()
    made = Qwen2_5OmniThinkerForConditionalGeneration(config(ids)).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in made.named_parameters():
        if parameter.ndim > 1:
            gain = ENCODER_GAIN if name.endswith(("q_proj.weight", "k_proj.weight", "attn.q.weight", "attn.k.weight")) else 1.0
            _draw(parameter, gain * parameter[0].numel() ** -0.5, generator)
    for layer in Parts.of(made).language.layers:
        for attends in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            attends.weight *= READER_GAIN / ENCODER_GAIN
        for writes in (layer.self_attn.o_proj, layer.mlp.down_proj):
            writes.weight *= CONTEXT_GAIN
            writes.weight[: len(CLASSES)] = 0
    embedding, output = made.get_input_embeddings(), made.lm_head
    _draw(embedding.weight, 1.0, generator)
    embedding.weight[:, : len(CLASSES)] = 0
    output.weight.zero_()
    for kind in (*WORDS, "start", "end"):
        tokens = _tokens(words, kind)
        if kind in CLASSES:
            embedding.weight[tokens, CLASSES.index(kind)] = CLASS_SIZE
        before = [i for i, name in enumerate(CLASSES) if kind in FOLLOWED_BY[name]]
        if before:
            rest = torch.randn(len(tokens), WIDTH, generator=generator) * CHOICE_WEIGHT * (END_WEIGHT if kind == "end" else 1.0)
            rest[:, : len(CLASSES)] = 0
            rest[:, before] = CLASS_WEIGHT
            output.weight[tokens] = rest
    made.generation_config.eos_token_id = [ids[name] for name in END_OF_TURN]
    made.generation_config.pad_token_id = ids["<|endoftext|>"]
    return made


def _draw(parameter: nn.Parameter, scale: float, generator: torch.Generator) -> None:
    parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def _tokens(words: Any, kind: str) -> list[int]:
    """The one token of each word of a class."""
    texts: Iterable[str] = {"start": ["\n"], "end": [END_OF_TURN[0]]}.get(kind) or words_of(kind)
    return [words(text, add_special_tokens=False)["input_ids"][-1] for text in texts]


def write(folder: Path = EMBEDDED) -> Path:
    """Write the checkpoint's folder; weights in bfloat16, the precision real ones come in."""
    words = tokenizer()
    made = model(words).to(torch.bfloat16)
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=128, chunk_length=300, return_attention_mask=True).save_pretrained(folder)
    mark = {"name": "embedded stand-in", "embedded": True, "meaningless": True, "made_by": "python -m omnizip.nano.standin"}
    (folder / MARK).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    write()
