"""Questions that stand behind one clip in one sequence, each seeing the clip and itself alone.

What the model computes for such a question equals what it computes when asked that question alone (a test compares), so a
clip is read once for all of them. Training packs batches of clips on top of this; marking packs one compressed clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..model.processor import Processor
from ..types import Turn
from .world.questions import Question

ATTENTION = "clip_and_questions"
IGNORE = -100  # target of a token that belongs to no answer


def question_ids(layout: Processor, question: Question) -> tuple[list[int], list[int]]:
    """Ids of a question up to where the answer starts, and of the answer with its end of turn."""
    nothing = torch.empty(0, dtype=torch.int64)
    before = layout.prompt_ids([*question.history, Turn(question.text)], nothing)[1].tolist()
    return before, layout.tokenizer.encode(f"{question.answer}<|im_end|>")


def _attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **_) -> tuple[Tensor, None]:
    """Causal attention inside the clip, masked attention of the questions to everything."""
    clip = query.shape[2] - attention_mask.shape[2]
    first = functional.scaled_dot_product_attention(
        query[:, :, :clip], key[:, :, :clip], value[:, :, :clip], is_causal=True, enable_gqa=True
    )
    rest = functional.scaled_dot_product_attention(query[:, :, clip:], key, value, attn_mask=attention_mask, enable_gqa=True)
    return torch.cat([first, rest], dim=2).transpose(1, 2).contiguous(), None


@contextmanager
def block_attention(language: nn.Module) -> Iterator[None]:
    """Let the text model attend as `_attend` does; its usual backend comes back at the end."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attend)
    config = language.config
    usual = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = usual
