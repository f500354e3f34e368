"""Every limit and default in one place, with units: flags come first, then the environment, then the defaults here.

A field `max_clip_s` is the flag `--max-clip-s` and the variable `OMNIZIP_MAX_CLIP_S`.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import OmniZipError

SCOPES = {
    "model": "which model runs, where and how",
    "clip": "what is read of a file, and its limits",
    "part": "which part of a clip and which sound are read",
    "answer": "how an answer is written",
    "page": "what a server keeps and allows; no number depends on it",
}

HIGHEST_PORT = 65535
HIGHEST_TRACK = 1000


def setting(default: Any, help: str, *, scope: str, lowest: float | None = None, choices: tuple[str, ...] = ()) -> Any:
    """Declare a dataclass field: the sentence of its flag, one of SCOPES, and the values it takes."""
    return dataclasses.field(default=default, metadata={"help": help, "scope": scope, "lowest": lowest, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """What a run, a page or a server may do."""

    model: str = setting("", "hub id or folder of a Qwen2.5-Omni or Qwen3-Omni checkpoint; empty for the embedded model", scope="model")
    device: str = setting("auto", "where the model runs", scope="model", choices=("auto", "cuda", "cpu"))
    dtype: str = setting(
        "auto",
        "precision; auto is bfloat16 on CUDA and float32 on the CPU",
        scope="model",
        choices=("auto", "bfloat16", "float16", "float32"),
    )
    attention: str = setting(
        "auto",
        "attention backend; auto is flash-attn where importable, else SDPA",
        scope="model",
        choices=("auto", "sdpa", "eager", "flash_attention_2"),
    )
    four_bit: bool = setting(False, "load weights in 4 bits through bitsandbytes (CUDA only)", scope="model")

    fps: float = setting(2.0, "frames sampled per second of clip", scope="clip", lowest=0.01)
    tokens_per_step: int = setting(128, "video tokens per step of two frames, at most", scope="clip", lowest=4)
    max_frames: int = setting(128, "frames per clip, at most; a longer clip is sampled more sparsely, evenly", scope="clip", lowest=2)

    start: float = setting(0.0, "second of the clip to begin at", scope="part", lowest=0)
    end: float = setting(0.0, "second of the clip to end at; 0 for its own end", scope="part", lowest=0)
    audio_track: str = setting(
        "main",
        "sound to read: main is what a player would choose, a number another track, counted from 1; none reads the picture alone",
        scope="part",
    )

    max_new_tokens: int = setting(256, "tokens an answer may have", scope="answer", lowest=1)
    temperature: float = setting(0.0, "0 is greedy, the most likely token each time", scope="answer", lowest=0)
    top_p: float = setting(1.0, "share of probability that sampling draws from", scope="answer")
    seed: int = setting(0, "seed of sampling and of random methods", scope="answer", lowest=0)

    max_clip_s: float = setting(600.0, "longest clip accepted, seconds", scope="clip", lowest=0.001)
    max_file_mb: float = setting(512.0, "largest file accepted, megabytes", scope="clip", lowest=0.001)
    decode_pixels: int = setting(640 * 480, "pixels a decoded frame may have; larger ones are scaled down", scope="clip", lowest=1)
    decode_timeout_s: float = setting(180.0, "seconds the decoder may take for one file", scope="clip", lowest=0.001)
    decode_memory_mb: int = setting(4096, "memory the decoder may take, megabytes", scope="clip", lowest=1)
    clip_memory_mb: float = setting(
        2048.0,
        "memory that encoded clips may take between questions, megabytes; the one used last stays",
        scope="page",
        lowest=0.001,
    )
    prefix_memory_mb: float = setting(
        2048.0, "device memory kept for follow-up questions, megabytes; 0 reads the clip anew each time", scope="page", lowest=0
    )

    host: str = setting("127.0.0.1", "address the page listens on", scope="page")
    port: int = setting(7860, "port the page listens on", scope="page", lowest=0)
    examples: str = setting(
        "",
        "folder of clips to offer on the page, with an examples.json that names them; empty for those of the embedded model",
        scope="page",
    )
    queue_size: int = setting(16, "visitors that may wait for an answer", scope="page", lowest=1)
    upload_mb_per_hour: float = setting(4096.0, "megabytes one visitor (one address) may upload within an hour", scope="page", lowest=0.001)
    trusted_hops: int = setting(
        0,
        "proxies before the page that add the visitor's address to X-Forwarded-For; a Space has 1",
        scope="page",
        lowest=0,
    )
    request_kb: float = setting(1000.0, "kilobytes of a request that is no upload", scope="page", lowest=0.001)
    waiting_per_visitor: int = setting(6, "answers one visitor (one address) may wait for at once", scope="page", lowest=1)
    question_chars: int = setting(4000, "characters a question may have", scope="page", lowest=1)
    questions_per_chat: int = setting(32, "questions of one conversation", scope="page", lowest=1)
    open_pages: int = setting(
        200,
        "open pages whose conversation is remembered; of more, the one used longest ago begins anew",
        scope="page",
        lowest=1,
    )
    switch_model: str = setting(
        "auto",
        "who may exchange the model; auto is everybody where the page has a login or listens on this machine alone",
        scope="page",
        choices=("auto", "everybody", "nobody"),
    )
    keep_files_s: int = setting(3600, "seconds uploads and results are kept; they are deleted within twice that", scope="page", lowest=1)
    mcp: bool = setting(False, "offer the endpoints to agents over MCP too (needs requirements-mcp.txt)", scope="page")
    openai: bool = setting(False, "answer programs in OpenAI's form too, at /v1; OMNIZIP_API_KEY asks for a key", scope="page")
    openai_mb: float = setting(32.0, "megabytes of a request in OpenAI's form, which brings its clip along", scope="page", lowest=0.001)
    fetch_clips: bool = setting(
        False, "fetch a clip that a request in OpenAI's form names by its http(s) address; from private networks never", scope="page"
    )
    fetch_timeout_s: float = setting(60.0, "seconds such a clip may take to come", scope="page", lowest=0.001)
    replicas: int = setting(
        0,
        "copies of the model that answer, each on a GPU or a share of the CPU (needs requirements-ray.txt); 0 is one, without Ray",
        scope="page",
        lowest=0,
    )
    replicas_most: int = setting(0, "copies there may be while many visitors wait; 0 for as many as replicas", scope="page", lowest=0)
    ray: str = setting(
        "",
        "address of a Ray cluster that this machine is a node of, or auto; empty to start Ray here where replicas are asked for",
        scope="page",
    )
    shared_folder: str = setting(
        "", "folder that all machines of the cluster see, where clips are laid for the copies; empty to send them", scope="page"
    )
    replica_silence_s: float = setting(
        300.0, "seconds without a sign after which a copy that works counts as hung and is replaced", scope="page", lowest=0.001
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise OmniZipError(f"{field.name} is {value}; give a finite number.")
            lowest = field.metadata["lowest"]
            if lowest is not None and value < lowest:
                raise OmniZipError(f"{field.name} is {value}; it must be at least {lowest}.")
        if self.port > HIGHEST_PORT:
            raise OmniZipError(f"port is {self.port}; it must be at most {HIGHEST_PORT}.")
        if self.end and self.end <= self.start:
            raise OmniZipError(f"end is {self.end:g} s, not behind start, {self.start:g} s; give a later end, or 0 for the clip's own.")
        if self.audio_track not in ("main", "none") and not _is_track(self.audio_track):
            raise OmniZipError(f"audio_track is {self.audio_track!r}; give the number of a sound track, counted from 1, main or none.")
        if self.replicas_most and self.replicas > self.replicas_most:
            raise OmniZipError(f"replicas is {self.replicas}, more than replicas_most, {self.replicas_most}; raise that, or leave it out.")
        if not 0 < self.top_p <= 1:
            raise OmniZipError(f"top_p is {self.top_p}; it must lie above 0 and up to 1.")
        for field in dataclasses.fields(self):
            choices = field.metadata["choices"]
            if choices and getattr(self, field.name) not in choices:
                raise OmniZipError(f"{field.name} is {getattr(self, field.name)!r}; choose one of {', '.join(choices)}.")

    @property
    def chooses_part(self) -> bool:
        """Whether less than a whole file is read, or another sound than a player would choose."""
        return bool(self.start or self.end or self.audio_track != "main")

    @classmethod
    def names(cls, *scopes: str) -> tuple[str, ...]:
        """The settings of these scopes, in the order in which they are declared."""
        return tuple(field.name for field in dataclasses.fields(cls) if field.metadata["scope"] in scopes)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Defaults, overridden by OMNIZIP_* variables. Raises OmniZipError for a value that does not parse."""
        values = {}
        for field in dataclasses.fields(cls):
            variable = f"OMNIZIP_{field.name.upper()}"
            if environ.get(variable):
                values[field.name] = _parse(variable, environ[variable], type(field.default))
        return cls(**values)

    def override(self, arguments: argparse.Namespace) -> Settings:
        """These settings with the flags that were given on the command line."""
        given = {f.name: getattr(arguments, f.name, None) for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **{name: value for name, value in given.items() if value is not None})

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser, names: tuple[str, ...] | None = None) -> None:
        """Give `parser` one flag per setting (all, or those named); a flag not given leaves None."""
        for field in dataclasses.fields(cls):
            if names is not None and field.name not in names:
                continue
            flag = f"--{field.name.replace('_', '-')}"
            text = f"{field.metadata['help']} (default: {field.default if field.default != '' else 'embedded'})"
            if isinstance(field.default, bool):
                parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
            else:
                parser.add_argument(flag, type=type(field.default), choices=field.metadata["choices"] or None, default=None, help=text)


def _is_track(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= HIGHEST_TRACK and len(text) <= 4


def _parse(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
        if text.lower() in words:
            return words[text.lower()]
        raise OmniZipError(f"{name} is {text!r}; give true or false.")
    try:
        return kind(text)
    except ValueError:
        raise OmniZipError(f"{name} is {text!r}; give {'a whole number' if kind is int else 'a number'}.") from None
