"""OmniSIFT's audio selector: a small cross-attention that scores audio by the video tokens kept beside it.

Source: "OmniSIFT", ICML 2026, arXiv 2602.04804, section 3.2 (vision-guided audio selector, VGAS). Parameter names are those of
the released checkpoint after the prefix `thinker.compressor.`. Departure: the training-time straight-through factor, about 1
and not exactly 1 in bfloat16, is left out; it only matters for gradients.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from ..errors import ModelError

PREFIX = "thinker.compressor."
OWN_FILE = "selector.safetensors"  # a selector trained for a checkpoint stands beside it, its tensors named as the released ones
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class AudioSelector(nn.Module):
    """s = sigmoid(head(LN(attention(audio -> kept video) + audio))), one score per audio token."""

    def __init__(self, width: int, hidden: int = 512, num_heads: int = 8) -> None:
        super().__init__()
        self.v_proj = nn.Linear(width, hidden)
        self.a_proj = nn.Linear(width, hidden)
        self.v_norm = nn.LayerNorm(hidden)
        self.a_norm = nn.LayerNorm(hidden)
        self.cross_attn = nn.MultiheadAttention(hidden, num_heads, batch_first=True)
        self.post_attn_norm = nn.LayerNorm(hidden)
        self.score_head = nn.Sequential(nn.Linear(hidden, hidden // 2), nn.SiLU(), nn.Linear(hidden // 2, 1))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor], num_heads: int = 8) -> Self:
        """Build from released tensors, with or without their prefix; sizes are read off their shapes.

        Args:
            state: names to tensors; tensors of other parts of the model are ignored.
            num_heads: attention heads; not stored in a checkpoint, 8 in the released one.

        Raises:
            ModelError: tensors are missing, or the heads do not divide the hidden size.
        """
        own = {name.removeprefix(PREFIX): torch.as_tensor(value) for name, value in state.items()}
        if "a_proj.weight" not in own:
            raise ModelError(f"This checkpoint holds no audio selector; its tensors are named {PREFIX}*, as in OmniSIFT-7B.")
        hidden, width = own["a_proj.weight"].shape
        if hidden % num_heads:
            raise ModelError(f"{num_heads} heads do not divide the selector's hidden size {hidden}; give the number it was trained with.")
        selector = cls(width, hidden, num_heads)
        wanted = selector.state_dict()
        missing = sorted(wanted.keys() - own.keys())
        if missing:
            raise ModelError(f"The audio selector lacks {', '.join(missing)}; download the checkpoint again.")
        selector.load_state_dict({name: own[name].float() for name in wanted})
        return selector.eval().requires_grad_(False)

    @classmethod
    def from_checkpoint(cls, folder: Path | str, num_heads: int = 8) -> Self | None:
        """The selector in a checkpoint's folder, reading its tensors alone; None where the folder has none.

        Of 16 GB of a released checkpoint these are some 20 MB: an index says which files hold them, each file's header where.

        Raises:
            ModelError: tensors or the files that hold them are missing or damaged.
        """
        folder = Path(folder)
        state: dict[str, Tensor] = {}
        for file in _files(folder):
            try:
                state |= _read(file)
            except (OSError, ValueError, KeyError) as error:
                raise ModelError(f"The audio selector in {file} cannot be read ({error}); download the checkpoint again.") from error
        return cls.from_state_dict(state, num_heads) if state else None

    def forward(self, audio: Tensor, video: Tensor, no_video: Tensor) -> Tensor:
        """(N, P) scores in (0, 1) for N chunks.

        Args:
            audio: (N, P, width) audio tokens, padded; video: (N, Q, width) kept video tokens, padded.
            no_video: (N, Q) bool, True at padding; every row has at least one False.
        """
        a = self.a_norm(self.a_proj(audio))
        v = self.v_norm(self.v_proj(video))
        attended, _ = self.cross_attn(a, v, v, key_padding_mask=no_video, need_weights=False)
        return self.score_head(self.post_attn_norm(attended + a)).squeeze(-1).sigmoid()


def _files(folder: Path) -> list[Path]:
    """The safetensors files of a folder that may hold a selector."""
    if (folder / OWN_FILE).is_file():
        return [folder / OWN_FILE]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        where = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {})
        return sorted({folder / file for name, file in where.items() if name.startswith(PREFIX)})
    return [file for file in [folder / "model.safetensors"] if file.is_file()]


def _read(file: Path) -> dict[str, Tensor]:
    """The selector's tensors in a safetensors file: eight bytes of length, a header in JSON, then the bytes it points into."""
    found = {}
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if length > file.stat().st_size:
            raise ValueError("its header is damaged")
        for name, entry in json.loads(opened.read(length)).items():
            if name.startswith(PREFIX):
                start, end = entry["data_offsets"]
                opened.seek(8 + length + start)
                data = bytearray(opened.read(end - start))
                found[name] = torch.frombuffer(data, dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return found
