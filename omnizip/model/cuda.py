"""What the GPUs of this machine can do, and why there may be none although one is built in."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

AMPERE = (8, 0)  # compute capability from which bfloat16 and flash-attn run
DRIVER = Path("/proc/driver/nvidia/version")
OLDEST_DRIVER = {"11": "450.80", "12": "525.60", "13": "580.65"}  # of Linux, by major version of CUDA (NVIDIA's release notes)


def before_ampere() -> bool:
    """Whether a GPU of this machine is older than the Ampere generation."""
    return any(torch.cuda.get_device_capability(i) < AMPERE for i in range(torch.cuda.device_count()))


def driver_problem() -> str:
    """Why CUDA is not available although PyTorch is built for it and an NVIDIA driver is installed, in one sentence; else empty."""
    built = torch.version.cuda
    if built is None or torch.cuda.is_available() or not (DRIVER.exists() or shutil.which("nvidia-smi")):
        return ""
    oldest = OLDEST_DRIVER.get(built.partition(".")[0])
    needed = f"NVIDIA driver {oldest} or newer" if oldest else "a newer NVIDIA driver"
    return f"The GPU cannot be used: this PyTorch is built for CUDA {built}, which needs {needed}; update the driver{_installed()}."


def _installed() -> str:
    """The installed version in brackets, where the kernel tells it."""
    try:
        words = DRIVER.read_text().splitlines()[0].split()
    except (OSError, IndexError):
        return ""
    found = [word for word in words if word[0].isdigit() and "." in word]
    return f" ({found[0]} is installed)" if found else ""


def capability_note() -> str:
    """What "auto" does on cards before Ampere, in one sentence; empty on newer ones."""
    if not torch.cuda.is_available() or not before_ampere():
        return ""
    return "A GPU here is older than Ampere: it computes in float16 and without flash-attn."
