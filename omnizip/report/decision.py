"""A decision of a compressor on the host, and every count that follows from it: tokens, shares, reasons, windows.

What was allocated is stored, what was realised is derived here. Counting goes over a table of (modality, window, reason)
that is made once, so a picture of a thirty-second clip is redrawn in milliseconds.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..stream import Compression, Modality, Reason
from ..windows import WINDOW_S

if TYPE_CHECKING:
    import numpy as np

MEDIA = (Modality.AUDIO, Modality.VIDEO)
SALIENCY_NOTES = {
    "uniform": "The sound track is silent, so all of its tokens rank alike.",
    "embedding norm": "No attention was given, so audio is ranked by the norm of its embeddings.",
    "given": "Audio is ranked by a saliency given from outside, not by the encoder's attention.",
}


@dataclass(frozen=True)
class WindowRecord:
    """Two seconds of the clip: what they hold, what was allocated to them, what was kept."""

    start_s: float
    end_s: float
    audio_tokens: int
    audio_kept: int
    video_tokens: int
    video_kept: int
    audio_retention: float | None  # as allocated; None where the method has no opinion or the window no sound
    video_pruning_rate: float | None  # as allocated; None where the method has no opinion or the window no picture


@dataclass(frozen=True, eq=False)
class CompressionRecord:
    """A Compression on the host, without embeddings: enough for every picture and count, and it pickles."""

    keep: np.ndarray  # (L,) bool
    source: np.ndarray  # (L,) int64 the survivor each token lives on in, itself if kept, -1 if dropped
    reason: np.ndarray  # (L,) uint8, Reason
    modality: np.ndarray  # (L,) uint8, Modality
    window: np.ndarray  # (L,) int64, -1 outside the clip
    saliency: np.ndarray | None  # (L,) float32 attention received as this method ranks by it; NaN where not observed
    saliency_kind: str  # "attention" or what stands in for it
    audio_retention: np.ndarray | None  # (W,) as allocated; NaN without audio
    video_pruning_rate: np.ndarray | None  # (W,) as allocated; NaN without video
    grid: tuple[int, int, int]  # steps, rows, columns
    duration_s: float
    notes: tuple[str, ...] = ()
    layers: tuple[tuple[int, int, int], ...] = ()  # text, audio, video tokens each layer read; empty where all read what was kept

    @classmethod
    def of(
        cls,
        compression: Compression,
        duration_s: float,
        needs: frozenset[str] = frozenset(),
        layers: tuple[tuple[int, int, int], ...] = (),
        asked: float | None = None,
    ) -> CompressionRecord:
        """Copies a decision to the host.

        Args:
            duration_s: length of the clip, the end of its last window.
            needs: the compressor's `needs`; they decide which of the two saliencies is recorded.
            layers: text, audio and video tokens each layer read, for a method that drops some inside the model.
            asked: share of the clip to keep; where something else was kept and the method does not say so, a note does.
        """
        stream = compression.stream
        saliency = stream.saliency_windowed if "saliency_windowed" in needs else stream.saliency
        notes = compression.notes
        ranks = needs & {"saliency", "saliency_windowed"} and stream.n_audio
        if ranks and not notes and stream.saliency_kind in SALIENCY_NOTES:
            notes = (SALIENCY_NOTES[stream.saliency_kind],)
        made = cls(
            *(_to_host(t) for t in (compression.keep, compression.source, compression.reason, stream.modality, stream.window, saliency)),
            stream.saliency_kind,
            _to_host(compression.audio_retention),
            _to_host(compression.video_pruning_rate),
            stream.grid,
            duration_s,
            notes,
            layers,
        )
        return made if asked is None else replace(made, notes=(*notes, *made._shortfall_notes(asked)))

    def _shortfall_notes(self, asked: float) -> tuple[str, ...]:
        """One sentence if the share kept is not the one asked for, to a token, and no note ends by saying so; else nothing."""
        got, total = self.retained["total"], self.clip_tokens["total"]
        within = 1 if self.layers else 0.5 + 1e-6  # a choice inside the model rounds at every cut
        if got is None or abs(got - asked) * total <= within or any(note.endswith("asked.") for note in self.notes):
            return ()
        return (f"It kept {100 * got:.1f} % of the clip, not the {100 * asked:.3g} % asked.",)

    @cached_property
    def _counts(self) -> Counter:
        """How many tokens there are of each (modality, window, reason)."""
        return Counter(zip(self.modality.tolist(), self.window.tolist(), self.reason.tolist(), strict=True))

    def _count(self, modality: Modality, kept: bool = False, window: int | None = None) -> int:
        return sum(
            n
            for (m, w, reason), n in self._counts.items()
            if m == modality and (not kept or reason < Reason.FOLDED) and (window is None or w == window)
        )

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens the model reads: text, audio, video, total. Where layers read different numbers, their average, rounded."""
        if self.layers:
            kept = {m.name.lower(): round(sum(layer[m] for layer in self.layers) / len(self.layers)) for m in Modality}
        else:
            kept = self.survivors
        return {**kept, "total": sum(kept.values())}

    @property
    def survivors(self) -> dict[str, int]:
        """Tokens that are kept to the end: text, audio, video. Fewer than were read where some leave inside the model."""
        return {m.name.lower(): self._count(m, kept=True) for m in Modality}

    @property
    def clip_tokens(self) -> dict[str, int]:
        """Tokens of the clip before compression: audio, video, total."""
        counts = {m.name.lower(): self._count(m) for m in MEDIA}
        return {**counts, "total": sum(counts.values())}

    @property
    def retained(self) -> dict[str, float | None]:
        """Kept share of the clip's audio, video and both, averaged over layers; None where the clip has none."""
        clip = self.clip_tokens
        if self.layers:
            audio, video = (sum(layer[m] for layer in self.layers) / len(self.layers) for m in MEDIA)
            means = {"audio": audio, "video": video, "total": audio + video}
            return {name: ratio(means[name], clip[name]) for name in means}
        tokens = self.tokens
        kept = {"audio": tokens["audio"], "video": tokens["video"], "total": tokens["audio"] + tokens["video"]}
        return {name: ratio(kept[name], clip[name]) for name in kept}

    @property
    def reasons(self) -> dict[str, dict[str, int]]:
        """Where the tokens of each modality went: audio and video, reason -> tokens, only reasons that occur."""
        went = {m.name.lower(): dict.fromkeys((r.name.lower() for r in Reason), 0) for m in MEDIA}
        for (modality, _, reason), n in self._counts.items():
            if modality != Modality.TEXT:
                went[Modality(modality).name.lower()][Reason(reason).name.lower()] += n
        return {name: {reason: n for reason, n in counts.items() if n} for name, counts in went.items()}

    def to_json(self) -> dict[str, Any]:
        """What was kept and why, with one entry per window; numbers that do not exist are None."""
        return {
            "tokens": self.tokens,
            "retained": self.retained,
            "layers": [dict(zip(("text", "audio", "video"), layer, strict=True)) for layer in self.layers] or None,
            "survivors": self.survivors,
            "reasons": self.reasons,
            "saliency_kind": self.saliency_kind,
            "notes": list(self.notes),
            "windows": [asdict(window) for window in self.windows],
        }

    @cached_property
    def windows(self) -> tuple[WindowRecord, ...]:
        """(W,) one record per two seconds."""
        total = int(self.window.max()) + 1 if self.window.size else 0
        retention = _per_window(self.audio_retention, total)
        rate = _per_window(self.video_pruning_rate, total)
        counts: Counter = Counter()
        for (modality, window, reason), n in self._counts.items():
            counts[modality, window, False] += n
            counts[modality, window, True] += n * (reason < Reason.FOLDED)
        records = []
        for i in range(total):
            start, end = i * WINDOW_S, (i + 1) * WINDOW_S
            if i == total - 1 and start < self.duration_s < end:
                end = self.duration_s
            held = [counts[m, i, kept] for m in MEDIA for kept in (False, True)]
            records.append(WindowRecord(start, end, *held, retention[i], rate[i]))
        return tuple(records)


def _to_host(tensor: Any) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().cpu().numpy().copy()


def _per_window(values: np.ndarray | None, total: int) -> list[float | None]:
    """One value per window; None where there is none, and everywhere if the method's windows are not the clip's."""
    if values is None or values.shape[0] != total:
        return [None] * total
    return [value if math.isfinite(value) else None for value in values.tolist()]


def ratio(a: float | None, b: float | None) -> float | None:
    """a / b; None where either is unknown or b is nothing."""
    return a / b if a is not None and b else None
