"""Turns a clip and a conversation into the model's input: token ids, pixel patches, log-mel frames.

What is here follows the stock processors of transformers 5.23 to the number (tests/golden/prompt holds the output of one), without
torchvision, torchcodec or librosa, which they ask for. Every size and id is read off the checkpoint; how picture and sound
alternate inside a clip, and what else differs, its family says.

The prompt: the family's system line, if any, a user turn with the clip before the question, then the conversation so far.

Departures: sound is padded to the clip, not to 300 s (the frames of the clip are equal); sound past the extractor's length,
which a stock processor may cut off, is transformed in pieces that join without a seam; markup quoted in a question is
disarmed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError
from ..types import Turn
from ..windows import POSITION_SLACK, WINDOW_S
from .families import family_of
from .family import Family, Grid

MIN_TOKENS_PER_STEP = 4  # smaller pictures are enlarged to this, as the checkpoint's own lower bound has it
LOG_MEL_RANGE = 2.0  # Whisper's frames span this from the loudest of a sound to the floor: 8 decades / 4
POOLED_BYTES = 32 << 20  # of pixels in float32, averaged at once
END_OF_TURN = ("<|im_end|>", "<|endoftext|>")


@dataclass(frozen=True, eq=False)
class Processor:
    """Makes the input of one checkpoint. Sizes in pixels, frames per second, tokens."""

    family: Family = field(repr=False)
    tokenizer: Any = field(repr=False)  # transformers' fast tokenizer
    extractor: Any = field(repr=False)  # transformers' WhisperFeatureExtractor
    audio_id: int
    video_id: int
    audio_start_id: int
    audio_end_id: int
    vision_start_id: int
    vision_end_id: int
    patch: int  # pixels a patch is wide and high
    merge: int  # patches merged into one token, per axis
    temporal_patch: int  # frames per step
    block_frames: int  # mel frames the audio encoder attends within
    positions_per_second: float
    vocabulary: int  # rows of the output layer

    @classmethod
    def of(cls, config: Any, tokenizer: Any, extractor: Any) -> Processor:
        """Read the sizes off a thinker's config. Raises ModelError if the tokenizer does not know the clip's markers."""
        family, known = family_of(config), tokenizer.get_vocab()
        for name in (family.vision_start, family.vision_end, family.audio_end):
            if name not in known:
                raise ModelError(f"The checkpoint's tokenizer has no {name} token; use the tokenizer of a {family.name} checkpoint.")
        markers = (config.audio_start_token_id, *(known[name] for name in (family.audio_end, family.vision_start, family.vision_end)))
        return cls.sized(config, extractor, tokenizer, markers)

    @classmethod
    def sized(cls, config: Any, extractor: Any, tokenizer: Any = None, markers: tuple[int, int, int, int] = (-1, -1, -1, -1)) -> Processor:
        """The sizes of a thinker's config; without a tokenizer and its markers for the encoders alone.

        Args:
            markers: ids of audio start and end, vision start and end.
        """
        vision, family = config.vision_config, family_of(config)
        return cls(
            family,
            tokenizer,
            extractor,
            config.audio_token_id,
            config.video_token_id,
            *markers,
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            temporal_patch=vision.temporal_patch_size,
            block_frames=family.block_mel_frames(config.audio_config),
            positions_per_second=config.position_id_per_seconds,
            vocabulary=config.text_config.vocab_size,
        )

    def grid(self, frames: int, height: int, width: int, max_tokens: int, min_tokens: int = MIN_TOKENS_PER_STEP) -> tuple[int, int, int]:
        """Steps, rows and columns of video tokens for `frames` frames of height x width pixels.

        A step has at most `max_tokens`, and at most the pixels the checkpoint says it was made for (`max_pixels`).
        Each side is rounded to whole tokens; if that makes a step of more than `max_tokens` or fewer than `min_tokens`, both
        sides are scaled by one factor first and rounded down or up.
        """
        side = self.patch * self.merge
        if most := getattr(self.extractor, "max_pixels", None):
            max_tokens = max(1, min(max_tokens, most // (side * side)))
        rows, columns = round(height / side), round(width / side)
        if rows * columns > max_tokens:
            scale = math.sqrt(height * width / (max_tokens * side * side))
            rows, columns = (max(1, math.floor(n / scale / side)) for n in (height, width))
        elif rows * columns < min_tokens:
            scale = math.sqrt(min_tokens * side * side / (height * width))
            rows, columns = (math.ceil(n * scale / side) for n in (height, width))
        return -(-frames // self.temporal_patch), rows, columns

    def patches(self, frames: np.ndarray, rows: int, columns: int, keep: Tensor | None = None) -> Tensor:
        """Normalised pixels of whole steps; a missing last frame is the one before it again.

        Args:
            frames: (N, H, W, 3) uint8.
            rows, columns: tokens of a step, after the merge.
            keep: (steps, rows * columns) bool, the tokens whose patches are wanted; all where it is not given.

        Returns:
            (steps * rows * merge * columns * merge, 3 * temporal_patch * patch ** 2) float32, the patches of a token together.
        """
        p, m, t = self.patch, self.merge, self.temporal_patch
        cells = self._pixels(frames, rows, columns).view(-1, t, 3, rows, m, p, columns, m, p).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
        if keep is not None:
            cells = cells[keep.view(-1, rows, columns)]
        mean, std = (torch.tensor(values).view(3, 1, 1, 1) * 255 for values in self._colours)
        return ((cells - mean) / std).reshape(-1, 3 * t * p * p)

    def pooled(self, frames: np.ndarray, rows: int, columns: int) -> Tensor:
        """(steps, rows * columns, temporal_patch, 48) float32 normalised pixels of each token's place, averaged over 4 x 4 cells.

        Sixteen cells of three colours for each frame of a step: enough to tell one place from another, and a thousandth of what
        encoding costs. Arguments are those of `patches`.
        """
        t, per_pass = self.temporal_patch, max(1, POOLED_BYTES // (12 * rows * columns * (self.merge * self.patch) ** 2))
        mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in self._colours)
        made = []
        for first in range(0, len(frames), per_pass * t):
            pixels = self._pixels(frames[first : first + per_pass * t], rows, columns).float()
            cells = (torch.nn.functional.adaptive_avg_pool2d(pixels, (4 * rows, 4 * columns)) - mean) / std
            made.append(cells.view(-1, t, 3, rows, 4, columns, 4).permute(0, 3, 5, 1, 2, 4, 6).reshape(-1, rows * columns, t, 48))
        return torch.cat(made) if made else torch.zeros(0, rows * columns, t, 48)

    def _pixels(self, frames: np.ndarray, rows: int, columns: int) -> Tensor:
        """(N, 3, H', W') uint8 pixels in the size of `rows` x `columns` tokens, with a missing last frame."""
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)  # (N, 3, H, W)
        size = (rows * self.merge * self.patch, columns * self.merge * self.patch)
        if pixels.shape[-2:] != size:
            # In uint8: the stock processor rounds here, and floats would differ from it by one step of 255.
            pixels = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True)
        if missing := -len(pixels) % self.temporal_patch:
            pixels = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)])
        return pixels

    @property
    def _colours(self) -> tuple[Any, Any]:
        mean, deviation = self.family.colours
        return getattr(self.extractor, "image_mean", None) or mean, getattr(self.extractor, "image_std", None) or deviation

    def log_mel(self, waveform: np.ndarray) -> Tensor:
        """(mel_bins, M) float32 log-mel frames, 100 per second, of a waveform (S,) of any length at the extractor's rate.

        Longer sound than the extractor takes is cut at blocks of the encoder. Each piece is given its neighbours' samples, and
        the floor, which the extractor sets by the loudest frame it sees, is set by the loudest of all, so the pieces are what
        one pass over the whole would give.
        """
        hop, reach = self.extractor.hop_length, self.extractor.n_fft // 2
        beside = -(-reach // hop)  # frames that half a transform reaches over
        if self.family.sound_is_mirrored:
            frames, padded = len(waveform) // hop, max(len(waveform), reach + 1)
        else:
            frames = -(-len(waveform) // hop)
            padded = (frames + beside) * hop
        samples = np.zeros(padded, dtype=np.float32)
        samples[: len(waveform)] = waveform
        per_piece = max(1, self.extractor.nb_max_frames // self.block_frames) * self.block_frames
        pieces, loudest = [torch.zeros(self.extractor.feature_size, 0)], -math.inf
        for first in range(0, frames, per_piece):
            last = min(first + per_piece, frames)
            start = max(0, first - beside)
            made = self.extractor(
                samples[start * hop : (last + beside) * hop],
                sampling_rate=self.extractor.sampling_rate,
                padding=False,
                truncation=False,
                return_tensors="np",
            )["input_features"][0]
            # Frames beside a piece see its mirrored end, so they do not count; behind the last they see what the stock processor's do.
            made = made[:, first - start : None if last == frames else last - start]
            loudest = max(loudest, float(made.max()))
            pieces.append(torch.from_numpy(made[:, : last - first]))
        return torch.cat(pieces, dim=1).clamp_(min=loudest - LOG_MEL_RANGE)

    def audio_tokens(self, mel_frames: int) -> int:
        """Audio tokens that `mel_frames` become."""
        return self.family.audio_tokens(mel_frames)

    def media_ids(self, grid: Grid, n_audio: int, second_per_step: float) -> Tensor:
        """(M,) int64 ids of the clip from vision start to vision end.

        Args:
            grid: steps, rows and columns of video tokens.
            n_audio: audio tokens, 0 without sound.
            second_per_step: seconds of clip between steps as sampled.
        """
        return self.family.media_ids(self, grid, n_audio, second_per_step)

    def media_windows(self, grid: Grid, n_audio: int, second_per_step: float) -> tuple[Tensor, Tensor]:
        """(V,) and (A,) int64 two-second window of each video and audio token, by the time it stands for."""
        steps, rows, columns = grid
        time = self.family.step_times(steps, second_per_step, self.positions_per_second)
        step_window = torch.floor((time + POSITION_SLACK) / (WINDOW_S * self.positions_per_second)).long()
        return step_window.repeat_interleave(rows * columns), torch.arange(n_audio) // round(WINDOW_S * self.family.audio_tokens_per_s)

    def prompt_ids(self, turns: Sequence[Turn], media: Tensor, system: str | None = None) -> tuple[Tensor, Tensor]:
        """(B,) ids up to the end of the clip and (E,) those behind it, ready for an answer to the last turn.

        Args:
            system: what the chat begins with; by default what the family's chats do, empty for nothing.

        Raises:
            ModelError: a conversation without an open question at its end.
        """
        if not turns or turns[-1].answer is not None or any(turn.answer is None for turn in turns[:-1]):
            raise ModelError("The conversation has no open question at its end; every turn but the last needs its answer.")
        before, after = self._rendered(turns, self.family.system if system is None else system)
        encoded = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, after)]
        return torch.cat([torch.tensor(encoded[0], dtype=torch.int64), media]), torch.tensor(encoded[1], dtype=torch.int64)

    def _rendered(self, turns: Sequence[Turn], system: str) -> tuple[str, str]:
        """The chat's text before and behind the clip, by the checkpoint's template where it has one that fits."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
        for i, turn in enumerate(turns):
            clip = [] if i else [{"type": "video", "video": "clip"}]
            messages.append({"role": "user", "content": [*clip, {"type": "text", "text": self._plain(turn.question)}]})
            if turn.answer is not None:
                messages.append({"role": "assistant", "content": [{"type": "text", "text": self._plain(turn.answer)}]})
        marker = self.family.vision_start + self.tokenizer.convert_ids_to_tokens(self.video_id) + self.family.vision_end
        text = ""
        if self.tokenizer.chat_template:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        if text.count(marker) != 1:  # no template, or one that knows no clips: Qwen's chat format
            text = "".join(
                f"<|im_start|>{message['role']}\n{''.join(part.get('text', marker) for part in message['content'])}<|im_end|>\n"
                for message in messages
            )
            text += "<|im_start|>assistant\n"
        before, _, after = text.partition(marker)
        return before, after

    def _plain(self, text: str) -> str:
        """`text` without its outer space, and with a space inside any markup it quotes, so that it is read as text."""
        return self._markup.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text.strip())

    @cached_property
    def _markup(self) -> re.Pattern[str]:
        return re.compile("|".join(re.escape(str(token)) for token in self.tokenizer.get_added_vocab()) or r"(?!)")

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Ids that end the model's turn."""
        known = self.tokenizer.get_vocab()
        ids = {known[name] for name in END_OF_TURN if name in known}
        return frozenset(ids if self.tokenizer.eos_token_id is None else ids | {self.tokenizer.eos_token_id})

    @cached_property
    def suppressed_ids(self) -> Tensor:
        """Ids an answer never has: markers, and rows of the output layer that no token belongs to."""
        added = {i for word, i in self.tokenizer.get_added_vocab().items() if word not in self.family.sayable}
        markers = set(self.tokenizer.all_special_ids) | added
        unknown = set(range(self.vocabulary)) - set(self.tokenizer.get_vocab().values())
        ids = sorted((markers | unknown) - self.end_ids)
        return torch.tensor([i for i in ids if i < self.vocabulary], dtype=torch.int64)

    def text(self, ids: Sequence[int]) -> str:
        """The words of `ids`, without markers; bytes of a character that is not complete yet are held back."""
        words = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return words.rstrip("\ufffd")
