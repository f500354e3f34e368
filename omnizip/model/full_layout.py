"""Writes a checkpoint that holds the thinker alone, as the embedded model is, in the layout of a released Qwen2.5-Omni.

Engines that know the released checkpoints look for weights under `thinker.` and for the thinker's config inside another one. Only
names change: the weights are copied byte by byte, whatever their precision, and a talker that was never there is declared absent.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ..errors import ModelError
from .checkpoint import check_complete

PREFIX = "thinker."
WEIGHTS, CONFIG = "model.safetensors", "config.json"
INDEX = "model.safetensors.index.json"  # with it engines leave a selector's file, which lies beside, to those that know it
LENGTH_BYTES = 8  # of a safetensors file, which tell how long the header behind them is
BLOCK_BYTES = 16 << 20


def write_full_layout(source: Path, target: Path) -> Path:
    """Write the checkpoint in the folder `source` to the new folder `target`, in full layout; returns `target`.

    Raises:
        ModelError: `source` is no whole checkpoint of a thinker alone in one file of weights, or `target` has files already.
    """
    check_complete(source)
    config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    if config.get("model_type") != "qwen2_5_omni_thinker":
        raise ModelError(f"The checkpoint in {source} is no Qwen2.5-Omni thinker alone, so there is no layout to add to it.")
    if not (source / WEIGHTS).is_file():
        raise ModelError(f"The weights in {source} are not in one {WEIGHTS}; only such a checkpoint can be written in full layout.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{target} exists and is not an empty folder; give the name of a new one.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(source.iterdir()):
            if file.is_file() and file.name not in (WEIGHTS, CONFIG):
                shutil.copyfile(file, target / file.name)
        names = _copy_renamed(source / WEIGHTS, target / WEIGHTS)
        index = {"metadata": {"total_size": (target / WEIGHTS).stat().st_size}, "weight_map": dict.fromkeys(names, WEIGHTS)}
        (target / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        (target / CONFIG).write_text(json.dumps(_full_config(config), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{target} cannot be written ({error.strerror or error}); give another folder.") from error
    return target


def _full_config(thinker: dict) -> dict:
    return {
        "architectures": ["Qwen2_5OmniModel"],
        "model_type": "qwen2_5_omni",
        "dtype": thinker.get("dtype", "float32"),
        "enable_audio_output": False,
        "enable_talker": False,
        "thinker_config": thinker,
    }


def _copy_renamed(source: Path, target: Path) -> list[str]:
    """Copy a safetensors file with every tensor's name under PREFIX, and return those names.

    Offsets in its header count from the header's end, so they stay.
    """
    with source.open("rb") as read, target.open("wb") as written:
        header = json.loads(read.read(int.from_bytes(read.read(LENGTH_BYTES), "little")))
        renamed = {name if name == "__metadata__" else PREFIX + name.removeprefix(PREFIX): entry for name, entry in header.items()}
        text = json.dumps(renamed).encode()
        text += b" " * (-len(text) % LENGTH_BYTES)  # tensors begin aligned, as the format's own writer has them
        written.write(len(text).to_bytes(LENGTH_BYTES, "little") + text)
        shutil.copyfileobj(read, written, BLOCK_BYTES)
    return sorted(name for name in renamed if name != "__metadata__")
