"""ffmpeg's own program as an independent truth: what it makes of a file, and files that only it can write."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np


def ffmpeg(*arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Run ffmpeg quietly, overwriting."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, check=check)


def pictures(path: Path, size: tuple[int, int], *filters: str) -> np.ndarray:
    """(N, H, W, 3) all pictures of a file as ffmpeg shows them, at `size` (W, H)."""
    chain = ",".join([*filters, f"scale={size[0]}:{size[1]}"])
    raw = ffmpeg("-i", path, "-vf", chain, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-").stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3)


def sound(path: Path, *options: object) -> np.ndarray:
    """(S,) the sound of a file at 16 kHz as ffmpeg reads it."""
    return np.frombuffer(ffmpeg("-i", path, "-vn", *options, "-ar", 16_000, "-f", "f32le", "-").stdout, np.float32)


def length_s(path: Path) -> float:
    """Seconds until the last track of a file ends, as ffmpeg plays it."""
    command = ["-i", path, "-progress", "-", "-f", "null", "-"]
    lines = ffmpeg(*command).stdout.decode().splitlines()
    return max(int(line.partition("=")[2]) for line in lines if line.startswith("out_time_us=") and "N/A" not in line) / 1e6
