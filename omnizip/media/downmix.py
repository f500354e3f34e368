"""Many channels -> one, such that nothing vanishes on the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Shares of the usual downmix to mono (ITU-R BS.775, as ffmpeg's resampler has it); the low-frequency channel counts, too.
SHARES = {
    "FC": 1.0,
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "BC", "LFE", "LFE2"), 2**-0.5),
    **dict.fromkeys(("SL", "SR", "BL", "BR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR", "TSL", "TSR"), 0.5),
}
USUAL = {6: ("FL", "FR", "FC", "LFE", "BL", "BR"), 8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")}  # without names
CANCELLED = 0.1  # of the energy the channels would have together if they were unrelated
STEADY = 2.0  # another channel must be this many times as strong to be taken in the place of the last one
FADE_SAMPLES = 160  # from one mixture to another


class Downmix:
    """Mixes sound a stretch at a time. Where the channels of a stretch cancel each other, as opposite phases do, the
    strongest of them is taken alone."""

    def __init__(self, channels: Sequence[str]):
        """channels: their names, as "FL"; where unknown, those usual for their number, or the same share for each."""
        if not set(channels) <= SHARES.keys():
            channels = USUAL.get(len(channels), channels)
        if len(channels) == 1:
            shares = [1.0]
        elif set(channels) <= SHARES.keys():
            shares = [SHARES[name] for name in channels]
        else:
            shares = [len(channels) ** -0.5] * len(channels)
        self.shares = np.array(shares, np.float32)
        self.peak = 0.0  # of any channel, before mixing
        self.alone_samples = 0  # in stretches where one channel was taken alone
        self._weights: np.ndarray | None = None  # of the last stretch
        self._alone = 0

    def mix(self, samples: np.ndarray) -> np.ndarray:
        """(S, C) float32 -> (S,) float32. What is not a number becomes silence."""
        samples = np.nan_to_num(samples, copy=False, posinf=0.0, neginf=0.0)  # float PCM may hold anything
        self.peak = max(self.peak, float(samples.max()), -float(samples.min()))
        if samples.shape[1] == 1:
            return samples[:, 0]
        weights = self._weights_of(samples)
        mixed = samples @ weights
        if self._weights is not None and not np.array_equal(weights, self._weights):
            fade = np.linspace(0, 1, min(FADE_SAMPLES, len(samples)), dtype=np.float32)
            before = samples[: len(fade)] @ self._weights
            mixed[: len(fade)] = before + fade * (mixed[: len(fade)] - before)
        self._weights = weights
        return mixed

    def _weights_of(self, samples: np.ndarray) -> np.ndarray:
        """(C,) the usual shares, or one channel alone."""
        energies = np.einsum("sc,sc->c", samples, samples)
        mixed = samples @ self.shares
        if mixed @ mixed >= CANCELLED * (energies @ self.shares**2):
            return self.shares
        if energies.max() > STEADY * energies[self._alone]:
            self._alone = int(energies.argmax())
        self.alone_samples += len(samples)
        return np.eye(len(energies), dtype=np.float32)[self._alone]
