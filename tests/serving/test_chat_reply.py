"""What a reply says of a run: checked with the run itself, and with OpenAI's own types where those are strict."""

import json
from dataclasses import replace

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from reports import make_report

from omnizip.errors import MediaError, ModelError
from omnizip.serving import chat_reply
from omnizip.serving.chat_request import RequestError

REPLY = chat_reply.ChatReply("chatcmpl-1", 1_700_000_000, "omnizip-nano")
RUN = make_report().runs[1]


def test_an_answer_is_of_openais_type_and_counts_what_was_read():
    told = json.loads(json.dumps(REPLY.whole(RUN), allow_nan=False))
    done = ChatCompletion.model_validate(told, strict=False)
    assert done.choices[0].message.content == RUN.answer.text and done.choices[0].finish_reason == "stop"
    read = RUN.tokens
    assert read["total"] == read["text"] + read["audio"] + read["video"] == done.usage.prompt_tokens
    assert done.usage.completion_tokens == 3 and done.usage.total_tokens == read["total"] + 3
    assert done.usage.prompt_tokens_details.audio_tokens == read["audio"]
    assert told["usage"]["clip_tokens"] == RUN.compression.clip_tokens
    assert told["usage"]["clip_tokens_read"] == {"audio": read["audio"], "video": read["video"], "total": read["audio"] + read["video"]}
    assert told["usage"]["clip_tokens_read"]["total"] < told["usage"]["clip_tokens"]["total"]
    assert told["omnizip"]["method"] == "omnizip" and told["omnizip"]["parameters"]["rho_video"] == 0.6


def test_what_was_read_before_is_told_and_never_more_than_was_read():
    assert chat_reply.usage(replace(RUN, reused_tokens=5))["prompt_tokens_details"]["cached_tokens"] == 5
    assert chat_reply.usage(replace(RUN, reused_tokens=10**6))["prompt_tokens_details"]["cached_tokens"] == RUN.tokens["total"]


@pytest.mark.parametrize("with_usage", [False, True])
def test_pieces_are_of_openais_type(with_usage):
    told = [REPLY.first(), REPLY.piece("A dog"), REPLY.piece(" barks."), *REPLY.last(RUN, with_usage)]
    chunks = [ChatCompletionChunk.model_validate(json.loads(json.dumps(piece, allow_nan=False))) for piece in told]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "A dog barks."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices] == [None, None, None, "stop"]
    assert [bool(chunk.usage) for chunk in chunks] == [False] * 4 + [True] * with_usage


def test_an_answer_that_reached_its_length_says_so():
    cut = replace(RUN, answer=replace(RUN.answer, finish="length"))
    assert REPLY.whole(cut)["choices"][0]["finish_reason"] == "length"
    assert next(REPLY.last(cut, False))["choices"][0]["finish_reason"] == "length"


def test_only_what_is_new_of_a_text_is_told():
    growth = chat_reply.Growth()
    assert [growth.of(text) for text in ("A", "A dog", "A dog", "A dog barks")] == ["A", " dog", "", " barks"]
    assert growth.end("A dog barks.") == "."


def test_a_text_that_begins_anew_is_told_once_and_one_that_changed_is_owned_up_to():
    growth = chat_reply.Growth()
    assert "".join(growth.of(text) for text in ("A", "A dog", "A", "A dog", "A dog barks")) == "A dog barks"
    growth = chat_reply.Growth()
    assert [growth.of(text) for text in ("A dog", "A", "A cat")] == ["A dog", "", ""]
    with pytest.raises(ModelError, match="began anew"):
        growth.end("A cat")


@pytest.mark.parametrize(
    ("problem", "status", "kind"),
    [
        (RequestError("No."), 400, "invalid_request_error"),
        (RequestError("No.", 404, "model_not_found", "model"), 404, "invalid_request_error"),
        (RequestError("No.", 429), 429, "rate_limit_error"),
        (MediaError("No."), 400, "invalid_request_error"),
        (ModelError("No."), 503, "server_error"),
    ],
)
def test_a_problem_has_the_status_of_whoever_can_cure_it(problem, status, kind):
    assert chat_reply.status_of(problem) == status
    assert chat_reply.error(str(problem), status)["error"] == {"message": "No.", "type": kind, "param": None, "code": None}


def test_an_event_is_one_line_whatever_is_in_it():
    told = chat_reply.event({"text": "one\ntwo\r\n\u2028three"})
    assert told.startswith(b"data: ") and told.endswith(b"\n\n") and len(told.decode().splitlines()) == 2
    assert json.loads(told[6:]) == {"text": "one\ntwo\r\n\u2028three"}
