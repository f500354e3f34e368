"""Frames with the patches the model keeps bright and the others dimmed, as images and as a video with the clip's sound.

A step of the model is two sampled frames under one grid of rows * columns patches that covers the whole frame. The display
frame is resized so that every patch is a whole, even number of pixels: what is dimmed is exactly what was dropped, and
H.264's 2x2 colour blocks never straddle two patches. Kept patches are the resized frame, untouched.

The video shows the frames that were sampled, since those are what the model saw, each for its own span of time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from proglog import ProgressBarLogger

from omnizip.report.packed import SOUND_HZ
from omnizip.stream import Modality

LONG_SIDE = 720  # pixels of a drawn frame's longer side, about
DIMMED = 0.20  # brightness a dropped patch keeps
LIFT = 18  # added to dropped patches (of 255), so that dimming shows in a black picture too
RULE = 58  # grey of the hairline round each dropped patch: told apart without relying on brightness
VIDEO_FPS = 10.0  # pictures per second of the overlay video; each sampled frame is repeated


def step_masks(keep: np.ndarray, modality: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
    """(steps, rows, columns) bool: which patches were kept, from keep (L,) bool and modality (L,)."""
    return np.asarray(keep, dtype=bool)[np.asarray(modality) == Modality.VIDEO].reshape(grid)


def patch_size(height: int, width: int, rows: int, columns: int, long_side: int = LONG_SIDE) -> tuple[int, int]:
    """(height, width) in pixels of one patch as drawn: even, and such that the frame keeps its shape nearly."""
    scale = long_side / max(height, width)
    return max(2, 2 * round(height * scale / rows / 2)), max(2, 2 * round(width * scale / columns / 2))


def overlay(frame: np.ndarray, keep: np.ndarray, long_side: int = LONG_SIDE) -> np.ndarray:
    """Draws which patches of a frame were kept.

    Args:
        frame: (H, W, 3) uint8; keep: (rows, columns) bool.

    Returns:
        (rows * patch height, columns * patch width, 3) uint8: kept patches as they are, dropped ones grey, dark and ruled.
    """
    rows, columns = keep.shape
    high, wide = patch_size(frame.shape[0], frame.shape[1], rows, columns, long_side)
    drawn = np.asarray(Image.fromarray(frame).resize((columns * wide, rows * high), Image.Resampling.BILINEAR))
    grey = drawn @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    dim = (grey * DIMMED + LIFT).astype(np.uint8)
    dim[high - 1 :: high] = RULE
    dim[:, wide - 1 :: wide] = RULE
    kept = keep.repeat(high, axis=0).repeat(wide, axis=1)
    return np.where(kept[..., None], drawn, dim[..., None])


class VideoProgress(ProgressBarLogger):
    """Passes moviepy's progress on as one number between 0 and 1."""

    def __init__(self, on_progress: Callable[[float], None]) -> None:
        super().__init__()
        self._on_progress = on_progress

    def bars_callback(self, bar: str, attr: str, value: int, old_value: int | None = None) -> None:
        total = self.bars[bar]["total"]
        if bar == "frame_index" and attr == "index" and total:
            self._on_progress(min(1.0, value / total))


def overlay_video(
    frames: np.ndarray,
    masks: np.ndarray,
    fps: float,
    waveform: np.ndarray | None,
    path: Path,
    on_progress: Callable[[float], None] | None = None,
) -> Path:
    """Writes the overlay of every sampled frame as H.264 with the clip's sound, and returns `path`.

    Args:
        frames: (N, H, W, 3) uint8, sampled `fps` times a second; masks: (steps, rows, columns) bool, two frames a step.
        waveform: (S,) float32 at 16 kHz from the first picture on, or None. Where it lasts longer, the last frame stays.

    A sampled frame is shown from i / fps to (i + 1) / fps, to within one of the video's own pictures (0.1 s) where fps does not
    divide them, and exactly at the default two a second.
    """
    from moviepy import VideoClip
    from moviepy.audio.AudioClip import AudioArrayClip

    n_frames, last = frames.shape[0], masks.shape[0] - 1
    drawn: dict[int, np.ndarray] = {}

    def picture(t: float) -> np.ndarray:
        index = min(n_frames - 1, int(t * fps + 1e-6))
        if index not in drawn:
            drawn.clear()
            drawn[index] = overlay(frames[index], masks[min(last, index // 2)])
        return drawn[index]

    picture_s = n_frames / fps
    sound_s = 0.0 if waveform is None else waveform.shape[0] / SOUND_HZ
    rate = VIDEO_FPS if fps <= VIDEO_FPS else round(fps, 2)
    clip = VideoClip(picture, duration=max(picture_s, sound_s, 1 / rate))
    sound = None
    if waveform is not None and waveform.size:
        sound = AudioArrayClip(np.repeat(waveform[:, None], 2, axis=1), fps=SOUND_HZ)
        clip = clip.with_audio(sound)
    try:
        clip.write_videofile(
            str(path),
            fps=rate,
            codec="libx264",
            preset="veryfast",
            audio_codec="aac",
            audio_fps=SOUND_HZ,
            temp_audiofile_path=str(path.parent),
            ffmpeg_params=["-crf", "20", "-g", str(int(2 * rate)), "-movflags", "+faststart"],
            logger=None if on_progress is None else VideoProgress(on_progress),
        )
    finally:
        clip.close()
        if sound is not None:
            sound.close()
    return path
