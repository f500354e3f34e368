"""How much memory a model needs on its device, and how much is free there.

One computation serves the check before loading, the models a page offers and the documented table: weights in the precision
they are kept in, the caches that are kept of prompts, and what reading the longest prompt takes on the way. The last is a
formula whose factors were counted on meta tensors at the released shapes (tests/model/test_memory.py counts again); nothing
of it was measured on a GPU.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..settings import Settings
from ..types import ModelShape

MEMINFO, LIMITS = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
PARAMETERS = {  # of the thinkers, counted from their shapes
    "Qwen/Qwen2.5-Omni-3B": 4_703_464_448,
    "Qwen/Qwen2.5-Omni-7B": 8_931_813_888,
    "Qwen/Qwen3-Omni-30B-A3B-Instruct": 31_719_205_488,
}
SHAPES = {
    "Qwen/Qwen2.5-Omni-3B": ModelShape(36, 2048, 16, 2, 128, 11008, 151936, 2),
    "Qwen/Qwen2.5-Omni-7B": ModelShape(28, 3584, 28, 4, 128, 18944, 152064, 2),
    "Qwen/Qwen3-Omni-30B-A3B-Instruct": ModelShape(48, 2048, 32, 4, 128, 8 * 768, 152064, 2, experts=128, chosen=8, audio_tokens_per_s=13),
}
UNREAD = ("talker.", "token2wav.", "code2wav.")  # of a full checkpoint; only the thinker is loaded
QUANTISED = re.compile(r"(^|\.)model\.(language_model\.)?layers\.\d+\..*_proj\.weight$")  # what 4-bit loading compresses
NF4_BITS = 4.5  # four bits a weight and a float32 scale for every 64
AUDIO_TOKENS_PER_S = 25  # of Qwen2.5-Omni
TEXT_TOKENS = 64  # system turn, question and markers, about
CLIP_S = 60.0  # the clip that has to find room beside the weights
COMPRESSED = 0.45  # share of the clip's tokens in the second of the two prompts a chat keeps

Tensors = Mapping[str, Sequence[int]]  # name -> shape


@dataclass(frozen=True)
class Needs:
    """Bytes a model takes on its device."""

    weights: int
    prompts: int  # keys and values of the prompts that are kept
    working: int  # at the peak of reading the longest prompt, beside its cache

    @property
    def total(self) -> int:
        return self.weights + self.prompts + self.working


def needs(
    weights: int, shape: ModelShape, settings: Settings, itemsize: int, seconds: float = CLIP_S, chats: int = 1, limit: float = math.inf
) -> Needs:
    """What a model of `weights` bytes takes for a clip of `seconds` at `settings`, and `chats` of one full and one compressed prompt.

    Args:
        itemsize: bytes of a number that is computed with.
        limit: bytes that kept prompts may take at most.
    """
    media = min(settings.fps * seconds, settings.max_frames) / 2 * settings.tokens_per_step + seconds * shape.audio_tokens_per_s
    rows = [int(media * share) + TEXT_TOKENS + settings.max_new_tokens for share in (1.0, COMPRESSED)]
    cached = 2 * shape.layers * shape.kv_heads * shape.head_dim * itemsize
    return Needs(weights, int(min(limit, chats * sum(rows) * cached)), working_bytes(shape, rows[0], itemsize))


def working_bytes(shape: ModelShape, rows: int, itemsize: int) -> int:
    """Most bytes of tensors that live while a prompt of `rows` is read by fused attention, its cache and the weights apart.

    The peak is in the feed-forward part: three products of its width beside the residual, the normed input and the prompt; in a
    mixture of experts a row goes in, comes out and is weighed once for each that is chosen for it.
    """
    return rows * itemsize * (3 * shape.ffn + (3 + 3 * shape.chosen) * shape.width + 4 * shape.head_dim)


def has_four_bits(shape: ModelShape) -> bool:
    """Whether a model's weights can be kept in 4 bits: experts are no layers that bitsandbytes compresses."""
    return not shape.experts


def released_weights(name: str, itemsize: int, four_bit: bool) -> int:
    """Bytes of the weights of a released model, by its table of sizes; `four_bit` for those that have four bits."""
    shape, count = SHAPES[name], PARAMETERS[name]
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    quantised = shape.layers * shape.width * (2 * queries + 2 * keys + 3 * shape.ffn) if four_bit else 0
    return int((count - quantised) * itemsize + quantised * NF4_BITS / 8)


def weight_bytes(checkpoint: Path | Tensors, itemsize: int, four_bit: bool = False) -> int:
    """Bytes of the thinker of a checkpoint, given as a folder of safetensors or as shapes; 0 where the files do not tell.

    Args:
        itemsize: bytes of a number that is not quantised.
        four_bit: the projections of the language model's layers are kept in NF4, all else as it is.
    """
    shapes = tensors_in(checkpoint) if isinstance(checkpoint, Path) else checkpoint
    bits = 0.0
    for name, shape in shapes.items():
        if not name.startswith(UNREAD):
            bits += math.prod(shape) * (NF4_BITS if four_bit and QUANTISED.search(name) else 8 * itemsize)
    return int(bits / 8)


def tensors_in(folder: Path) -> dict[str, Sequence[int]]:
    """Shapes of the tensors in a folder's safetensors files, by their headers; files that cannot be read are left out."""
    found: dict[str, Sequence[int]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            try:
                header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
            except (ValueError, OverflowError, MemoryError):
                continue
        found |= {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    return found


def free_bytes(device: str) -> int | None:
    """Memory that may still be taken: of all GPUs for "cuda", else of the machine or the container; None where unknown."""
    if device == "cuda":
        return sum(free_by_gpu())
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


def free_by_gpu() -> list[int]:
    """Bytes that may still be taken of each GPU; blocks that torch holds for later and no tensor uses are free, too."""
    return [
        torch.cuda.mem_get_info(i)[0] + torch.cuda.memory_reserved(i) - torch.cuda.memory_allocated(i)
        for i in range(torch.cuda.device_count())
    ]


def has_cuda() -> bool:
    """Whether there is a GPU."""
    return torch.cuda.is_available()


def release_cached_blocks() -> None:
    """Return to the GPUs what torch holds for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
