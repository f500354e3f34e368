"""Retention target -> pruning rates; audio retention of a window -> its video pruning rate, under an exact budget.

Source: OmniZip, section 3.2 and Algorithm 1. The paper names a normaliser and does not define it; `solve_rates` is exact:
the same constant is added to every window's rate, clipped to the bounds, such that the mean is the target (water-filling).
All of it runs on the host in float64 over W numbers.
"""

from __future__ import annotations

from .deferred import Tensor, torch
from .windows import Structure

MAX_RATE = 0.95
PRESETS = ((0.25, 0.6), (0.35, 0.4), (0.45, 0.3))  # retention, rho_audio


def rates_for(retention: float, n_audio: int, n_video: int, anchor_ratio: float = 0.05) -> tuple[float, float]:
    """(rho_audio, rho_video) that keep `retention` of a clip with `n_audio` and `n_video` tokens.

    rho_audio is 0.3 / 0.4 / 0.6 at 45 / 35 / 25 %, linear between and beyond; rho_video is solved so that kept audio,
    anchors and video add up to round(retention * (A + V)). Should that leave [0, 0.95], rho_audio moves.

    Args:
        retention: share of audio and video tokens to keep, in [0, 1].
        anchor_ratio: anchors as a share of the audio tokens; 0 when the method makes none.
    """
    target = round(retention * (n_audio + n_video))
    rho_audio = _preset_rho_audio(retention)
    salient = round((1 - rho_audio) * n_audio)
    anchors = round(anchor_ratio * n_audio)
    least_video = n_video - int(MAX_RATE * n_video + 1e-9)
    audio = min(n_audio, salient + anchors)
    video = min(n_video, max(least_video, target - audio))
    if audio + video != target and n_audio:
        wanted = target - video  # audio tokens, anchors included
        least_audio = n_audio - int(MAX_RATE * n_audio + 1e-9)
        salient = n_audio if wanted >= n_audio else max(least_audio, wanted - anchors)
        rho_audio = 1 - salient / n_audio
    rho_video = 1 - video / n_video if n_video else min(MAX_RATE, max(0.0, 1 - retention))
    return rho_audio, rho_video


def _preset_rho_audio(retention: float) -> float:
    (low, rho_low), (middle, rho_middle), (high, rho_high) = PRESETS
    slope = (rho_middle - rho_low) / (middle - low) if retention < middle else (rho_high - rho_middle) / (high - middle)
    return min(MAX_RATE, max(0.0, rho_middle + slope * (retention - middle)))


def bounds(rho_video: float, rho_min: float, rho_max: float) -> tuple[float, float]:
    """(lo, hi) a window's rate may take: rho_min and rho_max where rho_video lies between them, else a band around it."""
    if rho_min <= rho_video <= rho_max:
        return rho_min, rho_max
    reach = min(0.2, rho_video, 1 - rho_video)
    return min(rho_min, rho_video - reach), max(rho_max, rho_video + reach)


def guided_rates(structure: Structure, audio_retention: Tensor, rho_video: float, rho_min: float, rho_max: float) -> Tensor:
    """(W,) float64 video pruning rate of each window: rho_max - (rho_max - rho_min) S_a, shifted to meet `rho_video` exactly.

    Args:
        audio_retention: (W,) S_a, share of a window's audio that guides its video. Windows without sound get `rho_video`.
    """
    rates = torch.full((structure.n_windows,), rho_video, dtype=torch.float64)
    guided = (structure.video_counts > 0) & (structure.audio_counts > 0)
    if bool(guided.any()):
        base = rho_max - (rho_max - rho_min) * audio_retention[guided]
        low, high = bounds(rho_video, rho_min, rho_max)
        rates[guided] = solve_rates(base, structure.video_counts[guided], rho_video, low, high)
    return rates


def solve_rates(base: Tensor, sizes: Tensor, target: float, low: float, high: float) -> Tensor:
    """(W,) float64 rates clip(base + c, low, high) whose mean, weighted by `sizes`, is `target`.

    Args:
        base: (W,) rates before normalising; sizes: (W,) tokens of each window, at least one positive.
        target: between low and high.

    The sum is a rising, piecewise linear function of c: its value at every corner comes from one sort and two running
    sums, and c from the straight piece that holds the target.
    """
    base, sizes = base.double(), sizes.double()
    corners, order = torch.cat([low - base, high - base]).sort()
    slope = torch.cat([sizes, -sizes])[order].cumsum(0)
    rise = torch.cat([corners.new_zeros(1), slope[:-1] * corners.diff()]).cumsum(0)
    wanted = (target - low) * sizes.sum()
    left = int((torch.searchsorted(rise, wanted) - 1).clamp(0, corners.numel() - 2))
    c = corners[left]
    if slope[left] > 0:
        c = c + (wanted - rise[left]) / slope[left]
    return (base + c).clamp(low, high)
