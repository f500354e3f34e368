"""QwenOmni: one checkpoint of an omni model that encodes clips, builds prompts, reads them and answers.

No modelling code of transformers is copied and no class is patched: the encoders and the language model are called as they
are. This package is all that knows how transformers' Qwen-Omni classes are called; it runs on releases 5.17 to 5.24.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor
from torch.nn.functional import embedding

from ..compressors.base import Compressor, Sight
from ..compressors.layer_pruner import LayerPruner, Rows
from ..compressors.omnisift_selector import AudioSelector
from ..media import Clip
from ..settings import Settings
from ..stream import Modality, Prompt, TokenStream
from ..types import Agreement, EncoderShape, ModelShape, Sampling, Turn
from .conditions import model_conditions
from .encoders import Ahead, EncodedClip, Encoder
from .fingerprint import weights_digest
from .first_token import by_window
from .generate import LanguageModel, Prefilled
from .joint_attention import joint_attention
from .loading import Loaded, Parts, embedded, load, text_shape
from .prefix_cache import Prefix
from .processor import Processor

SMALL_MODEL = 50_000_000  # parameters below which one CPU thread is faster than several


class QwenOmni:
    """A checkpoint in memory. `load` is the way to make one."""

    def __init__(self, loaded: Loaded, settings: Settings) -> None:
        self.settings = settings
        self.parts: Parts = loaded.parts
        thinker = self.parts.thinker
        self.processor = Processor.of(thinker.config, loaded.tokenizer, loaded.extractor)
        if getattr(thinker.config, "vision_start_token_id", None) is None:
            thinker.config.vision_start_token_id = self.processor.vision_start_id  # get_rope_index reads it; no release declares it
        self.encoder = Encoder(self.parts, self.processor, settings.tokens_per_step)
        self._selector: AudioSelector | None = None
        self.language_model = LanguageModel(self.parts, self.processor.suppressed_ids, self.processor.end_ids)
        parameters = thinker.num_parameters()
        if self.parts.device.type == "cpu" and parameters < SMALL_MODEL:
            # Its matrices are so small that threads spend their time waiting for each other: 10-35 times slower on two cores.
            torch.set_num_threads(1)
        self.host_rows = loaded.host_rows
        self.shape = shape_of(self.parts)
        self.encoder_shape = encoder_shape_of(self.parts)
        self.conditions = model_conditions(loaded, settings, parameters)
        self._positions_cached = lru_cache(maxsize=8)(self._media_positions)
        self._warmed: set[int] = set()

    @classmethod
    def load(cls, settings: Settings, on_progress: Callable[[str, float | None], None] | None = None, host_rows: bool = False) -> QwenOmni:
        """Read the checkpoint `settings.model` names, or the embedded one. Raises ModelError in one sentence.

        Args:
            host_rows: keep the embeddings of text on the CPU as well, for `stream(..., host=True)`.
        """
        report = on_progress or (lambda name, fraction: None)
        report("load", None)
        model = cls(load(settings, report, host_rows), settings)
        folder = Path(settings.model).expanduser() if settings.model else embedded()
        if folder.is_dir():
            model._selector = AudioSelector.from_checkpoint(folder)  # OmniSIFT's, where the checkpoint has one
        report("load", 1.0)
        return model

    def encode(self, clip: Clip, on_progress: Callable[[float], None] | None = None, ahead: Ahead | None = None) -> EncodedClip:
        """Run both encoders over a clip and score its sound; see `Encoder.encode`."""
        return self.encoder.encode(clip, on_progress, ahead)

    @torch.no_grad()
    def stream(self, encoded: EncodedClip, turns: Sequence[Turn], host: bool = False, system: str | None = None) -> TokenStream:
        """The unpruned prompt of a clip and a conversation whose last turn is open. On the model's device.

        Args:
            host: on the CPU, without touching the device; for a model loaded with `host_rows`.
            system: what the chat begins with; by default what chats of the model's family do.
        """
        ids, positions, modality = self._prompt(encoded, turns, system)
        device = torch.device("cpu") if host else self.parts.device
        embeds = embedding(ids, self.host_rows) if host else self.parts.thinker.get_input_embeddings()(ids.to(device))
        video = (modality == Modality.VIDEO).nonzero().flatten()
        if encoded.seen is not None:
            embeds[video.to(device)] = 0
            video = video[encoded.seen.flatten()]
        embeds[video.to(device)] = encoded.video.to(embeds)
        if encoded.audio is not None:
            embeds[(modality == Modality.AUDIO).to(device)] = encoded.audio.to(embeds)
        stream = self._stream_of(encoded, embeds, positions, modality)
        deepstack = encoded.whole_deepstack(device)
        stream = stream if deepstack is None else replace(stream, deepstack=deepstack)
        observers = {
            **stream.observers,
            "saliency_video": lambda: self.encoder.video_saliency(encoded),
            "saliency_joint": lambda: joint_attention(self.parts, stream),
        }
        return replace(stream, observers=observers, audio_selector=self._selector)

    @torch.no_grad()
    def sight(self, encoded: EncodedClip) -> Sight:
        """What a method that chooses before encoding is shown of a clip; on the host, whatever of the picture was encoded."""
        ids, positions, modality = self._prompt(encoded, [Turn("?")])  # no choice depends on the question
        layout = self._stream_of(replace(encoded, seen=None), torch.empty(ids.numel(), 0), positions, modality)
        return Sight(layout, self.processor.pooled(encoded.clip.frames, *encoded.grid[1:]), encoded.audio)

    def look(self, encoded: EncodedClip, compressor: Compressor) -> tuple[Tensor, float]:
        """(steps, n) bool what `compressor` wants encoded of a clip whose sound is, and the milliseconds that choosing it took."""
        start = perf_counter()
        seen = compressor.look(self.sight(encoded))
        return seen, 1000 * (perf_counter() - start)

    def _prompt(self, encoded: EncodedClip, turns: Sequence[Turn], system: str | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(L,) ids, (3, L) positions and (L,) uint8 modality of the unpruned prompt, on the CPU."""
        n_audio = 0 if encoded.audio is None else encoded.audio.shape[0]
        media = self.processor.media_ids(encoded.grid, n_audio, encoded.second_per_step)
        before, after = self.processor.prompt_ids(turns, media, system)
        ids = torch.cat([before, after])
        start = before.numel() - media.numel()
        positions = self._positions_cached(start, encoded.grid, n_audio, encoded.second_per_step)
        behind = torch.arange(after.numel()) + positions[:, -1].max() + 1
        modality = torch.zeros(ids.numel(), dtype=torch.uint8)
        modality[ids == self.processor.audio_id] = Modality.AUDIO
        modality[ids == self.processor.video_id] = Modality.VIDEO
        return ids, torch.cat([positions, behind.expand(3, -1)], dim=1), modality

    def _stream_of(self, encoded: EncodedClip, embeds: Tensor, positions: Tensor, modality: Tensor) -> TokenStream:
        """The prompt of a clip with the given embeddings, on their device."""
        device = embeds.device
        saliency, windowed = (torch.full((modality.numel(),), torch.nan) for _ in range(2))
        heard, mel = modality == Modality.AUDIO, encoded.log_mel
        window = torch.full((modality.numel(),), -1)
        window[modality == Modality.VIDEO], window[heard] = self.processor.media_windows(
            encoded.grid, int(heard.sum()), encoded.second_per_step
        )
        if encoded.audio is not None:
            saliency[heard], windowed[heard] = encoded.saliency, encoded.saliency_windowed
        return TokenStream(
            embeds=embeds,
            positions=positions.to(device),
            modality=modality.to(device),
            window=window.to(device),
            grid=encoded.grid,
            saliency=saliency.to(device),
            saliency_windowed=windowed.to(device),
            saliency_kind=encoded.saliency_kind,
            observers={} if mel is None else {"log_mel": lambda: (mel, 0.0)},
            seen=encoded.seen,
        )

    def _media_positions(self, text_before: int, grid: tuple[int, int, int], n_audio: int, second_per_step: float) -> Tensor:
        """(3, B) positions up to the end of the clip. What text stands before it does not matter, only how much.

        KeptRows for a few clips: the model's rule walks over the tokens one by one, which is most of what a prompt costs.
        """
        media = self.processor.media_ids(grid, n_audio, second_per_step)
        ids = torch.cat([media.new_full((text_before,), self._text_id), media])
        return self.positions(ids, grid, n_audio, second_per_step)

    @property
    def _text_id(self) -> int:
        """An id that is text and no marker."""
        return self.processor.tokenizer("a", add_special_tokens=False)["input_ids"][0]

    def positions(self, ids: Tensor, grid: tuple[int, int, int], n_audio: int, second_per_step: float) -> Tensor:
        """(3, L) mRoPE positions of unpruned ids (L,) by the model's own rule: time, height, width."""
        steps, rows, columns = grid
        merge, family = self.processor.merge, self.processor.family
        positions, _ = self.parts.thinker.get_rope_index(
            ids[None],
            attention_mask=torch.ones_like(ids[None]),
            video_grid_thw=torch.tensor([[steps, rows * merge, columns * merge]]),
            use_audio_in_video=n_audio > 0,
            audio_seqlens=torch.tensor([family.mel_frames(n_audio)]) if n_audio else None,
            second_per_grids=torch.tensor([second_per_step]),
        )
        return family.as_positions(positions[:, 0])

    def prefill(self, prompt: Prompt, compressor: Compressor | None = None, stream: TokenStream | None = None) -> Prefilled:
        """Read a prompt; the device is synchronised when this returns.

        Args:
            compressor, stream: what the prompt was made by and of. Needed for a method that works inside the model (a
                LayerPruner), which then drops rows on the way: `Prefilled.kept` says which, and
                `kept.applied_to(compression, prompt.index)` is the decision as it ended. Of no effect for any other method.
        """
        if isinstance(compressor, LayerPruner) and stream is not None:
            media = stream.n_audio + stream.n_video
            prefilled = self.language_model.prefill(prompt, compressor, Rows.of(stream, prompt.index), media)
        else:
            prefilled = self.language_model.prefill(prompt)
        self.synchronize()
        return prefilled

    def score(self, prefilled: Prefilled, ids: Sequence[int]) -> Agreement | None:
        """How likely `ids` are as the answer to a prompt that was read; see `LanguageModel.score`."""
        return self.language_model.score(prefilled, ids)

    def first_token_attention(self, prefilled: Prefilled, prompt: Prompt, stream: TokenStream) -> tuple[float, ...] | None:
        """(W,) how much each window of two seconds is looked at as the first token is chosen, see first_token.py; None if unknown."""
        attention = prefilled.first_token_attention
        return None if attention is None else by_window(attention, prompt, stream, prefilled.kept)

    def resume(self, prefix: Prefix, prompt: Prompt) -> Prefilled:
        """Read of a prompt only what `prefix` does not have; its cache is used up. Synchronised like `prefill`."""
        shared = prefix.shared(prompt)
        prefilled = self.language_model.resume(prefix.cache, shared, prompt) if shared else self.language_model.prefill(prompt)
        self.synchronize()
        return prefilled

    def prefix(self, prefilled: Prefilled, prompt: Prompt, answer_ids: Sequence[int]) -> Prefix:
        """What has been read once `answer_ids` were decoded after `prompt`."""
        return Prefix.of(prefilled.cache, prompt, self.language_model.embed(answer_ids))

    def decode(self, prefilled: Prefilled, sampling: Sampling, stop: Callable[[], bool] | None = None) -> Iterator[int]:
        """Yield each new token id as it is made; see `LanguageModel.decode`."""
        return self.language_model.decode(prefilled, sampling, stop)

    def text(self, ids: Sequence[int]) -> str:
        """The words of `ids`; bytes of a character that is not complete yet are held back."""
        return self.processor.text(ids)

    def warm_up(self, lengths: Sequence[int]) -> None:
        """Run each prompt length once that was not run before, so that no measured run pays for first use."""
        for length in lengths:
            if length in self._warmed or not length:
                continue
            with torch.inference_mode():
                ids = torch.full((length,), self._text_id, device=self.parts.device)
                embeds = self.parts.thinker.get_input_embeddings()(ids)
            index = torch.arange(length, device=self.parts.device)
            prefilled = self.prefill(Prompt(embeds, index.expand(3, -1), index, length))
            self.language_model.advance(prefilled, self._text_id, 0)
            self._warmed.add(length)
        self.synchronize()

    @cached_property
    def weights_digest(self) -> str:
        """Tells these weights from others; see fingerprint.py."""
        return weights_digest(self.parts.thinker)

    def synchronize(self) -> None:
        """Wait until every device has done what it was given."""
        self.parts.synchronize()

    def peak_memory_bytes(self) -> int | None:
        """Most memory tensors took since the last reset, over all GPUs; None on the CPU, where it cannot be told."""
        return sum(torch.cuda.max_memory_allocated(i) for i in self.parts.gpus) if self.parts.gpus else None

    def reset_peak_memory(self) -> None:
        """Forget the peak so far."""
        for i in self.parts.gpus:
            torch.cuda.reset_peak_memory_stats(i)


def encoder_shape_of(parts: Parts) -> EncoderShape:
    """The sizes of a thinker's encoders."""
    return parts.family.encoder_shape(parts.vision.config, parts.audio.config)


def shape_of(parts: Parts) -> ModelShape:
    """The sizes of a thinker's language model."""
    return text_shape(parts.language.config, parts.thinker.dtype.itemsize, parts.family)
