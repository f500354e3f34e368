"""What `POST /v1/chat/completions` says, in OpenAI's form: an answer at once, an answer in pieces, or why there is none.

`usage` counts what was read: `prompt_tokens` is what the language model read, text included, and `clip_tokens` and `clip_tokens_read`
say how many tokens the clip has and how many of them were. What a method that drops tokens on the way read is an average over layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, OmniZipError
from ..report.report import Run, plain
from .chat_request import RequestError

FINISH = {"end of turn": "stop", "length": "length"}
BEGAN_ANEW = "Memory ran out while the answer was sent, and it began anew with other words; ask again."


@dataclass(frozen=True)
class ChatReply:
    """The frame that every part of one answer has."""

    number: str
    created: int  # seconds since 1970
    model: str

    def whole(self, run: Run) -> dict[str, Any]:
        """An answer at once."""
        message = {"role": "assistant", "content": run.answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[run.answer.finish]}
        return {**self._frame("chat.completion"), "choices": [choice], "usage": usage(run), "omnizip": compression(run)}

    def first(self) -> dict[str, Any]:
        """The beginning of an answer in pieces: who speaks."""
        return self._piece({"role": "assistant", "content": ""})

    def piece(self, text: str) -> dict[str, Any]:
        """What the answer goes on with."""
        return self._piece({"content": text})

    def last(self, run: Run, with_usage: bool) -> Iterator[dict[str, Any]]:
        """How it ended and, where that was asked for, what was read."""
        yield {**self._piece({}, FINISH[run.answer.finish]), "omnizip": compression(run)}
        if with_usage:
            yield {**self._frame("chat.completion.chunk"), "choices": [], "usage": usage(run)}

    def _piece(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._frame("chat.completion.chunk"), "choices": [choice]}

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self.number, "object": kind, "created": self.created, "model": self.model}


class Growth:
    """What is new of a text that is told whole each time. One that begins anew, as after memory ran out, has to say the same again."""

    def __init__(self) -> None:
        self._told = ""

    def of(self, text: str) -> str:
        """The part that was not told yet."""
        if not text.startswith(self._told):
            return ""
        new, self._told = text[len(self._told) :], text
        return new

    def end(self, text: str) -> str:
        """The rest of the whole text. Raises ModelError where it is not the one that was told."""
        if not text.startswith(self._told):
            raise ModelError(BEGAN_ANEW)
        return self.of(text)


def usage(run: Run) -> dict[str, Any]:
    """Tokens read and written, and of the clip: how many there are and how many were read."""
    read, written = run.tokens, len(run.answer.token_ids)
    clip_read = {"audio": read["audio"], "video": read["video"], "total": read["audio"] + read["video"]}
    return {
        "prompt_tokens": read["total"],
        "completion_tokens": written,
        "total_tokens": read["total"] + written,
        "prompt_tokens_details": {"cached_tokens": min(run.reused_tokens, read["total"]), "audio_tokens": read["audio"]},
        "clip_tokens": run.compression.clip_tokens,
        "clip_tokens_read": clip_read,
    }


def compression(run: Run) -> dict[str, Any]:
    """By which method the clip was read, and what that kept and took."""
    t = run.timing
    return plain(
        {
            "method": run.method,
            "parameters": run.parameters,
            "retention": run.retention_target,
            "retained": run.retained,
            "notes": list(run.compression.notes),
            "encode_ms": t.encode_ms,
            "compress_ms": t.compress_ms,
            "prefill_ms": t.prefill_ms,
            "ttft_ms": t.ttft_ms,
            "decode_ms": t.decode_ms,
        }
    )


def models(name: str | None, created: int) -> dict[str, Any]:
    """The list of models: the one that answers, or none while there is none."""
    return {"object": "list", "data": [] if name is None else [model(name, created)]}


def model(name: str, created: int) -> dict[str, Any]:
    """One model of that list."""
    return {"id": name, "object": "model", "created": created, "owned_by": "omnizip"}


def error(sentence: str, status: int, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Why there is no answer, in OpenAI's form."""
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    return {"error": {"message": sentence, "type": kind, "param": param, "code": code}}


def status_of(problem: OmniZipError) -> int:
    """The status of HTTP that a problem has: the sender's, unless the model cannot be had."""
    if isinstance(problem, RequestError):
        return problem.status
    return 503 if isinstance(problem, ModelError) else 400


def event(content: dict[str, Any] | str) -> bytes:
    """A server-sent event with that content, in ASCII: some readers take more signs for the end of a line than the form does."""
    return f"data: {content if isinstance(content, str) else json.dumps(content)}\n\n".encode()
