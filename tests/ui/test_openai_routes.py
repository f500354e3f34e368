"""The page's server in OpenAI's form, driven by OpenAI's own client and by clients nobody wrote."""

import base64
import json
import re
import threading
import time
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import httpx
import openai
import pytest
from clips import beeps, make_clip, text

from omnizip import media
from omnizip.engine import Arm, ClipHandle, Engine, Piece
from omnizip.errors import OmniZipError
from omnizip.serving.remote_clip import RemoteClips
from omnizip.settings import Settings
from omnizip.types import Conditions, Sampling, Turn
from ui import openai_door, openai_routes, words
from ui.access import PASSWORD, USER
from ui.gate import COMPLETIONS, Door
from ui.model_host import HostState, ModelHost
from ui.openai_routes import model_id
from ui.page import build_page, launch_options
from ui.stops import Stops

pytestmark = pytest.mark.slow
MODEL = "omnizip-nano"
AS_JSON = {"Content-Type": "application/json"}
QUESTION = "Describe the clip."
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "assets" / "examples" / "bell.mp4"


def launched(engine, settings, stops=None, door=None):
    page = build_page(engine, stops)
    page.launch(**{**launch_options(settings, door), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    return page


@pytest.fixture(scope="module")
def engine():
    return Engine.open(Settings(max_new_tokens=12, port=0, openai=True))


@pytest.fixture(scope="module")
def page(engine):
    page = launched(engine, engine.settings)
    yield page
    page.close()


@pytest.fixture(scope="module")
def client(page):
    return openai.OpenAI(base_url=f"{page.local_url}v1", api_key="none", max_retries=0, timeout=120)


def data_url(path, kind="video/mp4"):
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def about(path, question=QUESTION, *more):
    video = {"type": "video_url", "video_url": {"url": data_url(path)}}
    return [{"role": "user", "content": [video, {"type": "text", "text": question}, *more]}]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=4)


def alone(engine, path, arm=None, question=QUESTION, **named):
    *_, last = engine.answer(path, question, arm or Arm("omnizip", 0.45), **named)
    return last.report.runs[0]


def test_the_model_that_answers_is_listed(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4o")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("extra", "arm"),
    [
        ({}, Arm("omnizip", 0.45)),
        ({"method": "random", "retention": 0.3, "options": {"seed": 5}}, Arm("random", 0.3, {"seed": 5})),
        ({"method": "full"}, Arm("full")),
        ({"options": {"rho_audio": 0.5, "rho_video": 0.7}}, Arm("omnizip", None, {"rho_audio": 0.5, "rho_video": 0.7})),
        ({"method": "glance", "retention": 0.25}, Arm("glance", 0.25)),
    ],
    ids=["as it comes", "random", "full", "rates", "glance"],
)
def test_an_answer_is_the_engines_own_with_what_was_read(client, engine, clip, extra, arm):
    done = client.chat.completions.create(model=MODEL, messages=about(clip), extra_body=extra)
    run = alone(engine, clip, arm)
    (choice,) = done.choices
    assert (choice.message.role, choice.message.content) == ("assistant", run.answer.text)
    assert choice.finish_reason == {"end of turn": "stop", "length": "length"}[run.answer.finish]
    usage = done.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (run.tokens["total"], len(run.answer.token_ids))
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.clip_tokens == run.compression.clip_tokens
    assert usage.clip_tokens_read["total"] == run.tokens["audio"] + run.tokens["video"]
    assert done.omnizip["method"] == arm.method and done.omnizip["retained"]["total"] == pytest.approx(run.retained["total"])
    assert done.model == MODEL and done.id.startswith("chatcmpl-")


def test_what_the_documentation_tells_to_type_works(page, clip, monkeypatch):
    told = (ROOT / "docs" / "api.md").read_text()
    (block,) = [code for code in re.findall(r"^```python\n(.*?)^```$", told, re.MULTILINE | re.DOTALL) if "openai" in code]
    monkeypatch.chdir(clip.parent)
    named = {}
    exec(compile(block.replace("http://127.0.0.1:7860/", page.local_url), "api.md", "exec"), named)
    assert named["done"].choices[0].message.content
    assert named["done"].usage.clip_tokens_read["total"] == pytest.approx(0.35 * named["done"].usage.clip_tokens["total"], abs=1)


def test_a_stream_comes_in_pieces_and_makes_the_same_answer(client, clip):
    whole = client.chat.completions.create(model=MODEL, messages=about(clip))
    chunks = list(client.chat.completions.create(model=MODEL, messages=about(clip), stream=True, stream_options={"include_usage": True}))
    *pieces, last = chunks
    texts = [piece.choices[0].delta.content or "" for piece in pieces]
    assert "".join(texts) == whole.choices[0].message.content and sum(map(bool, texts)) > 1
    assert pieces[0].choices[0].delta.role == "assistant"
    assert [piece.choices[0].finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.choices == [] and last.usage.clip_tokens_read == whole.usage.clip_tokens_read
    assert len({chunk.id for chunk in chunks}) == 1
    without = list(client.chat.completions.create(model=MODEL, messages=about(clip), stream=True))
    assert all(chunk.usage is None for chunk in without) and len(without) == len(chunks) - 1


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
def test_pieces_are_sent_as_they_are_written(page, engine, clip, encoding, monkeypatch):
    """The model writes on only when the first word has arrived."""
    arrived, real = threading.Event(), engine.model.decode

    def waiting(prefilled, sampling, stop=None):
        for i, token in enumerate(real(prefilled, sampling, stop)):
            assert i < 3 or arrived.wait(60), "no piece has come"
            yield token

    monkeypatch.setattr(engine.model, "decode", waiting)
    body = {"model": MODEL, "messages": about(clip), "stream": True}
    with httpx.stream("POST", f"{page.local_url}v1/chat/completions", json=body, headers={"Accept-Encoding": encoding}, timeout=60) as told:
        assert told.headers["content-type"].startswith("text/event-stream")
        lines = []
        for line in told.iter_lines():
            lines.append(line)
            if '"content": "' in line and '"content": ""' not in line:
                arrived.set()
    assert lines[-2] == "data: [DONE]"


def test_a_conversation_goes_on_from_what_was_read(client, engine, clip):
    first = client.chat.completions.create(model=MODEL, messages=about(clip)).choices[0].message.content
    messages = [*about(clip), {"role": "assistant", "content": first}, {"role": "user", "content": "And what comes then?"}]
    done = client.chat.completions.create(model=MODEL, messages=messages)
    anew = Engine(engine.model, engine.settings)
    run = alone(anew, clip, question="And what comes then?", history=(Turn(QUESTION, first),))
    assert done.choices[0].message.content == run.answer.text
    assert done.usage.prompt_tokens == run.tokens["total"] > done.usage.prompt_tokens_details.cached_tokens > 0


def test_a_clip_that_was_sent_before_is_not_read_again(client, engine, tmp_path, monkeypatch):
    path = make_clip(tmp_path / "new.mp4", seconds=2)
    encoded, real = [], engine.model.encode

    def counted(*given):
        encoded.append(given)
        return real(*given)

    monkeypatch.setattr(engine.model, "encode", counted)
    for question in (QUESTION, "What rings?", QUESTION):
        client.chat.completions.create(model=MODEL, messages=about(path, question), max_tokens=1)
    assert len(encoded) == 1


def test_sampling_is_the_requests(client, engine, clip):
    for seed in (1, 2):
        done = client.chat.completions.create(model=MODEL, messages=about(clip), temperature=1.5, top_p=0.9, seed=seed, max_tokens=5)
        assert done.choices[0].message.content == alone(engine, clip, sampling=Sampling(5, 1.5, 0.9, seed)).answer.text
        assert done.usage.completion_tokens <= 5


def sound_part(path, seconds=4.0):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes((beeps(seconds, (1.0, 2.0)) * 32767).astype("<i2").tobytes())
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(path.read_bytes()).decode(), "format": "wav"}}


def test_a_sound_beside_the_clip_is_heard_in_place_of_its_own(client, engine, tmp_path):
    mute = make_clip(tmp_path / "mute.mp4", seconds=4, sound=None)
    part = sound_part(tmp_path / "sound.wav")
    media.join_sound(mute, tmp_path / "sound.wav", tmp_path / "joined.mkv")
    run = alone(engine, tmp_path / "joined.mkv")
    done = client.chat.completions.create(model=MODEL, messages=about(mute, QUESTION, part))
    assert done.choices[0].message.content == run.answer.text
    assert done.usage.clip_tokens == run.compression.clip_tokens and done.usage.clip_tokens["audio"] == 100
    silent = client.chat.completions.create(model=MODEL, messages=about(mute))
    assert silent.usage.clip_tokens["audio"] == 0


def test_the_embedded_model_answers_right(client):
    """The bell of this example rings for a purple shape."""
    done = client.chat.completions.create(model=MODEL, messages=about(EXAMPLE, "What colour is the shape when the bell rings?"))
    assert done.choices[0].message.content == "purple"


def test_files_are_gone_when_the_answer_is_there(client, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client.chat.completions.create(model=MODEL, messages=about(clip), max_tokens=1)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model=MODEL, messages=about(text(Path(clip).parent)), max_tokens=1)
    deadline = time.monotonic() + 20
    while list(tmp_path.glob("asked-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.glob("asked-*")) == []


def test_a_sound_that_cannot_be_read_is_one_sentence(client, clip):
    sound = {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"no sound").decode(), "format": "wav"}}
    with pytest.raises(openai.BadRequestError, match="The sound that was given for clip.mp4 cannot be read"):
        client.chat.completions.create(model=MODEL, messages=about(clip, QUESTION, sound))


@pytest.mark.parametrize("place", ["field", "model", "question", "answer"])
def test_half_a_character_is_refused_in_one_sentence(page, clip, place):
    half = "\ud800"
    said = {"role": "assistant", "content": half if place == "answer" else "A bell."}
    turns = [*about(clip), said, {"role": "user", "content": half if place == "question" else "And when?"}]
    body = {"model": half if place == "model" else MODEL, "messages": turns, **({half: 1} if place == "field" else {})}
    reply = httpx.post(f"{page.local_url}v1/chat/completions", content=json.dumps(body), headers=AS_JSON, timeout=120)
    assert reply.status_code == (404 if place == "model" else 400)
    told = reply.json()["error"]["message"]
    assert told.endswith(".") and ("no text" in told or "\\ud800" in told)


@pytest.mark.parametrize("method", ["random", "omnizip", "glance"])
def test_every_seed_that_is_taken_draws(client, clip, method):
    done = [
        client.chat.completions.create(
            model=MODEL, messages=about(clip), seed=seed, temperature=1.5, extra_body={"method": method, "retention": 0.3}
        )
        for seed in (2**63 - 1, 2**63 - 1)
    ]
    assert done[0].choices[0].message.content == done[1].choices[0].message.content


@pytest.mark.parametrize("kind", [None, "text/plain", "text/plain; application/json", "application/x-www-form-urlencoded"])
def test_a_page_of_another_site_cannot_have_the_model_work(page, engine, clip, kind, monkeypatch):
    monkeypatch.setattr(engine, "answer", lambda *_, **__: pytest.fail("it worked"))
    headers = {"Origin": "https://elsewhere.example", **({"Content-Type": kind} if kind else {})}  # what browsers send without asking
    body = json.dumps({"model": MODEL, "messages": about(clip)}).encode()
    got = httpx.post(f"{page.local_url}v1/chat/completions", content=body, headers=headers, timeout=60)
    assert got.status_code == 415 and "Content-Type: application/json" in got.json()["error"]["message"]
    asked = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    assert "access-control-allow-origin" not in httpx.options(f"{page.local_url}v1/chat/completions", headers=asked).headers


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_that_cannot_be_read_is_one_sentence_with_a_status(client, tmp_path, stream):
    with pytest.raises(openai.BadRequestError, match="clip.mp4 is not a video") as caught:
        client.chat.completions.create(model=MODEL, messages=about(text(tmp_path)), stream=stream)
    assert str(tmp_path) not in str(caught.value.body) and caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"no json", 400, words.NOT_JSON),
        (b"[" * 100_000, 400, words.REQUEST_DEEP),
        (b"[]", 400, "not a JSON object"),
        (
            json.dumps({"model": "gpt-4o", "messages": []}).encode(),
            404,
            "There is no model 'gpt-4o' here; the one that answers is omnizip-nano.",
        ),
    ],
    ids=["no json", "deep", "a list", "another model"],
)
def test_what_is_wrong_is_told_in_openais_form(page, body, status, sentence):
    got = httpx.post(f"{page.local_url}v1/chat/completions", content=body, headers=AS_JSON, timeout=60)
    assert got.status_code == status, got.text
    error = got.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and sentence in error["message"]


def test_what_the_server_refuses_on_the_way_is_in_that_form_too(page, clip):
    for method, path, status in (("GET", "v1/chat/completions", 404), ("POST", "v1/embeddings", 404), ("GET", "v1/files", 404)):
        got = httpx.request(method, page.local_url + path)
        assert got.status_code == status and got.json()["error"]["message"] == words.NO_SUCH_ROUTE
    assert httpx.get(f"{page.local_url}gradio_api/runs").json() == {"detail": words.NO_SUCH_ROUTE}, "what is not of it stays as it was"


def test_nothing_is_fetched_unless_that_was_set(client):
    part = {"type": "video_url", "video_url": {"url": "http://127.0.0.1:1/clip.mp4"}}
    with pytest.raises(openai.BadRequestError, match="nothing is fetched here"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [part, {"type": "text", "text": "?"}]}])


def test_no_client_can_call_the_event_itself(page):
    listed = httpx.get(f"{page.local_url}gradio_api/info").json()["named_endpoints"]
    assert set(listed) == {"/compare", "/compress", "/methods"}
    event = page.openai_turns._event
    body = {"data": ["any"], "fn_index": event, "session_hash": "s"}
    httpx.post(f"{page.local_url}gradio_api/queue/join", json=body)
    with httpx.stream("GET", f"{page.local_url}gradio_api/queue/data?session_hash=s", timeout=60) as told:
        ended = next(m for m in (json.loads(x[5:]) for x in told.iter_lines() if x.startswith("data:")) if m["msg"] == "process_completed")
    assert ended["output"].get("data") in (None, [False]), "there was no such call"


def test_the_routes_are_not_there_unless_they_were_asked_for(engine):
    page = launched(engine.__class__(engine.model, Settings(port=0)), Settings(port=0))
    try:
        for path in ("v1/models", "v1/chat/completions"):
            assert httpx.get(page.local_url + path).json() == {"detail": words.NO_SUCH_ROUTE}
    finally:
        page.close()


# ---- a model that is never done


class NeverDone(ModelHost):
    """Says one word and no more until it is stopped."""

    def __init__(self, **settings):
        super().__init__(Settings(port=0, openai=True, **settings))
        self.began, self.ended, self.speaks, self.failure = 0, 0, True, None
        conditions = Conditions("OmniZip nano", True, 1, "cpu", "float32", "sdpa", 1, "2", "5", "Linux")
        self._state = HostState("", conditions)

    @property
    def conditions(self):
        return self._state.conditions

    def open_clip(self, path, part=None):
        return ClipHandle(Path(path), None)

    def answer(self, clip, question, arm, *, history, sampling, stop):
        if self.failure:
            raise self.failure
        self.began += 1
        try:
            if self.speaks:
                yield Piece(0, "Well")
            while not stop():
                time.sleep(0.02)
        finally:
            self.ended += 1


@pytest.fixture
def never(request):
    host, stops, door = NeverDone(**getattr(request, "param", {})), Stops(), Door()
    page = launched(host, host.settings, stops, door)
    host.page, host.stops, host.door = page, stops, door
    host.client = openai.OpenAI(base_url=f"{page.local_url}v1", api_key="none", max_retries=0, timeout=60)
    yield host
    stops.close(5)
    page.close()


def soon(what, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def in_thread(work):
    results = []

    def run():
        try:
            results.append(work())
        except Exception as failure:
            results.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.results = results
    return thread


def ask(host, clip, **more):
    return host.client.chat.completions.create(model=MODEL, messages=about(clip), **more)


def test_who_leaves_frees_the_model_while_it_answers(never, clip):
    stream = ask(never, clip, stream=True)
    assert [next(iter(stream)).choices[0].delta.role, never.ended] == ["assistant", 0]
    stream.close()
    soon(lambda: never.ended == 1)
    soon(lambda: not never.page.openai_turns._calls)


def test_who_leaves_before_a_word_frees_the_model_and_the_queue(never, clip):
    never.speaks = False
    impatient = never.client.with_options(timeout=2)
    with pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model=MODEL, messages=about(clip))
    soon(lambda: never.began == never.ended == 1)
    never.speaks = True
    running = ask(never, clip, stream=True)
    with pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model=MODEL, messages=about(clip))
    soon(lambda: len(never.page._queue) == 0)
    assert never.began == 2, "who left the queue is not answered"
    running.close()


def test_a_stream_that_waits_long_is_kept_up_and_leaves_the_queue_with_its_client(never, clip, monkeypatch):
    monkeypatch.setattr(openai_routes, "PATIENT_S", 0.0)
    running = ask(never, clip, stream=True)
    soon(lambda: never.began == 1)
    body = {"model": MODEL, "messages": about(clip), "stream": True}
    with httpx.stream("POST", f"{never.page.local_url}v1/chat/completions", json=body, timeout=60) as told:
        lines = told.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": waiting"
        soon(lambda: len(never.page._queue) == 1)
    soon(lambda: len(never.page._queue) == 0)
    soon(lambda: len(never.page.openai_turns._calls) == 1)
    assert never.began == 1 and never.ended == 0, "the one that is answered goes on"
    running.close()
    soon(lambda: never.ended == 1)


@pytest.mark.parametrize("name", ["openai", "answer_program", "None"])
def test_nobody_drops_a_programs_call_by_listening_to_its_session(never, clip, name):
    running = ask(never, clip, stream=True)
    soon(lambda: never.began == 1)
    waiting = in_thread(lambda: ask(never, clip))
    soon(lambda: len(never.page._queue) == 1)
    with httpx.stream("GET", f"{never.page.local_url}gradio_api/queue/data?session_hash={name}", timeout=60) as told:
        next(told.iter_lines())
    running.close()
    soon(lambda: never.began == 2)  # the one that waited has its turn
    never.stops.close(5)
    waiting.join(30)


@pytest.mark.parametrize("never", [{"queue_size": 1, "waiting_per_visitor": 9}], indirect=True)
def test_the_queue_is_the_pages_and_full_for_both(never, clip):
    running = ask(never, clip, stream=True)
    next(iter(running))
    waiting = in_thread(lambda: ask(never, clip))
    soon(lambda: len(never.page._queue) == 1)
    with pytest.raises(openai.RateLimitError, match="1 are waiting already"):
        ask(never, clip)
    body = {"data": [[], "random"], "fn_index": 0, "session_hash": "s"}
    joined = httpx.post(f"{never.page.local_url}gradio_api/queue/join", json=body)
    assert (joined.status_code, joined.json()["detail"]) == (429, words.QUEUE_FULL.format(most=1)), "the page in the same words"
    never.stops.close(5)
    waiting.join(30)
    (told,) = waiting.results
    assert isinstance(told, openai.APIStatusError) and told.status_code == 503 and words.SERVER_STOPS in str(told)
    with pytest.raises(openai.APIError, match=re.escape(words.SERVER_STOPS)):
        list(running)


@pytest.mark.parametrize("never", [{"waiting_per_visitor": 1}], indirect=True)
def test_one_visitor_asks_so_many_at_once_and_no_more(never, clip):
    running = ask(never, clip, stream=True)
    next(iter(running))
    with pytest.raises(openai.RateLimitError, match="You already wait for 1 answers"):
        ask(never, clip)
    running.close()
    soon(lambda: never.ended == 1)
    never.stops.closing = False
    again = ask(never, clip, stream=True)
    assert next(iter(again)).choices
    again.close()


@pytest.mark.parametrize("never", [{"openai_mb": 0.01}], indirect=True)
def test_a_request_is_so_large_and_no_larger(never, clip):
    with pytest.raises(openai.APIStatusError, match="The request is longer than 10.0 kB") as caught:
        ask(never, clip)
    assert caught.value.status_code == 413 and never.began == 0


@pytest.mark.parametrize("never", [{"upload_mb_per_hour": 0.03}], indirect=True)
def test_what_is_sent_counts_as_uploads_do(never, clip):
    with pytest.raises(openai.RateLimitError, match="One visitor may upload 30.0 kB within an hour"):
        ask(never, clip)
    refused = httpx.post(f"{never.page.local_url}gradio_api/upload", files={"files": ("b.mp4", b"x" * 10)})
    assert refused.status_code == 429


@pytest.mark.parametrize(
    ("failure", "status", "sentence"),
    [
        (OmniZipError("No such thing; take another."), 400, "No such thing; take another."),
        (MemoryError(), 503, words.CALL_MEMORY),
        (RuntimeError("/secret/path"), 500, words.CALL_FAILED),
    ],
    ids=["a sentence", "memory", "unforeseen"],
)
def test_a_failure_is_one_sentence(never, clip, failure, status, sentence):
    never.failure = failure
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError) as caught:
            ask(never, clip, stream=stream)
        assert caught.value.status_code == status and caught.value.body["message"] == sentence


def test_behind_a_shut_door_nothing_begins(never, clip):
    never.door.shut = True
    with pytest.raises(openai.InternalServerError, match=re.escape(words.SERVER_STOPS)):
        ask(never, clip)


def test_while_there_is_no_model_that_is_said(never, clip):
    never._state = HostState("", None)
    assert list(never.client.models.list()) == []
    with pytest.raises(openai.InternalServerError, match=re.escape(words.MODEL_WAIT)) as caught:
        ask(never, clip)
    assert caught.value.status_code == 503


def test_many_calls_leave_nothing_behind(never, clip):
    never.failure = OmniZipError("No.")
    for _ in range(3):
        with pytest.raises(openai.BadRequestError):
            ask(never, clip)
    queue = never.page._queue
    soon(lambda: not queue.event_ids_to_events)
    turns = never.page.openai_turns
    assert turns._calls == {} and not queue.pending_event_ids_session.get(turns._session)
    assert set(never.page.app.state_holder.session_data) <= {turns._session}, "no call takes the place of a page that is remembered"


# ---- a clip that lies elsewhere


class Shelf(BaseHTTPRequestHandler):
    """Gives the clip it was given."""

    def log_message(self, *given):
        pass

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.clip)))
        self.end_headers()
        self.wfile.write(self.server.clip)


@pytest.fixture
def shelf(clip):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    server.clip, server.daemon_threads = clip.read_bytes(), True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/clip.mp4"
    server.shutdown()
    server.server_close()


def named(address):
    part = {"type": "video_url", "video_url": {"url": address}}
    return [{"role": "user", "content": [part, {"type": "text", "text": QUESTION}]}]


@pytest.fixture
def fetching(engine, request):
    settings = Settings(max_new_tokens=12, port=0, openai=True, fetch_clips=True, **getattr(request, "param", {}))
    page = launched(Engine(engine.model, settings), settings)
    yield page, openai.OpenAI(base_url=f"{page.local_url}v1", api_key="none", max_retries=0, timeout=60)
    page.close()


def anywhere(page):
    """Have the page fetch from this machine, too, where the tests serve."""
    page.openai_turns._remote = RemoteClips(page.openai_turns.engine.settings, lambda ip: True, None)


def test_a_clip_is_fetched_and_answered_about_as_if_it_was_sent(fetching, engine, clip, shelf):
    page, client = fetching
    anywhere(page)
    done = client.chat.completions.create(model=MODEL, messages=named(shelf))
    assert done.choices[0].message.content == alone(engine, clip).answer.text


def test_this_machine_and_its_neighbours_are_not_reached(fetching, shelf):
    _, client = fetching
    port = shelf.split(":")[2].split("/")[0]
    for address in ("http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/"):
        with pytest.raises(openai.BadRequestError, match="private network") as caught:
            client.chat.completions.create(model=MODEL, messages=named(address))
        assert caught.value.param == "messages[0].content[0]"
    with pytest.raises(openai.BadRequestError, match=f"names port {port}"):
        client.chat.completions.create(model=MODEL, messages=named(shelf))


@pytest.mark.parametrize("fetching", [{"upload_mb_per_hour": 0.02}], indirect=True)
def test_what_is_fetched_counts_as_uploads_do(fetching, clip, shelf):
    page, client = fetching
    anywhere(page)
    assert clip.stat().st_size > 20_000
    with pytest.raises(openai.BadRequestError, match="more than one visitor may send within an hour"):
        client.chat.completions.create(model=MODEL, messages=named(shelf))
    assert httpx.post(f"{page.local_url}gradio_api/upload", files={"files": ("b.mp4", b"x" * 10)}).status_code == 429


# ---- the key


def test_a_key_is_asked_for_before_anything_is_read(monkeypatch, clip):
    key = "a-key-of-sixteen-signs"
    monkeypatch.setenv(openai_door.KEY, key)
    host = NeverDone()
    host.failure = OmniZipError("It got in.")
    page = launched(host, host.settings)
    try:
        for given in ("none", key[:-1], key + "x", key.upper()):
            client = openai.OpenAI(base_url=f"{page.local_url}v1", api_key=given, max_retries=0)
            with pytest.raises(openai.AuthenticationError) as caught:
                client.models.list()
            assert caught.value.code == "invalid_api_key" and key not in str(caught.value)
        body = iter([b"x" * 1000] * 3)
        refused = httpx.post(page.local_url.rstrip("/") + COMPLETIONS, content=body)
        assert refused.status_code == 401
        client = openai.OpenAI(base_url=f"{page.local_url}v1", api_key=key, max_retries=0)
        assert [model.id for model in client.models.list()] == [MODEL]
        with pytest.raises(openai.BadRequestError, match="It got in"):
            client.chat.completions.create(model=MODEL, messages=about(clip))
        assert httpx.get(f"{page.local_url}config").status_code == 200, "the page is not behind the key"
        assert key not in httpx.get(f"{page.local_url}config").text
    finally:
        page.close()


@pytest.mark.parametrize("key", ["short", "with spaces in it, and long", "schlüsselschlüssel"])
def test_a_key_that_could_be_guessed_is_refused_at_the_start(key):
    with pytest.raises(OmniZipError, match="OMNIZIP_API_KEY"):
        openai_door.openai_doors(Settings(openai=True), {openai_door.KEY: key})


def test_a_login_without_a_key_is_refused_at_the_start():
    people = {USER: "ada", PASSWORD: "correct horse"}
    with pytest.raises(OmniZipError, match="Programs in OpenAI's form give no login"):
        openai_door.openai_doors(Settings(openai=True), people)
    assert openai_door.openai_doors(Settings(), people) == []
    assert len(openai_door.openai_doors(Settings(openai=True), people | {openai_door.KEY: "k" * 16})) == 1


@pytest.mark.parametrize(
    ("name", "embedded", "told"),
    [
        ("", True, MODEL),
        ("Qwen/Qwen2.5-Omni-3B", False, "Qwen/Qwen2.5-Omni-3B"),
        ("/srv/models/mine", False, "mine"),
        ("~/mine/", False, "mine"),
    ],
)
def test_a_model_is_named_without_a_path(name, embedded, told):
    conditions = SimpleNamespace(embedded=embedded, model="OmniZip nano" if embedded else name)
    assert model_id(HostState(name, conditions)) == told and model_id(HostState(name, None)) is None
