"""What libraries raise while a checkpoint is loaded, as one sentence that blames what is to blame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import OfflineModeIsEnabled

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
    except Exception as error:
        if not came_from_network(error):
            raise
        raise ModelError(_sentence(source, error)) from error  # httpx's errors are of no family of Python's own


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
        return f"The checkpoint {source} could not be fetched from the Hugging Face hub{_hubs_reason(error)}"
    from_system = isinstance(error, OSError) and error.errno is not None  # a full disk, a lack of rights
    if from_system or isinstance(error, RuntimeError) or not Path(source).is_dir():
        return f"The checkpoint {source} could not be loaded ({cause})."
    return f"The checkpoint in {source} cannot be read ({cause}); download it again or give another folder."


def _hubs_reason(error: Exception) -> str:
    """Why the hub did not give a checkpoint, and the cure; the cache is known to lack it."""
    kinds, status = {type(link).__name__ for link in chain(error)}, status_of(error)
    if is_offline(error):
        return ", since HF_HUB_OFFLINE is set, and the cache does not have it; unset HF_HUB_OFFLINE, or give a folder."
    if "GatedRepoError" in kinds:
        return ", since it is given to registered users alone; ask for access on its page there and log in with `hf auth login`."
    if "RepositoryNotFoundError" in kinds:
        return ", which has none of that name or keeps it private; check the name, log in with `hf auth login`, or give a folder."
    if status in (401, 403):
        return f", which refuses this machine's token (error {status}); log in with `hf auth login`, or give a folder."
    if status is not None:
        return f", which answers with error {status}; try again later, or give a folder."
    return ", which cannot be reached, and the cache does not have it; check the network, or give a folder."


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def status_of(error: BaseException) -> int | None:
    """The status a server answered with, where that is what went wrong."""
    statuses = (getattr(getattr(link, "response", None), "status_code", None) for link in chain(error))
    return next((status for status in statuses if status is not None), None)


def is_offline(error: BaseException) -> bool:
    """Whether the hub was not asked because the environment forbids it."""
    return any(isinstance(link, OfflineModeIsEnabled) for link in chain(error))


def came_from_network(error: BaseException | None) -> bool:
    """Whether an error, or one it was raised from, is the hub's or the network's."""
    return any(
        isinstance(link, (ConnectionError, TimeoutError)) or type(link).__module__.partition(".")[0] in NETWORK for link in chain(error)
    )
