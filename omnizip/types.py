"""What a run is, in fields with units. No imports of ours: every other module may speak these words."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Turn:
    """One question about the clip and, once given, its answer."""

    question: str
    answer: str | None = None


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class ModelShape:
    """The language model's sizes, for counting operations and cache bytes."""

    layers: int
    width: int  # d
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int  # m, gated; of a mixture of experts those that one token goes through together
    vocabulary: int
    kv_bytes: int  # bytes of one cached number
    experts: int = 0  # of a layer, that a router chooses from; 0: no mixture
    chosen: int = 0  # of them for one token
    audio_tokens_per_s: int = 25


@dataclass(frozen=True)
class EncoderShape:
    """The encoders' sizes, for counting operations."""

    vision_layers: int
    vision_full_layers: int  # of them, those that attend over a whole step; the others attend within windows
    vision_width: int
    vision_ffn: int
    patch_values: int  # numbers of a patch
    merged: int  # patches merged into one token
    window_side: int  # tokens that a window is wide and high
    audio_layers: int
    audio_width: int
    audio_ffn: int  # not gated
    mel_bins: int
    block_tokens: int  # audio tokens that a frame attends within
    output: int  # width of what both give
    vision_gated: bool = True  # whether its feed-forward network has a gate
    mergers: int = 1  # of the vision encoder: what the language model reads, and what is added to it deeper
    audio_rows_per_token: int = 2  # that the layers of the audio encoder compute on
    audio_stem_per_s: int | None = None  # operations beside its layers and last projection, of a second; None: two convolutions over time
    audio_tokens_per_s: int = 25


@dataclass(frozen=True)
class Conditions:
    """What every number of a run depends on."""

    model: str
    embedded: bool  # the model stored with the project
    parameters: int
    device: str
    dtype: str
    attention: str
    threads: int
    torch: str
    transformers: str
    platform: str
    notes: tuple[str, ...] = ()  # what people have to know of the device, a sentence each


@dataclass(frozen=True)
class MachineLoad:
    """What else the machine had to do at the end of a run."""

    average: tuple[float, float, float] | None  # runnable processes over 1, 5 and 15 minutes; None where the system does not count
    cores: int | None


@dataclass(frozen=True)
class Timing:
    """Milliseconds of each part of a run, measured with the device synchronised."""

    decode_clip_ms: float | None  # reading the file; None when the clip was in memory already
    encode_ms: float  # vision and audio encoders on what this run needs encoded, whenever that was done
    saliency_ms: float  # attention received, only what this method needs
    compress_ms: float  # saliency_ms + look_ms + choosing and merging
    prefill_ms: float  # median of prefill_runs
    first_token_ms: float  # from the end of prefill until the first token is chosen
    ttft_ms: float  # compress + prefill + first token
    decode_ms: float  # all tokens after the first
    tokens_per_s: float | None  # decode speed after the first token; None for an answer of one token
    look_ms: float = 0.0  # choosing what to encode, pixel statistics included; 0 for a method that needs all
    encode_reused: bool = False  # the very same encoding was there already: encode_ms is what it took then
    prefill_runs: int = 1  # how often the prompt was read and timed; more than once where that is short

    def with_prefill(self, prefill_ms: float, runs: int) -> Timing:
        """The same run with the median of so many times of reading."""
        ttft_ms = self.compress_ms + prefill_ms + self.first_token_ms
        return replace(self, prefill_ms=prefill_ms, prefill_runs=runs, ttft_ms=ttft_ms)

    @property
    def ttft_encoded_ms(self) -> float:
        """To the first token with this run's own encoding."""
        return self.encode_ms + self.ttft_ms


@dataclass(frozen=True)
class Agreement:
    """How likely this run's model finds the full model's answer: whether compression changed anything, without a judge."""

    mean_log_likelihood: float  # nats per token of that answer, 0 at most
    first_rank: int  # of its first token among all this model could say, 1 is the one it says itself
    tokens: int  # of that answer


@dataclass(frozen=True)
class Answer:
    """What the model said, as it was decoded."""

    text: str
    token_ids: tuple[int, ...]
    finish: str  # "end of turn", "length" or "stopped"
