"""What differs between families of omni models, asked of one object: markers, rates, the clip's layout, how encoders are called.

A checkpoint's family is read off its config (families.py). Everything else of the package asks the family and never which one it
is, so a further family is one file with a subclass and one entry in `FAMILIES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from ..types import EncoderShape

Grid = tuple[int, int, int]  # steps, rows, columns of video tokens


class ClipIds(Protocol):
    """The ids and rates that a clip is laid out with; `Processor` has them."""

    @property
    def video_id(self) -> int: ...
    @property
    def audio_id(self) -> int: ...
    @property
    def vision_start_id(self) -> int: ...
    @property
    def vision_end_id(self) -> int: ...
    @property
    def audio_start_id(self) -> int: ...
    @property
    def audio_end_id(self) -> int: ...
    @property
    def positions_per_second(self) -> float: ...


class Family(ABC):
    """One family of omni models. Sizes come from the checkpoint's own config; what is here the config does not say."""

    name: ClassVar[str]  # as people call it
    example: ClassVar[str]  # a checkpoint on the hub
    model_types: ClassVar[tuple[str, ...]]  # in a config: the whole model, and its thinker alone
    system: ClassVar[str]  # what a chat begins with unless told otherwise; empty: nothing
    vision_start: ClassVar[str]
    vision_end: ClassVar[str]
    audio_end: ClassVar[str]
    colours: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]]  # mean and deviation of red, green, blue where the checkpoint says none
    audio_tokens_per_s: ClassVar[int]
    frames_per_token: ClassVar[int]  # rows of the audio encoder that become one token
    sound_is_mirrored: ClassVar[bool]  # what the stock processor's last mel frames see behind the sound: its mirror image, or silence
    sayable: ClassVar[frozenset[str]] = frozenset()  # words of the tokenizer's own that belong into answers
    no_four_bit: ClassVar[str] = ""  # why its weights are not kept in 4 bits, half a sentence; empty where they are

    @property
    @abstractmethod
    def thinker(self) -> Any:
        """transformers' class; imported when asked for, since that takes seconds."""

    @abstractmethod
    def audio_tokens(self, mel_frames: int) -> int:
        """Audio tokens that `mel_frames` become."""

    @abstractmethod
    def mel_frames(self, tokens: int) -> int:
        """Mel frames that become exactly so many tokens."""

    @abstractmethod
    def mean_of_tokens(self, mel: Tensor, tokens: int) -> Tensor:
        """(A, bins) log-mel frames (bins, M) averaged over those of each token; a last one that lacks frames repeats its last."""

    @abstractmethod
    def block_mel_frames(self, audio: Any) -> int:
        """Mel frames the audio encoder of config `audio` attends within."""

    @abstractmethod
    def step_times(self, steps: int, second_per_step: float, positions_per_second: float) -> Tensor:
        """(steps,) mRoPE time of each step since the first, in the numbers that the model counts in."""

    @abstractmethod
    def media_ids(self, ids: ClipIds, grid: Grid, n_audio: int, second_per_step: float) -> Tensor:
        """(M,) int64 ids of a clip from vision start to vision end, as the stock processor lays it out.

        Args:
            n_audio: audio tokens, 0 without sound.
            second_per_step: seconds of clip between steps as sampled.
        """

    @abstractmethod
    def as_positions(self, positions: Tensor) -> Tensor:
        """mRoPE positions in the numbers that the model counts in: whole ones, or fractions."""

    @abstractmethod
    def watched_layer(self, vision: nn.Module) -> nn.Module:
        """The attention of the vision encoder that says what is looked at: the last one that sees a whole step."""

    @abstractmethod
    def vision_queries_keys(self, attention: nn.Module, states: Tensor) -> tuple[Tensor, Tensor]:
        """(T, H, dh) queries and keys that a layer of the vision encoder makes of what it is given (T, d), before rotation."""

    @abstractmethod
    def token_order(self, vision: nn.Module, rows: int, columns: int) -> Tensor:
        """(rows * columns,) the place in its picture of each token, in the order the vision encoder works in."""

    @abstractmethod
    def deepstack(self, output: Any) -> Tensor | None:
        """(layers, V, D) what the vision encoder's `output` has for deeper layers of the language model; None where there is nothing."""

    @abstractmethod
    def deepstack_layers(self, vision: Any) -> int:
        """How many layers of the language model a picture's rows are added to, by the config `vision`."""

    @abstractmethod
    def encode_subset(self, vision: nn.Module, pixels: Tensor, columns: int, keep: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (K, D) of the 2x2 groups that are kept, step by step and row by row, and the same for deeper layers (layers, K, D).

        Args:
            pixels: (K * merge ** 2, C) normalised pixels of the kept groups' patches alone, a group's together, on the encoder's device.
            columns: groups in a row of the picture.
            keep: (steps, n) bool, which groups of each step are kept, on the host; a step may have none.
        """

    @abstractmethod
    def encoder_shape(self, vision: Any, audio: Any) -> EncoderShape:
        """The sizes of both encoders by their configs, for counting operations."""
