"""What a checkpoint's folder holds, looked at before any weight is read: whether its files are there and whole, and of which family it is.

What is wrong is a ModelError of one sentence that names the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ModelError
from . import download
from .families import NAMES, family_of
from .family import Family

PARTS = ("audio_config", "vision_config", "text_config")  # of a thinker's config
BESIDE = (("preprocessor_config.json", "processor_config.json"), ("tokenizer.json", "vocab.json"))  # each of them, under one of its names
CONFIGS = ("config.json", "preprocessor_config.json", "tokenizer_config.json")


def check_complete(folder: Path) -> None:
    """Raise ModelError unless the config and every file of weights are there in full length."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"The folder {folder} has no config.json; give the folder of a downloaded {NAMES} checkpoint.")
    for name in CONFIGS:
        if (folder / name).is_file() and not _read(folder / name):
            raise ModelError(f"{folder / name} is empty; download the checkpoint again.")
    names = download.weight_files([path.name for path in folder.iterdir()], folder)
    if not names:
        raise ModelError(f"The folder {folder} has no weights ({download.WEIGHTS[0]}); finish the download or give another folder.")
    for name in names:
        if not (folder / name).is_file() or not _is_whole(folder / name):
            raise ModelError(f"The checkpoint in {folder} is not complete: {name} is missing or cut short; finish the download.")


def _is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says; other formats are taken as they are."""
    if file.suffix != ".safetensors":
        return True
    size = file.stat().st_size
    with file.open("rb") as opened:
        header = int.from_bytes(opened.read(8), "little")
        if size < 8 or header > size - 8:
            return False
        try:
            tensors = json.loads(opened.read(header))
            ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
            return size == 8 + header + max(ends, default=0)
        except (ValueError, AttributeError, KeyError, IndexError, TypeError, RecursionError):
            return False  # the header is not what it should be


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ModelError(f"{file} is not readable as JSON; download the checkpoint again.") from None
    if not isinstance(found, dict):
        raise ModelError(f"{file} holds no names with values, as it should; download the checkpoint again.")
    return found


def optional_json(file: Path) -> dict[str, Any] | None:
    """A JSON file of the checkpoint, if it has one."""
    return _read(file) if file.is_file() else None


def checked_family(source: str, config: dict[str, Any]) -> Family:
    """The family of a checkpoint. Raises ModelError for one that is of none, or whose config leaves the thinker's sizes out.

    What a config leaves out is taken to be as in the released models, of which the weights would then be made in memory.
    """
    try:
        family = family_of(config)
    except ModelError as error:
        raise ModelError(f"{source} holds {error}") from None
    whole, _ = family.model_types
    thinker = config.get("thinker_config") if config["model_type"] == whole else config
    lacking = [part for part in PARTS if not isinstance(thinker, dict) or not isinstance(thinker.get(part), dict)]
    if lacking:
        name = lacking[0] if isinstance(thinker, dict) else "thinker_config"
        raise ModelError(f"The config.json of {source} has no {name}, which tells the model's sizes; download it again.")
    return family


def check_beside(source: str, folder: Path) -> None:
    """Raise ModelError unless what reads sound and text is beside the weights: transformers' own words name none of the files."""
    for name, *others in BESIDE:
        if not any((folder / file).is_file() for file in (name, *others)):
            raise ModelError(f"The checkpoint {source} has no {name}; download it again, with all of its small files.")
