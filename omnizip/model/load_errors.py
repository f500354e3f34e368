"""What libraries raise while a checkpoint is loaded, as one sentence that blames what is to blame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import ModelError

NETWORK = (
    "huggingface_hub",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "requests",
    "urllib3",
)  # packages whose errors come from the hub or the way there


@contextmanager
def as_model_errors(source: str) -> Iterator[None]:
    """Raise what goes wrong with checkpoint `source` inside as a ModelError of one sentence. The cause stays attached."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError(
            f"The checkpoint {source} does not fit the GPU's memory; use --four-bit, a smaller checkpoint, or more GPUs."
        ) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError) as error:
        raise ModelError(_sentence(source, error)) from error


def _sentence(source: str, error: Exception) -> str:
    cause = " ".join(str(error).split())
    cause = (cause if len(cause) <= 200 else f"{cause[:199]}…").rstrip(".") or type(error).__name__
    if "no kernel image" in cause:
        return (
            f"The checkpoint {source} could not be loaded: this PyTorch has no kernels for this GPU ({cause}); "
            "install a build that supports it, or use --device cpu."
        )
    if isinstance(error, ImportError):
        cure = "use --attention sdpa or install flash-attn anew" if "flash" in cause else "install that package anew"
        return f"The checkpoint {source} could not be loaded, since a package cannot be imported ({cause}); {cure}."
    if came_from_network(error):
        return f"The checkpoint {source} could not be fetched from the Hugging Face hub; check its name and the network, or give a folder."
    from_system = isinstance(error, OSError) and error.errno is not None  # a full disk, a lack of rights
    if from_system or isinstance(error, RuntimeError) or not Path(source).is_dir():
        return f"The checkpoint {source} could not be loaded ({cause})."
    return f"The checkpoint in {source} cannot be read ({cause}); download it again or give another folder."


def came_from_network(error: BaseException | None) -> bool:
    """Whether an error, or one it was raised from, is the hub's or the network's."""
    while error is not None:
        if isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.partition(".")[0] in NETWORK:
            return True
        error = error.__cause__ or error.__context__
    return False
