"""Every token, as the stock model reads them: what all other methods are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..deferred import torch
from ..stream import Compression, Modality, Reason, TokenStream
from .base import Compressor, check_retention


@dataclass(frozen=True)
class Full(Compressor):
    """No compression."""

    name: ClassVar[str] = "full"
    label: ClassVar[str] = "Full model"
    summary: ClassVar[str] = "Reads every token of picture and sound."
    source: ClassVar[str] = "Qwen2.5-Omni, arXiv 2503.20215"
    fidelity: ClassVar[str] = "exact"
    meets_retention: ClassVar[bool] = False  # it has no rates

    @classmethod
    def at_retention(cls, retention: float, stream: TokenStream, **fields: Any) -> Full:
        """The full model whatever the retention: it has no rates; reports give what it really keeps."""
        check_retention(retention)
        return cls(**fields)

    def compress(self, stream: TokenStream) -> Compression:
        """Keep everything."""
        media = stream.modality != Modality.TEXT
        return Compression.of(stream, torch.where(media, Reason.METHOD_SCORE, Reason.TEXT).to(torch.uint8))
