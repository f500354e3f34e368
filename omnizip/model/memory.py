"""How much memory is free where a model would go, and how much the weights of a checkpoint need."""

from __future__ import annotations

import json
from pathlib import Path

import torch

MEMINFO, LIMITS = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
PARAMETERS = {"Qwen/Qwen2.5-Omni-3B": 4_703_464_448, "Qwen/Qwen2.5-Omni-7B": 8_931_813_888}  # of the thinkers, counted from their shapes
UNREAD = ("talker.", "token2wav.")  # of a full checkpoint; only the thinker is loaded
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "BOOL": 8}


def free_bytes(device: str) -> int | None:
    """Memory that may still be taken: of all GPUs for "cuda", else of the machine or the container; None where unknown."""
    if device == "cuda":
        return sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = (int((LIMITS / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no limit: the file says "max"
        return free
    return min(free, max(0, limit - used))


def weight_bytes(folder: Path, bits: int) -> int:
    """Bytes of the thinker in a folder of safetensors with so many bits a number; 0 where the files do not tell."""
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            try:
                tensors = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
            except (ValueError, OverflowError, MemoryError):
                continue
        for name, entry in tensors.items():
            if name != "__metadata__" and not name.startswith(UNREAD):
                begin, end = entry["data_offsets"]
                total += (end - begin) * bits // BITS.get(entry["dtype"], 32)
    return total


def has_cuda() -> bool:
    """Whether there is a GPU."""
    return torch.cuda.is_available()


def release_cached_blocks() -> None:
    """Return to the GPUs what torch holds for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
