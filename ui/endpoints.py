"""What programs may call: a comparison, a compression without an answer, and the list of methods. Typed and documented for them.

`register` is called while the page is built. Descriptions come from the docstrings and types here, also where an agent reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import getLogger
from typing import Any
from uuid import uuid4

import gradio as gr

from omnizip.compressors import COMPRESSORS
from omnizip.compressors.base import Option
from omnizip.engine import ComparisonEngine
from omnizip.engine.out_of_memory import is_out_of_memory
from omnizip.errors import OmniZipError
from omnizip.media import AS_SET, Part
from omnizip.report.report import plain

from . import handlers, queueing, words
from .arguments import read_arguments
from .chat import arm_of
from .stops import Stops


def register(page: gr.Blocks, engine: ComparisonEngine, stops: Stops, on_model: dict[str, Any]) -> None:
    """Add /compare, /compress and /methods to the page that is being built; the first two wait for the model like visitors do."""
    gr.api(_compare(page, engine, stops), api_name="compare", **on_model)
    gr.api(_compress(page, engine, stops), api_name="compress", **on_model)
    gr.api(methods, api_name="methods", queue=False)


@contextmanager
def _wanted(page: gr.Blocks, stops: Stops, request: gr.Request) -> Iterator[Callable[[], bool]]:
    """Whether a call is to end: its client has left, or the server stops. What goes wrong inside becomes a gr.Error of one sentence."""
    with stops.run(uuid4().hex) as wish:  # a client may have several calls answered at the same time, none of which ends another
        try:
            yield lambda: wish.is_set() or queueing.has_left(page, request.session_hash or "")
        except OmniZipError as problem:
            raise gr.Error(words.SERVER_STOPS if stops.closing else str(problem), print_exception=False) from None
        except Exception as failure:
            if is_out_of_memory(failure):
                raise gr.Error(words.CALL_MEMORY, print_exception=False) from None
            getLogger(__name__).exception("a call failed")
            raise gr.Error(words.CALL_FAILED, print_exception=False) from None
        if stops.closing:
            raise gr.Error(words.SERVER_STOPS, print_exception=False)


def _compare(page: gr.Blocks, engine: ComparisonEngine, stops: Stops) -> Callable[..., Any]:
    """The comparison for programs."""

    def compare(
        request: gr.Request,
        video: gr.FileData,
        question: str,
        method: str = "omnizip",
        retention: float = 0.45,
        rho_audio: float | None = None,
        rho_video: float | None = None,
        options: dict | None = None,
        start: float | None = None,
        end: float | None = None,
        audio_track: str | None = None,
    ) -> Iterator[tuple[str, str, dict]]:
        """Answer a question about a clip twice, with the full model and with a compressed prompt; streams as it goes.

        Args:
            request: who calls; the server fills it in.
            video: the clip.
            question: what to ask about it.
            method: name of the compression method.
            retention: share of the clip's audio and video tokens to keep, above 0 and up to 1.
            rho_audio: share of audio tokens to prune; given with rho_video it replaces retention.
            rho_video: share of video tokens to prune.
            options: other fields of the method, name to value.
            start: second of the clip to begin at.
            end: second of the clip to end at; 0 for its own end.
            audio_track: number of the sound track to hear, counted from 1; main for the one a player would choose, none for silence.

        Returns:
            The full model's answer, the compressed one's, and the report, which is empty until both are done.
        """
        given = dict(locals())
        with _wanted(page, stops, request) as gone:
            asked = read_arguments(given, engine.settings)
            method, chosen, fields = asked.methods[0], asked.retention, asked.options
            runs = handlers.compare_plain(engine, asked.path, asked.question, method, chosen, fields, gone, asked.part)
            for full, compressed, report in runs:
                yield full, compressed, report or {}

    return compare


def _compress(page: gr.Blocks, engine: ComparisonEngine, stops: Stops) -> Callable[..., Any]:
    """Compression alone, for programs."""

    def compress(
        request: gr.Request,
        video: gr.FileData,
        methods: list[str] | None = None,
        retention: float = 0.45,
        rho_audio: float | None = None,
        rho_video: float | None = None,
        options: dict | None = None,
        question: str = "",
        start: float | None = None,
        end: float | None = None,
        audio_track: str | None = None,
    ) -> dict:
        """Choose what to keep of a clip, with one method or several, without asking the model for an answer.

        Args:
            request: who calls; the server fills it in.
            video: the clip.
            methods: names of compression methods, from /methods; OmniZip where none is given. All get the same share and options.
            retention: share of the clip's audio and video tokens to keep, above 0 and up to 1.
            rho_audio: share of audio tokens to prune; given with rho_video it replaces retention.
            rho_video: share of video tokens to prune.
            options: other fields of the methods, name to value.
            question: for methods whose choice depends on it; the others ignore it.
            start: second of the clip to begin at.
            end: second of the clip to end at; 0 for its own end.
            audio_track: number of the sound track to hear, counted from 1; main for the one a player would choose, none for silence.

        Returns:
            The model, the clip, and per method: parameters, tokens kept of text, sound and picture, the shares measured, times in
            milliseconds, reasons, and a table with one row per two seconds.
        """
        given = dict(locals())
        with _wanted(page, stops, request) as gone:
            asked = read_arguments(given, engine.settings)
            names = list(asked.methods)
            return compress_plain(engine, asked.path, names, asked.retention, asked.options, asked.question, gone, asked.part)

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
    engine: ComparisonEngine,
    path: str,
    names: list[str],
    retention: str | float,
    options: dict[str, Any],
    question: str = "",
    stop: Callable[[], bool] | None = None,
    part: Part = AS_SET,
) -> dict[str, Any]:
    """What every method would keep of a clip, in plain values; nothing is answered.

    Raises:
        OmniZipError: in one sentence.
    """
    arms = [arm_of(name, retention, options) for name in names]
    handle, clip, found = engine.open_clip(path, part), None, []
    for arm in arms:
        preview = engine.preview(handle, arm, question, stop=stop)
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
