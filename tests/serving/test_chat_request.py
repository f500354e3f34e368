"""What a request in OpenAI's form may ask: what is taken, and one sentence with a place for everything else."""

import base64
import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnizip.engine import Arm
from omnizip.media import Part
from omnizip.serving.chat_request import ChatRequest, MediaPart, RequestError
from omnizip.settings import Settings
from omnizip.types import Sampling, Turn

MODEL = "omnizip-nano"
SETTINGS = Settings(max_new_tokens=64, question_chars=100, questions_per_chat=3, seed=7)
FILE = b"the bytes of a clip"
IN_BASE64 = base64.b64encode(FILE).decode()
CLIP = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{IN_BASE64}"}}
SOUND = {"type": "input_audio", "input_audio": {"data": IN_BASE64, "format": "wav"}}
ASK = {"type": "text", "text": "What rings?"}
BODY = {"model": MODEL, "messages": [{"role": "user", "content": [CLIP, ASK]}]}


def read(settings=SETTINGS, **changes):
    return ChatRequest.of({**copy.deepcopy(BODY), **changes}, MODEL, settings)


def messages(*contents, clip=CLIP):
    """A conversation of these texts, about a clip."""
    told = [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]
    told[0]["content"] = [clip, {"type": "text", "text": told[0]["content"]}]
    return told


def refused(settings=SETTINGS, **changes):
    with pytest.raises(RequestError) as caught:
        read(settings, **changes)
    sentence = str(caught.value)
    assert sentence.endswith(".") and len(sentence) < 400 and "\n" not in sentence
    return caught.value


def test_the_least_that_can_be_asked():
    asked = read()
    assert asked.clip == MediaPart("messages[0].content[0]", "video/mp4", FILE) and asked.sound is None
    assert (asked.question, asked.history) == ("What rings?", ())
    assert asked.arm == Arm("omnizip", 0.45) and asked.sampling == Sampling(64, 0.0, 1.0, 7)
    assert not asked.stream and not asked.with_usage


def test_everything_that_can_be_asked():
    asked = read(
        messages=messages("What rings?", "A bell.", "And then?"),
        stream=True,
        stream_options={"include_usage": True},
        max_tokens=5,
        temperature=0.7,
        top_p=0.9,
        seed=3,
        method="random",
        retention=0.3,
        options={"seed": 4},
        start=1,
        end=2.5,
        audio_track=2,
        user="ada",
        n=1,
        frequency_penalty=0.0,
        response_format={"type": "text"},
        tools=None,
    )
    assert asked.history == (Turn("What rings?", "A bell."),) and asked.question == "And then?"
    assert asked.stream and asked.with_usage
    assert asked.sampling == Sampling(5, 0.7, 0.9, 3) and asked.arm == Arm("random", 0.3, {"seed": 4})
    assert asked.part == Part(1.0, 2.5, "2")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"data:video/webm;base64,{IN_BASE64}", "video/webm"),
        (f"data:;base64,{IN_BASE64}", ""),
        (f'data:video/mp4;codecs="avc1.42E01E";base64,{IN_BASE64}', "video/mp4"),
        (f"data:video/x-matroska;base64,{IN_BASE64}", "video/x-matroska"),
    ],
)
def test_a_data_url_holds_the_file(url, kind):
    asked = read(messages=messages("?", clip={"type": "video_url", "video_url": {"url": url}}))
    assert (asked.clip.kind, asked.clip.content) == (kind, FILE)


def test_texts_of_one_question_belong_together_wherever_the_clip_stands():
    asked = read(messages=[{"role": "user", "content": [ASK, CLIP, {"type": "text", "text": "And when?"}]}])
    assert asked.question == "What rings?\nAnd when?" and asked.clip.param == "messages[0].content[1]"


def test_a_sound_may_stand_beside_the_clip():
    asked = read(messages=[{"role": "user", "content": [CLIP, SOUND, ASK]}])
    assert asked.sound == MediaPart("messages[0].content[1]", "wav", FILE)


def test_an_address_is_taken_only_where_that_was_set():
    named = messages("?", clip={"type": "video_url", "video_url": {"url": "HTTPS://example.org/a.mp4"}})
    assert read(Settings(fetch_clips=True), messages=named).clip.address == "HTTPS://example.org/a.mp4"
    assert "nothing is fetched here" in str(refused(messages=named))


@pytest.mark.parametrize(
    ("extra", "arm"),
    [
        ({"method": "full"}, Arm("full")),
        ({"method": "full", "retention": 0.3}, Arm("full")),
        ({"retention": 1}, Arm("omnizip", 1)),
        ({"options": {"rho_audio": 0.5}}, Arm("omnizip", None, {"rho_audio": 0.5})),
        ({"options": {"temporal": "fold"}}, Arm("omnizip", 0.45, {"temporal": "fold"})),
    ],
)
def test_the_method_reads_a_share_or_by_its_own_rates(extra, arm):
    assert read(**extra).arm == arm


@pytest.mark.parametrize(
    ("changes", "param", "words"),
    [
        ({"model": None}, "model", "model is missing"),
        ({"model": "gpt-4o"}, "model", "no model 'gpt-4o'"),
        ({"colour": "red"}, "colour", "no field 'colour'"),
        ({"n": 2}, "n", "n is not supported"),
        ({"n": True}, "n", "n is not supported"),
        ({"stop": ["."]}, "stop", "stop is not supported"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"stream": 1}, "stream", "true or false"),
        ({"stream_options": []}, "stream_options", "an object"),
        ({"max_tokens": 0}, "max_tokens", "1 to 64"),
        ({"max_tokens": 65}, "max_tokens", "1 to 64"),
        ({"max_tokens": 2.5}, "max_tokens", "whole"),
        ({"max_tokens": "5"}, "max_tokens", "a number"),
        ({"max_completion_tokens": 1000}, "max_completion_tokens", "1 to 64"),
        ({"temperature": -0.1}, "temperature", "from 0 to 2"),
        ({"temperature": math.nan}, "temperature", "a number"),
        ({"temperature": True}, "temperature", "a number"),
        ({"top_p": 0}, "top_p", "above 0"),
        ({"top_p": math.inf}, "top_p", "a number"),
        ({"seed": -1}, "seed", "whole number from 0"),
        ({"seed": 2**63}, "seed", "whole number from 0"),
        ({"seed": 10**400}, "seed", "a number"),
        ({"method": "magic"}, "method", "magic"),
        ({"method": 3}, "method", "the name of a method"),
        ({"retention": 0}, "retention", "share above 0"),
        ({"retention": 1.5}, "retention", "share above 0"),
        ({"retention": "45 %"}, "retention", "a number"),
        ({"retention": 0.4, "options": {"rho_audio": 0.3}}, "retention", "both say how much"),
        ({"options": {"speed": 11}}, "options", "speed"),
        ({"options": {"rho_audio": "half"}}, "options", "rho_audio is 'half'; give a number"),
        ({"method": "random", "options": {"retention": 2}}, "options", "retention is 2"),
        ({"options": []}, "options", "an object"),
        ({"start": -1}, "start", "at least 0"),
        ({"start": 3, "end": 2}, "end", "not behind start"),
        ({"start": "1:30"}, "start", "a number"),
        ({"audio_track": 0}, "audio_track", "counted from 1"),
        ({"audio_track": ["main"]}, "audio_track", "main or none"),
        ({"audio_track": "loud"}, "audio_track", "main or none"),
        ({"messages": []}, "messages", "empty or no list"),
        ({"messages": {}}, "messages", "empty or no list"),
        ({"messages": ["hello"]}, "messages[0].role", "role"),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "messages[0].role", "a system prompt of its own"),
        ({"messages": [{"role": "tool", "content": "3"}]}, "messages[0].role", "only user and assistant"),
        ({"messages": [{"role": "user", "content": "What?"}]}, "messages[0].content", "There is no clip"),
        ({"messages": [{"role": "user", "content": [SOUND, ASK]}]}, "messages[0].content", "sound but no clip"),
        ({"messages": [{"role": "user", "content": [CLIP]}]}, "messages[0].content", "asks nothing"),
        ({"messages": [{"role": "user", "content": [CLIP, CLIP, ASK]}]}, "messages[0].content[1]", "2 parts with a clip"),
        ({"messages": [{"role": "user", "content": [CLIP, SOUND, SOUND, ASK]}]}, "messages[0].content[2]", "2 parts with a sound"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "a text or a list"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content[0]", "image_url"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages[0].content[0]", "has no video_url"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0]", "has no text"),
        ({"messages": messages("?", "A bell.")}, "messages[1]", "ends with an answer"),
        ({"messages": messages("?", "a", "?", "a", "?", "a", "?")}, "messages", "4 questions"),
        ({"messages": messages("x" * 101)}, "messages[0].content", "101 characters"),
        ({"messages": messages("?", "x" * 1025, "?")}, "messages[1].content", "1025 characters"),
        ({"messages": messages("?", [CLIP], "?")}, "messages[1].content[0]", "give text"),
        ({"messages": [*messages("?", "a"), {"role": "user", "content": [CLIP, ASK]}]}, "messages[2].content[0]", "first question"),
        ({"messages": [*messages("?"), {"role": "user", "content": "?"}]}, "messages[1]", "its answer"),
    ],
)
def test_what_cannot_be_answered_is_named(changes, param, words):
    with pytest.raises(RequestError, match=words) as caught:
        read(**changes)
    assert refused(**changes).status == (404 if changes.get("model") else 400)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "no data URL"),
        ("/etc/passwd", "no data URL"),
        ("ftp://example.org/a.mp4", "no data URL"),
        ("data:video/mp4,plain", "in base64"),
        ("data:video/mp4;base64", "in base64"),
        ("data:video/mp4;base64,", "holds no bytes"),
        ("data:video/mp4;base64,AAA", "not base64"),
        ("data:video/mp4;base64,AA AA", "not base64"),
        ("data:video/mp4;base64,äöü=", "not base64"),
        (None, "has no url"),
    ],
)
def test_what_is_no_clip_is_named_with_its_place(url, words):
    problem = refused(messages=messages("?", clip={"type": "video_url", "video_url": {"url": url}}))
    assert words in str(problem) and problem.param == "messages[0].content[0]"


@pytest.mark.parametrize("change", [{"format": "flac"}, {"data": None}, {"data": "!"}, {"format": ["wav"]}])
def test_what_is_no_sound_is_named_with_its_place(change):
    sound = {"type": "input_audio", "input_audio": {**SOUND["input_audio"], **change}}
    assert refused(messages=[{"role": "user", "content": [CLIP, sound, ASK]}]).param == "messages[0].content[1]"


def test_a_file_has_so_many_bytes_and_no_more():
    for size, most in ((1000, 0.001), (1001, 0.002)):
        url = f"data:video/mp4;base64,{base64.b64encode(bytes(size)).decode()}"
        sent = messages("?", clip={"type": "video_url", "video_url": {"url": url}})
        assert read(Settings(max_file_mb=most), messages=sent).clip.content == bytes(size)
    assert refused(Settings(max_file_mb=0.001), messages=sent).status == 413


def test_an_answer_of_this_server_can_be_sent_back():
    answer = "abcd efgh ijkl mn" * 16  # more than a question may have
    assert read(Settings(question_chars=10, max_new_tokens=64), messages=messages("?", answer, "?")).history[0].answer == answer


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*BODY, "role", "content", "type", "text", "url"]), inner),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["messages", "method", "options", "retention", "seed", "n", "stream_options", "stop", "start", "audio_track"]),
    value=JSON,
)
def test_nothing_that_json_can_say_is_anything_but_taken_or_refused(name, value):
    try:
        read(**{name: value})
    except RequestError as problem:
        assert problem.status in (400, 404, 413) and str(problem)
