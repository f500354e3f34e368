"""Many questions about one compressed clip, read in one pass: which answers greedy decoding would give, and whole descriptions.

    [what is left of the clip][question answer][question answer] ...

Each question sees the clip and itself alone and starts at the same position, so it is read as if it were the only one
(`packing`). An answer is right if every token of it, end of turn included, is the most
likely one after the right beginning: exactly then greedy decoding says it. Where a description goes wrong, what greedy
decoding says instead is decoded from there on, for many methods in one batch, each with its own keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import DynamicCache

from ..model.caching import with_cache
from ..model.deepstack import deepstacked
from ..model.qwen import QwenOmni
from ..stream import Prompt
from . import packing
from .world.questions import DESCRIPTION, Question

NOTHING = -1  # owner of no question


@dataclass(frozen=True, eq=False)
class Sheet:
    """Questions laid out one after the other, each with its right answer; Q tokens in all."""

    questions: tuple[Question, ...]
    ids: Tensor  # (Q,)
    targets: Tensor  # (Q,) the next id where it belongs to an answer, packing.IGNORE elsewhere
    owner: Tensor  # (Q,) number of the question a token belongs to
    offsets: Tensor  # (Q,) place within the question

    @classmethod
    def of(cls, model: QwenOmni, questions: Sequence[Question]) -> Sheet:
        """Lay out at least one question."""
        rows: list[tuple[int, int, int, int]] = []
        for number, question in enumerate(questions):
            before, answer = packing.question_ids(model.processor, question)
            targets = [packing.IGNORE] * (len(before) - 1) + answer + [packing.IGNORE]
            rows += zip(before + answer, targets, [number] * len(targets), range(len(targets)), strict=True)
        columns = torch.tensor(rows, device=model.parts.device).T.contiguous()
        return cls(tuple(questions), *columns)

    @cached_property
    def sees(self) -> Tensor:
        """(Q, Q) bool: a token sees those of its own question up to itself."""
        return (self.owner[:, None] == self.owner[None, :]).tril()


@dataclass(frozen=True, eq=False)
class Draft:
    """A description as far as it equals the right one, with the keys and values to go on from; N tokens read."""

    keys: list[Tensor]  # per layer (kv heads, N, head width)
    values: list[Tensor]
    ids: tuple[int, ...]  # of the answer so far, the last of which was not read yet
    position: float  # mRoPE position of that id


@dataclass(frozen=True, eq=False)
class Marks:
    """What became of the questions of a sheet."""

    right: tuple[bool, ...]
    draft: Draft | None  # of the description, where one was asked for and it is not right word for word


@dataclass(frozen=True, eq=False)
class Marker:
    """The language model, reading a compressed clip with questions behind it."""

    model: QwenOmni

    @torch.inference_mode()
    def mark(self, prompt: Prompt, clip_rows: int, sheet: Sheet) -> Marks:
        """Read the clip and all questions of a sheet.

        Args:
            prompt: what a method left of the stream; rows from `clip_rows` of the unpruned stream on are not read.
        """
        parts = self.model.parts
        kept = prompt.index < clip_rows
        clip, positions = prompt.embeds[kept], prompt.positions[:, kept]
        start = prompt.next_position - int((prompt.index >= clip_rows).sum())  # where the question would begin
        embeds = torch.cat([clip, parts.thinker.get_input_embeddings()(sheet.ids).to(clip)])
        places = torch.cat([positions, (sheet.offsets + start).expand(3, -1)], dim=1)
        whole = torch.ones(sheet.ids.numel(), clip.shape[0], dtype=torch.bool, device=clip.device)
        mask = torch.cat([whole, sheet.sees], dim=1)
        cache = DynamicCache(config=parts.language.config)
        with packing.block_attention(parts.language), deepstacked(parts.language, prompt.deepstack, prompt.video_rows):
            hidden = self._hidden(embeds[None], places[:, None], mask[None, None], cache)[0, clip.shape[0] :]
        wanted = sheet.targets != packing.IGNORE
        predicted = self._likeliest(hidden[wanted])
        targets, owner = sheet.targets[wanted], sheet.owner[wanted]
        wrong = (predicted != targets) & ~(self._ends(targets) & self._ends(predicted))
        right = tuple(not bool(wrong[owner == number].any()) for number in range(len(sheet.questions)))
        return Marks(right, self._draft(sheet, right, predicted, wrong, cache, clip.shape[0], start))

    def _draft(
        self, sheet: Sheet, right: tuple[bool, ...], predicted: Tensor, wrong: Tensor, cache: DynamicCache, clip: int, start: float
    ) -> Draft | None:
        number = next((n for n, question in enumerate(sheet.questions) if question.kind == DESCRIPTION), None)
        if number is None or right[number]:
            return None
        own = (sheet.owner == number).nonzero().flatten()
        mine = sheet.owner[sheet.targets != packing.IGNORE] == number
        first = int(wrong[mine].nonzero()[0])  # the first wrong id of the answer
        answer = sheet.targets[own][sheet.targets[own] != packing.IGNORE]
        read = own[: own.numel() - answer.numel() + first]
        rows = torch.cat([torch.arange(clip, device=own.device), clip + read])
        keys, values = [layer.keys[0][:, rows] for layer in cache.layers], [layer.values[0][:, rows] for layer in cache.layers]
        return Draft(keys, values, (*answer[:first].tolist(), int(predicted[mine][first])), start + read.numel())

    @torch.inference_mode()
    def finish(self, drafts: Sequence[Draft], most: int) -> list[str]:
        """Decode drafts to their ends, all at once, up to `most` tokens each; returns what they say."""
        answers = [list(draft.ids) for draft in drafts]
        going = [n for n, ids in enumerate(answers) if ids[-1] not in self.model.processor.end_ids]
        if going:
            self._decode([drafts[n] for n in going], [answers[n] for n in going], most)
        return [self.model.text([i for i in ids if i not in self.model.processor.end_ids]) for ids in answers]

    def _decode(self, drafts: list[Draft], answers: list[list[int]], most: int) -> None:
        """Extend `answers`, the ids of each. Shorter drafts are padded in front, where nothing looks."""
        device, ends = drafts[0].keys[0].device, self.model.processor.end_ids
        lengths = [draft.keys[0].shape[1] for draft in drafts]
        longest = max(lengths)
        cache = DynamicCache(config=self.model.parts.language.config)
        for layer in range(len(drafts[0].keys)):
            cache.update(*(_stacked([getattr(d, kind)[layer] for d in drafts], longest) for kind in ("keys", "values")), layer)
        first = torch.tensor([longest - n for n in lengths], device=device)[:, None]
        positions = torch.tensor([draft.position for draft in drafts], device=device)
        alive = list(range(len(drafts)))
        for step in range(most - min(len(ids) for ids in answers)):
            token = torch.tensor([answers[n][-1] for n in alive], device=device)
            seen = torch.arange(longest + step + 1, device=device) >= first
            embeds = self.model.parts.thinker.get_input_embeddings()(token)[:, None]
            places = (positions + step).expand(3, -1)[..., None]
            likeliest = self._likeliest(self._hidden(embeds, places, seen[:, None, None], cache)[:, 0]).tolist()
            for n, i in zip(alive, likeliest, strict=True):
                answers[n].append(i)
            stay = [row for row, n in enumerate(alive) if answers[n][-1] not in ends and len(answers[n]) < most]
            if not stay:
                return
            if len(stay) < len(alive):
                rows = torch.tensor(stay, device=device)
                cache.batch_select_indices(rows)
                first, positions, alive = first[rows], positions[rows], [alive[row] for row in stay]

    def _hidden(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
        language = self.model.parts.language
        return language(inputs_embeds=embeds, position_ids=positions, attention_mask=mask, **with_cache(language, cache)).last_hidden_state

    def _likeliest(self, hidden: Tensor) -> Tensor:
        """(N,) ids that greedy decoding chooses after hidden states (N, D)."""
        logits = self.model.parts.thinker.lm_head(hidden).float()
        return logits.index_fill(-1, self.model.processor.suppressed_ids.to(logits.device), -torch.inf).argmax(-1)

    def _ends(self, ids: Tensor) -> Tensor:
        return torch.isin(ids, torch.tensor(sorted(self.model.processor.end_ids), device=ids.device))


def _stacked(rows: list[Tensor], longest: int) -> Tensor:
    """(B, heads, longest, width) of tensors (heads, n, width), padded in front."""
    return torch.stack([torch.nn.functional.pad(row, (0, 0, longest - row.shape[1], 0)) for row in rows])
