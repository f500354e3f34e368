"""What a program asks by `POST /v1/chat/completions`: checked, and turned into a clip, a question, earlier turns and a method.

The form is OpenAI's (https://platform.openai.com/docs/api-reference/chat), with `video_url` parts as vLLM takes them. Beyond it there
are `method`, `retention` and `options`, and `start`, `end` and `audio_track` of the clip. What this server cannot do is refused by name
and never passed over in silence, save where the value that was sent asks for nothing.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine import Arm
from ..errors import OmniZipError
from ..media.part import AS_SET, Part
from ..settings import Settings
from ..types import Sampling, Turn

METHOD, RETENTION = "omnizip", 0.45  # as the page and the command line begin
HOTTEST = 2.0  # temperature, OpenAI's limit
LARGEST_SEED = 2**63 - 1
LARGEST = 1e300  # of any number: beyond lie infinity and integers that no float holds
CHARS_PER_TOKEN = 16  # no answer of this server has more on average, so each can be sent back as a turn
MEGABYTE = 1e6
SOUND_FORMATS = ("wav", "mp3")
SHOWN_CHARS = 80
# What other servers do and this one does not, with the values that ask for nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "stop": ([],),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "modalities": (["text"],),
    "store": (False,),
}
UNREAD = ("user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key")  # notes of the client's that change no answer
TAKEN = (
    *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed"),
    *("method", "retention", "options", "start", "end", "audio_track"),
)
DATA_URL = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII)


class RequestError(OmniZipError):
    """A request that cannot be answered as it stands."""

    def __init__(self, sentence: str, status: int = 400, code: str | None = None, param: str | None = None) -> None:
        """
        Args:
            status: of HTTP.
            code: OpenAI's word for it, where there is one.
            param: the field that is to blame, as `messages[0].content[1]`.
        """
        super().__init__(sentence)
        self.status, self.code, self.param = status, code, param


@dataclass(frozen=True)
class MediaPart:
    """A file that came within the request, or the address of one."""

    param: str  # where it stands in the request
    kind: str  # media type or format as the sender names it, "" where it does not; the content decides
    content: bytes = b""
    address: str = ""


@dataclass(frozen=True)
class ChatRequest:
    """One question about one clip."""

    clip: MediaPart
    sound: MediaPart | None  # heard in place of the clip's own
    question: str
    history: tuple[Turn, ...]
    arm: Arm
    sampling: Sampling
    stream: bool
    with_usage: bool  # a last piece of the stream says what was read
    part: Part = AS_SET  # of the clip, and its sound

    @classmethod
    def of(cls, body: Any, model: str, settings: Settings) -> ChatRequest:
        """The request in a body of JSON. Raises RequestError in one sentence.

        Args:
            model: the only one that answers here.
            settings: limits, and what holds where the request says nothing.
        """
        if not isinstance(body, dict):
            raise RequestError("The body is not a JSON object; send one with model and messages.")
        _refuse_unknown(body)
        _check_model(body.get("model"), model)
        clip, sound, turns = _conversation(body.get("messages"), settings)
        *history, last = turns
        stream = _bool(body, "stream")
        extras = _kind(body, "stream_options", dict, "an object", {})
        return cls(
            clip,
            sound,
            last.question,
            tuple(history),
            _arm(body),
            _sampling(body, settings),
            stream,
            stream and _bool(extras, "include_usage"),
            _part(body, settings),
        )


# ---- the fields


def _refuse_unknown(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if name in TAKEN or name in UNREAD or value is None:
            continue
        if name not in NEUTRAL:
            text = name[:SHOWN_CHARS].encode(errors="backslashreplace").decode()  # JSON can name half a character, a reply cannot
            raise RequestError(f"There is no field {_shown(name)}; leave it away.", param=text)
        if not any(value == none and isinstance(value, bool) == isinstance(none, bool) for none in NEUTRAL[name]):
            raise RequestError(f"{name} is not supported here, other than {_shown(NEUTRAL[name][-1])}; leave it away.", param=name)


def _check_model(asked: Any, model: str) -> None:
    if not isinstance(asked, str):
        raise RequestError(f"model is missing; the one that answers here is {model}.", param="model")
    if asked != model:
        raise RequestError(f"There is no model {_shown(asked)} here; the one that answers is {model}.", 404, "model_not_found", "model")


def _arm(body: Mapping[str, Any]) -> Arm:
    """The method, at a share or with the rates among its options."""
    method = _kind(body, "method", str, "the name of a method", METHOD)
    options = dict(_kind(body, "options", dict, "an object of names with values", {}))
    retention = _number(body, "retention", None)
    try:
        kind = Arm(method, None, options).method_class()
        rates = [item.name for item in kind.options() if item.is_rate and item.name in options]
        if rates and retention is not None:
            raise RequestError(f"retention and {rates[0]} both say how much is kept; give one of them.", param="retention")
        if kind.name == "full":
            retention = None  # it has no share to keep
        elif retention is None and not rates:
            retention = RETENTION
        arm = Arm(method, retention, options)
        arm.method_class()
    except RequestError:
        raise
    except OmniZipError as problem:
        blame = {"There is no method": "method", "The retention is": "retention"}
        param = next((field for begins, field in blame.items() if str(problem).startswith(begins)), "options")
        raise RequestError(str(problem), param=param) from None
    except (TypeError, ValueError) as problem:  # an option of another kind, which JSON brings
        sentence = f"An option of {method} is of the wrong kind; give each a value as /methods lists them."
        raise RequestError(sentence, param="options") from problem
    return arm


def _part(body: Mapping[str, Any], settings: Settings) -> Part:
    """What is read of the clip. A track may come as a number, too."""
    start, end, track = _number(body, "start", None), _number(body, "end", None), body.get("audio_track")
    if isinstance(track, int) and not isinstance(track, bool):
        track = str(track) if 0 <= track < LARGEST else ""
    part = Part(*(None if at is None else float(at) for at in (start, end)), track)
    try:
        if track is not None and not isinstance(track, str):
            raise RequestError(f"audio_track is {_shown(track)}; give the number of a sound track, main or none.", param="audio_track")
        part.of(settings)
    except RequestError:
        raise
    except OmniZipError as problem:
        raise RequestError(str(problem), param=str(problem).split(" ", 1)[0]) from None
    return part


def _sampling(body: Mapping[str, Any], settings: Settings) -> Sampling:
    named = [name for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    length = _whole(body, named[0], settings.max_new_tokens) if named else settings.max_new_tokens
    if not 1 <= length <= settings.max_new_tokens:
        raise RequestError(f"{named[0]} is {length}; an answer here has 1 to {settings.max_new_tokens} tokens.", param=named[0])
    temperature, top_p = _number(body, "temperature", settings.temperature), _number(body, "top_p", settings.top_p)
    if not 0 <= temperature <= HOTTEST:
        raise RequestError(f"temperature is {temperature:g}; give one from 0 to {HOTTEST:g}.", param="temperature")
    if not 0 < top_p <= 1:
        raise RequestError(f"top_p is {top_p:g}; it must lie above 0 and up to 1.", param="top_p")
    seed = _whole(body, "seed", settings.seed)
    if not 0 <= seed <= LARGEST_SEED:
        raise RequestError(f"seed is {seed}; give a whole number from 0 to {LARGEST_SEED}.", param="seed")
    return Sampling(length, float(temperature), float(top_p), seed)


def _kind(body: Mapping[str, Any], name: str, kind: type, wanted: str, default: Any) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise RequestError(f"{name} is {_shown(value)}; give {wanted}.", param=name)
    return value


def _bool(body: Mapping[str, Any], name: str) -> bool:
    return _kind(body, name, bool, "true or false", False)


def _number(body: Mapping[str, Any], name: str, default: Any) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
        raise RequestError(f"{name} is {_shown(value)}; give a number.", param=name)
    return value


def _whole(body: Mapping[str, Any], name: str, default: int) -> int:
    value = _number(body, name, default)
    if value != int(value):
        raise RequestError(f"{name} is {_shown(value)}; give a whole number.", param=name)
    return int(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"


# ---- the messages


@dataclass(frozen=True)
class _Message:
    """One message, its parts apart."""

    role: str
    text: str
    clips: tuple[MediaPart, ...]
    sounds: tuple[MediaPart, ...]


def _conversation(messages: Any, settings: Settings) -> tuple[MediaPart, MediaPart | None, list[Turn]]:
    """The clip, the sound that was given for it, and the turns, the last of which is open."""
    if not isinstance(messages, list) or not messages:
        raise RequestError("messages is empty or no list; send the conversation, a question about a clip at least.", param="messages")
    if (questions := (len(messages) + 1) // 2) > settings.questions_per_chat:
        raise RequestError(
            f"This conversation has {questions} questions; at most {settings.questions_per_chat} are read: begin a new one.",
            param="messages",
        )
    read = [_message(message, f"messages[{i}]", settings) for i, message in enumerate(messages)]
    for i, message in enumerate(read):
        if message.role != ("user", "assistant")[i % 2]:
            raise RequestError(
                "After each question comes its answer, after each answer a question; begin with the user.", param=f"messages[{i}]"
            )
        for part in (*message.clips, *message.sounds) if i else ():
            raise RequestError(
                "The clip belongs to the first question, and its sound with it; later ones are about the same.", param=part.param
            )
    if read[-1].role != "user":
        raise RequestError("The conversation ends with an answer; end it with a question.", param=f"messages[{len(read) - 1}]")
    first = read[0]
    if not first.clips:
        sentence = "There is sound but no clip; " if first.sounds else "There is no clip; "
        raise RequestError(f"{sentence}give one as a part of the first message, of type video_url.", param="messages[0].content")
    for many, name in ((first.clips, "clip"), (first.sounds, "sound")):
        if len(many) > 1:
            raise RequestError(f"There are {len(many)} parts with a {name}; a conversation is about one.", param=many[1].param)
    turns = [Turn(ask.text, answer.text) for ask, answer in zip(read[:-1:2], read[1::2], strict=True)]
    return first.clips[0], next(iter(first.sounds), None), [*turns, Turn(read[-1].text)]


def _message(message: Any, param: str, settings: Settings) -> _Message:
    role = message.get("role") if isinstance(message, dict) else None
    if role not in ("user", "assistant"):
        told = "the model has a system prompt of its own" if role in ("system", "developer") else "only user and assistant speak"
        raise RequestError(f"The role of {param} is {_shown(role)}; {told}, so leave such a message away.", param=f"{param}.role")
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise RequestError(f"{param}.content is {_shown(content)}; give a text or a list of parts.", param=f"{param}.content")
    texts: list[str] = []
    found: dict[str, list[MediaPart]] = {"video_url": [], "input_audio": []}
    for kind, value, where in _parts(content, f"{param}.content", role):
        if kind == "text":
            texts.append(value)
        else:
            found[kind].append(_video(value, where, settings) if kind == "video_url" else _sound(value, where, settings))
    text = "\n".join(texts).strip()
    most = settings.question_chars if role == "user" else max(settings.question_chars, CHARS_PER_TOKEN * settings.max_new_tokens)
    if len(text) > most:
        raise RequestError(
            f"{param} has {len(text)} characters; at most {most} are read.", 400, "string_above_max_length", f"{param}.content"
        )
    if role == "user" and not text:
        raise RequestError(f"{param} asks nothing; add a part of type text with a question about the clip.", param=f"{param}.content")
    return _Message(role, text, tuple(found["video_url"]), tuple(found["input_audio"]))


def _parts(content: Sequence[Any], param: str, role: str) -> Iterator[tuple[str, Any, str]]:
    """Kind, value and place of each part."""
    for i, part in enumerate(content):
        where = f"{param}[{i}]"
        kind = part.get("type") if isinstance(part, dict) else None
        taken = ("text", "video_url", "input_audio") if role == "user" else ("text",)
        if kind not in taken:
            raise RequestError(f"{where} is of type {_shown(kind)}; give {' or '.join(taken)}.", param=where)
        value = part.get(kind)
        wanted = str if kind == "text" else dict
        if not isinstance(value, wanted):
            raise RequestError(f"{where} has no {kind}; give {'a text' if wanted is str else 'an object'} of that name.", param=where)
        yield kind, value, where


def _video(value: Mapping[str, Any], where: str, settings: Settings) -> MediaPart:
    address = value.get("url")
    if not isinstance(address, str):
        raise RequestError(f"{where} has no url; give a data URL.", param=where)
    scheme = address[:16].partition(":")[0].lower()
    if scheme in ("http", "https"):
        if not settings.fetch_clips:
            raise RequestError("The clip is an address, and nothing is fetched here; send it as a data URL.", param=where)
        return MediaPart(where, "", address=address)
    if scheme != "data":
        raise RequestError(f"{where} is no data URL{' and no http(s) address' * settings.fetch_clips}; send the clip as one.", param=where)
    head = DATA_URL.match(address[:200])
    if head is None:
        raise RequestError(f"{where} is no data URL in base64; write data:video/mp4;base64, and then the file.", param=where)
    return MediaPart(where, head["kind"] or "", _decoded(memoryview(address.encode("ascii", "replace"))[head.end() :], where, settings))


def _sound(value: Mapping[str, Any], where: str, settings: Settings) -> MediaPart:
    data, kind = value.get("data"), value.get("format")
    if not isinstance(data, str) or kind not in SOUND_FORMATS:
        raise RequestError(f"{where} needs data in base64, and as format one of {', '.join(SOUND_FORMATS)}.", param=where)
    return MediaPart(where, kind, _decoded(memoryview(data.encode("ascii", "replace")), where, settings))


def _decoded(text: memoryview, where: str, settings: Settings) -> bytes:
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        raise RequestError(f"{where} is damaged: what it holds is not base64; encode the file anew.", param=where) from None
    if not content:
        raise RequestError(f"{where} holds no bytes; send the file itself.", param=where)
    if len(content) > settings.max_file_mb * MEGABYTE:
        raise RequestError(f"{where} has more than the {settings.max_file_mb:g} MB a file may have; send a smaller one.", 413, param=where)
    return content
