"""Many questions about a clip in one sequence, none of which sees another.

    [clip: video, audio, video, audio, ...][question answer][question answer] ...

The clip is causal as ever. A question sees the whole clip and itself, and starts at the position right after the clip, as
if it were the only one: what the model computes for it equals what it computes when asked that question alone, and the
clip is read once for all of them. Ids come from `layout`, positions from the model's `get_rope_index`, as in use.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omnizip.evaluation.packing import IGNORE, question_ids
from omnizip.evaluation.world.questions import Question
from omnizip.model.qwen2_5_omni import AUDIO_STRIDE
from omnizip.types import Turn

from .bank import Batch
from .model import Student


def clip_ids(student: Student, batch: Batch) -> tuple[Tensor, tuple[int, int, int]]:
    """Ids from the start of the chat to the end of the clip, and its grid of video tokens."""
    width, height = batch.size
    grid = student.layout.grid(round(batch.duration_s * 2), height, width, max_tokens=width * height)
    media = student.layout.media_ids(grid, batch.audio.shape[1], second_per_step=1.0)
    return student.layout.prompt_ids([Turn("?")], media)[0], grid


@dataclass(frozen=True)
class Packed:
    """A batch of clips with their questions, ready for the language model."""

    embeds: Tensor  # (clips, length, width)
    positions: Tensor  # (3, clips, length)
    mask: Tensor  # (clips, 1, question length, length) bool: may this token of a question see that token
    targets: Tensor  # (clips, question length) the next id where it belongs to an answer, IGNORE elsewhere
    owner: Tensor  # (clips, question length) number of the question a token belongs to, -1 for padding
    audio_index: Tensor  # (audio tokens,) where the audio stands in the clip


def pack(student: Student, batch: Batch, asked: list[list[Question]]) -> Packed:
    """Lay out clips and the questions asked about each."""
    clips, device, layout = len(batch.seeds), student.thinker.device, student.layout
    ids, grid = clip_ids(student, batch)
    ids = ids.to(device)
    clip_positions = _positions(student, ids, grid, batch.audio.shape[1])
    lined_up = zip(*(_line_up(student, questions) for questions in asked), strict=True)
    fill = (student.words.pad_token_id, IGNORE, -1, 0)
    question_part, targets, owner, offsets = (_padded(rows, value).to(device) for rows, value in zip(lined_up, fill, strict=True))
    table = student.parts.language.embed_tokens
    clip_embeds = table(ids).repeat(clips, 1, 1)
    audio_index = (ids == layout.audio_id).nonzero().flatten()
    clip_embeds = clip_embeds.index_copy(1, audio_index, batch.audio.to(clip_embeds))
    clip_embeds = clip_embeds.index_copy(1, (ids == layout.video_id).nonzero().flatten(), batch.video.to(clip_embeds))
    positions = torch.cat([clip_positions.repeat(1, clips, 1), (offsets + clip_positions.max() + 1).expand(3, -1, -1)], dim=2)
    length = question_part.shape[1]
    itself = (owner[:, :, None] == owner[:, None, :]) & torch.ones(length, length, dtype=torch.bool, device=device).tril()
    mask = torch.cat([torch.ones(clips, length, ids.numel(), dtype=torch.bool, device=device), itself], dim=2)
    return Packed(torch.cat([clip_embeds, table(question_part)], dim=1), positions, mask[:, None], targets, owner, audio_index)


def _positions(student: Student, ids: Tensor, grid: tuple[int, int, int], audio_tokens: int) -> Tensor:
    """(3, 1, clip length) from the model's own code."""
    thinker, merge = student.thinker, student.layout.merge
    source = thinker if hasattr(thinker, "spatial_merge_size") else thinker.model
    return source.get_rope_index(
        ids[None],
        None,
        torch.tensor([(grid[0], grid[1] * merge, grid[2] * merge)], device=ids.device),
        torch.ones_like(ids)[None],
        audio_tokens > 0,
        torch.tensor([audio_tokens * AUDIO_STRIDE], device=ids.device) if audio_tokens else None,
        torch.tensor([1.0]),
    )[0]


def _line_up(student: Student, questions: list[Question]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ids, targets, owner and offset from the end of the clip of one clip's questions, one after the other."""
    ids, targets, owner, offsets = [], [], [], []
    for number, question in enumerate(questions):
        before, answer = question_ids(student.layout, question)
        ids += before + answer
        targets += [IGNORE] * (len(before) - 1) + answer + [IGNORE]
        owner += [number] * (len(before) + len(answer))
        offsets += range(len(before) + len(answer))
    return tuple(torch.tensor(column) for column in (ids, targets, owner, offsets))


def _padded(rows: tuple[Tensor, ...], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def read(student: Student, packed: Packed) -> Tensor:
    """(clips, question length, width) last hidden states of the questions; call it inside `omnizip.evaluation.packing.block_attention`."""
    hidden = student.parts.language(
        inputs_embeds=packed.embeds, position_ids=packed.positions, attention_mask={"full_attention": packed.mask}, use_cache=False
    ).last_hidden_state
    return hidden[:, -packed.targets.shape[1] :]
