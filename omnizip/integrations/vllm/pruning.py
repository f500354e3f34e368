"""What is asked of the plugin: a method, the share it keeps and its options; for the whole server, and for one request.

How many tokens are left is found by letting the method decide about a clip of the same sizes and random features: a method that
fits decides differently about every clip, and keeps equally many. Nothing here knows vLLM.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

from ...compressors import COMPRESSORS, Compressor
from ...compressors.base import check_retention
from ...errors import MethodError
from ...stream import TokenStream
from .clip_layout import ClipLayout

COUNTED = ("full", "omnizip", "glance", "omnisift", "random", "evs", "vidcom2", "dycoke")  # how much they keep follows from sizes
OBSERVED = frozenset({"saliency", "saliency_windowed"})  # what is looked at in the encoders for a method that needs it
METHOD, RETENTION, OPTIONS = "OMNIZIP_VLLM_METHOD", "OMNIZIP_VLLM_RETENTION", "OMNIZIP_VLLM_OPTIONS"
FIELDS = ("method", "retention", "options")
PROBED = (ClipLayout((3, 4, 5), 72, 1.0), ClipLayout((5, 3, 3), 0, 1.0), ClipLayout((1, 2, 2), 160, 2.0))  # what a start tries
PROBE_WIDTH = 8


@dataclass(frozen=True)
class Pruning:
    """A method that vLLM can serve, the share of a clip's tokens it keeps, and its options. Checked when it is made."""

    method: str
    retention: float = 0.35
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_method(self.method)
        check_retention(self.retention)
        known = {item.name for item in COMPRESSORS[self.method].options() if not item.is_rate}
        if not isinstance(self.options, Mapping) or set(self.options) - known:
            raise MethodError(f"{self.options!r} are not all options of {self.method}; give some of {', '.join(sorted(known)) or 'none'}.")
        for layout in PROBED:
            with _plain_tensors():
                needs = self.compressor(probe_of(layout, 0)).needs
            if needs - OBSERVED:
                raise MethodError(f"{self.method} with {dict(self.options)} needs {', '.join(needs - OBSERVED)}, which vLLM does not give.")
            if not counted(self, layout):
                raise MethodError(
                    f"{self.method} with {dict(self.options)} keeps more of one clip than of another, and vLLM must know how much "
                    "beforehand; leave out these options."
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Pruning | None:
        """What OMNIZIP_VLLM_METHOD, _RETENTION and _OPTIONS (a JSON object) ask for; None where no method is named.

        Raises:
            MethodError: it cannot be had, in one sentence.
        """
        asked: dict[str, Any] = {"method": environment.get(METHOD, "").strip()}
        if not asked["method"]:
            return None
        for name, variable in (("retention", RETENTION), ("options", OPTIONS)):
            if text := environment.get(variable, "").strip():
                try:
                    asked[name] = json.loads(text)
                except ValueError as error:
                    raise MethodError(f"{variable} is {text!r}, which is no JSON; give {_wanted(name)}.") from error
        return cls(**asked)

    @classmethod
    def from_json(cls, text: str) -> Pruning:
        """What `to_json` wrote."""
        return _read(text)

    def to_json(self) -> str:
        """All fields in one order, so that equal settings are equal text."""
        return json.dumps({name: getattr(self, name) for name in FIELDS}, sort_keys=True)

    def asked(self, request: Any) -> Pruning:
        """This, with what a request asks for in its place. Options belong to a method: another method comes without those of this one.

        Args:
            request: None, or an object with some of `method`, `retention` and `options`.

        Raises:
            MethodError: it cannot be had, in one sentence.
        """
        if request is None:
            return self
        if not isinstance(request, Mapping) or set(request) - set(FIELDS):
            raise MethodError(f"omnizip is {request!r}; give an object with some of {', '.join(FIELDS)}.")
        changed = {name: getattr(self, name) for name in FIELDS} | dict(request)
        if "options" not in request and changed["method"] != self.method:
            changed["options"] = {}
        return Pruning(**changed)

    @property
    def described(self) -> str:
        """What it does, for a log."""
        options = f" with {dict(self.options)}" if self.options else ""
        return "whole" if self.method == "full" else f"by {self.method} at {self.retention:.0%}{options}"

    def compressor(self, stream: TokenStream) -> Compressor:
        """The method, with the rates that keep the share of this stream."""
        return COMPRESSORS[self.method].at_retention(self.retention, stream, **self.options)

    def kept(self, layout: ClipLayout) -> int:
        """How many tokens are left of a clip of these sizes."""
        return _kept(self.to_json(), layout, 0)


def counted(pruning: Pruning, layout: ClipLayout) -> bool:
    """Whether two clips of the same sizes keep equally many tokens."""
    return len({_decided(pruning, layout, seed) for seed in (0, 1)}) == 1


def probe_of(layout: ClipLayout, seed: int) -> TokenStream:
    """A clip of these sizes whose features are random."""
    generator = torch.Generator().manual_seed(seed)
    embeds = torch.randn(layout.modality.numel(), PROBE_WIDTH, generator=generator)
    scores, mel = torch.rand(2, layout.n_audio, generator=generator), torch.rand(layout.n_audio, 4, generator=generator)
    return layout.stream(embeds, scores[0], scores[1], observers={"log_mel": lambda: (mel, 0.0)})


@lru_cache(maxsize=256)
def _kept(settings: str, layout: ClipLayout, seed: int) -> int:
    return _decided(Pruning.from_json(settings), layout, seed)


def _decided(pruning: Pruning, layout: ClipLayout, seed: int) -> int:
    with _plain_tensors():
        stream = probe_of(layout, seed)
        return int(pruning.compressor(stream).compress(stream).keep.sum())


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """New tensors are on the CPU, in float32. While vLLM loads a model they are on its device, in its precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)


@lru_cache(maxsize=64)
def _read(text: str) -> Pruning:
    return Pruning(**json.loads(text))


def _check_method(method: Any) -> None:
    if method in COUNTED:
        return
    cure = f"choose one of {', '.join(COUNTED)}"
    if not isinstance(method, str) or method not in COMPRESSORS:
        raise MethodError(f"There is no method {method!r}; {cure}.")
    raise MethodError(f"{method} cannot say beforehand how many tokens it keeps before the language model, as vLLM must know; {cure}.")


def _wanted(name: str) -> str:
    return "a share above 0 and up to 1, such as 0.35" if name == "retention" else 'an object such as {"merge_size": 5}'


@lru_cache(maxsize=1)
def server_pruning() -> Pruning:
    """What this process's environment asks for."""
    pruning = Pruning.from_environment(os.environ)
    if pruning is None:
        raise MethodError(f"{METHOD} is not set; name the method that clips are pruned by.")
    return pruning
