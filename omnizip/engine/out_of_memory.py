"""What is done when memory runs out: everything that can be made anew is freed, the work is tried once more, then one sentence."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..deferred import torch
from ..errors import ModelError

if TYPE_CHECKING:
    from ..model.prefix_cache import Prefixes
    from ..model.qwen import QwenOmni

Result = TypeVar("Result")
# Allocators that raise a plain RuntimeError are known by what they say: the CPU's, cuBLAS's, and CUDA's own calls.
ALLOCATORS = ("can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")


def is_out_of_memory(failure: BaseException) -> bool:
    """Whether a failure says that memory ran out, on a GPU or on the CPU."""
    if isinstance(failure, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(failure, RuntimeError) and any(said in str(failure) for said in ALLOCATORS)


@dataclass(frozen=True, eq=False)
class SecondTry:
    """Runs work that may run out of memory. Before the second try the kept prefixes are dropped and torch's cache is emptied."""

    model: QwenOmni
    prefixes: Prefixes
    frames: tuple[int, ...]  # (N, H, W, 3), shape of the clip's, for the advice

    def run(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns. Raises ModelError in one sentence where memory runs out twice."""
        for _ in range(2):
            try:
                return work()
            except (RuntimeError, MemoryError) as failure:
                if not is_out_of_memory(failure):
                    raise
            self.free()  # only here, since the failure's frames hold tensors
        raise ModelError(self.advice())

    def stream(self, work: Callable[[], Generator[Any, None, Result]]) -> Generator[Any, None, Result]:
        """Yield what `work` yields and return what it returns; after a failure it begins anew. Raises as `run` does."""
        for _ in range(2):
            try:
                return (yield from work())
            except (RuntimeError, MemoryError) as failure:
                if not is_out_of_memory(failure):
                    raise
            self.free()
        raise ModelError(self.advice())

    def free(self) -> None:
        """Drop what was kept for follow-up questions and return what torch holds for later."""
        from ..model.memory import release_cached_blocks  # a page knows this module before torch is there

        self.prefixes.clear()
        gc.collect()
        release_cached_blocks()

    def advice(self) -> str:
        """What happened and what would fit, in one sentence; of the settings those alone that make this clip's prompt shorter."""
        from ..model.processor import MIN_TOKENS_PER_STEP  # likewise

        count, height, width = self.frames[:3]
        fewer = max(2, count // 2)
        ways = [f"fewer frames (--max-frames {fewer})"] if fewer < count else []
        grid = self.model.processor.grid
        half = math.prod(grid(count, height, width, self.model.settings.tokens_per_step)[1:]) // 2  # of what a step of this clip has
        if half >= MIN_TOKENS_PER_STEP:
            ways.append(f"fewer tokens a step (--tokens-per-step {half})")
        if self.model.conditions.device != "cpu" and not self.model.settings.four_bit:
            ways.append("weights in 4 bits (--four-bit)")
        ways.append("a shorter part of the clip")
        listed = f"{', '.join(ways[:-1])} or {ways[-1]}" if len(ways) > 1 else ways[0]
        return f"The model ran out of memory, also after all that earlier questions had left there was freed; try {listed}."
