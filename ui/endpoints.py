"""What programs may call: a comparison, a compression without an answer, and the list of methods. Typed and documented for them.

`register` is called while the page is built. Descriptions come from the docstrings and types here, also where an agent reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from omnizip.compressors import COMPRESSORS
from omnizip.compressors.base import Option
from omnizip.engine import ComparisonEngine
from omnizip.errors import OmniZipError
from omnizip.report.report import plain

from . import handlers, words
from .chat import arm_of

MOST_METHODS = 32  # of one call


def register(engine: ComparisonEngine, on_model: dict[str, Any]) -> None:
    """Add /compare, /compress and /methods to the page that is being built; the first two wait for the model like visitors do."""
    gr.api(_compare(engine), api_name="compare", **on_model)
    gr.api(_compress(engine), api_name="compress", **on_model)
    gr.api(methods, api_name="methods", queue=False)


def _compare(engine: ComparisonEngine) -> Callable[..., Any]:
    """The comparison for programs."""

    def compare(
        video: gr.FileData,
        question: str,
        method: str = "omnizip",
        retention: float = 0.45,
        rho_audio: float | None = None,
        rho_video: float | None = None,
        options: dict | None = None,
    ) -> Iterator[tuple[str, str, dict]]:
        """Answer a question about a clip twice, with the full model and with a compressed prompt; streams as it goes.

        Args:
            video: the clip.
            question: what to ask about it.
            method: name of the compression method.
            retention: share of the clip's audio and video tokens to keep, above 0 and up to 1.
            rho_audio: share of audio tokens to prune; given with rho_video it replaces retention.
            rho_video: share of video tokens to prune.
            options: other fields of the method, name to value.

        Returns:
            The full model's answer, the compressed one's, and the report, which is empty until both are done.
        """
        chosen, fields = _rates(retention, rho_audio, rho_video, options)
        try:
            path = _uploaded(video)
            for full, compressed, report in handlers.compare_plain(engine, path, question, method, chosen, fields):
                yield full, compressed, report or {}
        except OmniZipError as problem:
            raise gr.Error(str(problem), print_exception=False) from None

    return compare


def _compress(engine: ComparisonEngine) -> Callable[..., Any]:
    """Compression alone, for programs."""

    def compress(
        video: gr.FileData,
        methods: list[str] | None = None,
        retention: float = 0.45,
        rho_audio: float | None = None,
        rho_video: float | None = None,
        options: dict | None = None,
        question: str = "",
    ) -> dict:
        """Choose what to keep of a clip, with one method or several, without asking the model for an answer.

        Args:
            video: the clip.
            methods: names of compression methods, from /methods; OmniZip where none is given. All get the same share and options.
            retention: share of the clip's audio and video tokens to keep, above 0 and up to 1.
            rho_audio: share of audio tokens to prune; given with rho_video it replaces retention.
            rho_video: share of video tokens to prune.
            options: other fields of the methods, name to value.
            question: for methods whose choice depends on it; the others ignore it.

        Returns:
            The model, the clip, and per method: parameters, tokens kept of text, sound and picture, the shares measured, times in
            milliseconds, reasons, and a table with one row per two seconds.
        """
        chosen, fields = _rates(retention, rho_audio, rho_video, options)
        try:
            return compress_plain(engine, _uploaded(video), methods or ["omnizip"], chosen, fields, question)
        except OmniZipError as problem:
            raise gr.Error(str(problem), print_exception=False) from None

    return compress


def methods() -> list[dict]:
    """List the compression methods, with what can be set of each.

    Returns:
        Per method: name, label, summary, source, fidelity, whether it reads the question, what the answer and a further question
        can still see (later), and its options with kind, default, bounds or choices; options with is_rate set the share that
        is kept, and a retention replaces them.
    """
    return [
        {
            "name": name,
            "label": kind.label,
            "summary": kind.summary,
            "source": kind.source,
            "fidelity": kind.fidelity,
            "reads_question": kind.reads_question,
            "later": kind.later,
            "options": [_option(item) for item in kind.options()],
        }
        for name, kind in COMPRESSORS.items()
    ]


def _option(item: Option) -> dict[str, Any]:
    """A field of a method in plain values."""
    return {**dataclasses.asdict(item), "choices": list(item.choices), "kind": item.kind}


def compress_plain(
    engine: ComparisonEngine, path: str, names: list[str], retention: str | float, options: dict[str, Any], question: str = ""
) -> dict[str, Any]:
    """What every method would keep of a clip, in plain values; nothing is answered.

    Raises:
        OmniZipError: in one sentence.
    """
    if len(names) > MOST_METHODS:
        raise OmniZipError(words.METHODS_NUMBER.format(most=MOST_METHODS, given=len(names)))
    arms = [arm_of(name, retention, options) for name in names]
    for arm in arms:
        arm.method_class()  # all are looked at before any is run
    handle, clip, found = engine.open_clip(path), None, []
    for arm in arms:
        preview = engine.preview(handle, arm, question)
        clip, kept = preview.clip, preview.record
        found.append(
            {
                "method": preview.compressor.name,
                "label": preview.compressor.label,
                "parameters": preview.compressor.parameters,
                "retention_target": arm.retention,
                "clip_tokens": kept.clip_tokens,
                "timing": {
                    "encode_ms": preview.encoded.encode_ms,
                    "saliency_ms": preview.saliency_ms,
                    "compress_ms": preview.saliency_ms + preview.compress_ms,
                },
                **kept.to_json(),
            }
        )
    described = {} if clip is None else dataclasses.asdict(clip)
    return plain({"model": dataclasses.asdict(engine.conditions), "clip": described, "methods": found})


def _rates(retention: float, rho_audio: float | None, rho_video: float | None, options: dict | None) -> tuple[str | float, dict[str, Any]]:
    """A share to keep, or "custom" with the rates among the options."""
    rates = {name: value for name, value in (("rho_audio", rho_audio), ("rho_video", rho_video)) if value is not None}
    return (words.CUSTOM if rates else retention), {**(options or {}), **rates}


def _uploaded(video: Any) -> str:
    """The path of an upload. A program may name any path, so only files within the upload folder count."""
    path = Path(video["path"] if isinstance(video, dict) else video.path).resolve()
    if not path.is_relative_to(Path(gr.utils.get_upload_folder()).resolve()):
        raise OmniZipError(words.NOT_UPLOADED)
    return str(path)
