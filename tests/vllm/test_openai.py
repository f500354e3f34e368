"""A server of vLLM with the plugin, asked by OpenAI's own client."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from vllm_engine import EXAMPLES, PIXELS, example

from omnizip.assets import asset
from omnizip.integrations.vllm.clip_layout import ClipLayout
from omnizip.integrations.vllm.pruning import Pruning
from omnizip.integrations.vllm.throughput import Load, markdown, measure
from omnizip.model.full_layout import write_full_layout
from omnizip.model.loading import embedded
from omnizip.model.qwen2_5_omni import SYSTEM

START_S = 600  # on a loaded machine


def command(checkpoint, port):

    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint), "--served-model-name", "nano"),
        *("--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", "4096", "--enforce-eager"),
        *("--max-num-seqs", "8", "--trust-request-mm-kwargs", "--limit-mm-per-prompt", '{"video": 2, "audio": 2, "image": 0}'),
        *("--mm-processor-kwargs", json.dumps(PIXELS), "--media-io-kwargs", '{"video": {"fps": 2, "num_frames": -1}}'),
    ]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_full_layout(embedded(), tmp_path_factory.mktemp("nano") / "full")


@pytest.fixture(scope="module")
def client(checkpoint, tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    environment = os.environ | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with log.open("w") as written:
        server = subprocess.Popen(command(checkpoint, port), stdout=written, stderr=subprocess.STDOUT, env=environment)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", timeout=300, max_retries=0)
    try:
        deadline = time.monotonic() + START_S
        while True:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            try:
                client.models.list()
                break
            except openai.APIConnectionError:
                time.sleep(1)
        assert "OmniZip is active: clips are read by omnizip at 35%." in log.read_text()
        yield client
    finally:
        server.terminate()
        server.wait(timeout=120)


def asked(path, question, omnizip=None, sound=True):
    data = base64.b64encode(Path(path).read_bytes()).decode()
    content = [
        {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}},
        {"type": "text", "text": question},
    ]
    kwargs = {"use_audio_in_video": sound} | ({} if omnizip is None else {"omnizip": omnizip})
    return {
        "model": "nano",
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": 24,
        "extra_body": {"mm_processor_kwargs": kwargs},
    }


def of_example(name):
    return asset("examples") / f"{name}.mp4"


def test_models(client):
    assert [model.id for model in client.models.list()] == ["nano"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_streamed_and_not(name, client):
    request = asked(of_example(name), "What is seen last?")
    whole = client.chat.completions.create(**request)
    said = whole.choices[0].message.content
    assert said and whole.choices[0].finish_reason == "stop"
    parts = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == said
    assert parts[-1].usage.prompt_tokens == whole.usage.prompt_tokens


def test_the_tokens_that_are_read_are_those_counted_beforehand(client):
    """Of the clip as vLLM decodes it: two frames a second, eight seconds with sound."""
    layout = ClipLayout((8, 6, 12), 200, 1.0)
    assert len(example("bell").frames) == 16
    read = {}
    for retention in (1.0, 0.35, 0.2):
        method = "full" if retention == 1.0 else "omnizip"
        reply = client.chat.completions.create(**asked(of_example("bell"), "What rings?", {"method": method, "retention": retention}))
        read[retention] = reply.usage.prompt_tokens - Pruning(method, retention).kept(layout)
    assert len(set(read.values())) == 1  # the words and markers around the clip


def test_the_answer_is_the_products(client, product):
    """Of these clips, whose frames vLLM takes up to a third of a second later: from the first to the last, evenly."""
    for name in EXAMPLES:
        truth = product.read(example(name), "What is seen last?", "full")
        request = asked(of_example(name), "What is seen last?", {"method": "full"})
        request["messages"].insert(0, {"role": "system", "content": [{"type": "text", "text": SYSTEM}]})
        reply = client.chat.completions.create(**request)
        assert reply.choices[0].message.content == product.model.text(truth.answer), name


def test_several_at_once_are_answered_as_one_by_one(client):
    requests = [asked(of_example(name), "What is heard?", {"retention": share}) for name in EXAMPLES for share in (0.25, 0.5)]
    alone = [client.chat.completions.create(**request).choices[0].message.content for request in requests]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda request: client.chat.completions.create(**request).choices[0].message.content, requests))
    assert together == alone


def test_many_requests_are_timed(client):
    """Rows for each arm and number at once; every clip is new to the server, so all are read in full."""
    load = Load([of_example(name) for name in EXAMPLES[:2]], requests=3, rounds=1, at_once=(1, 2), tokens=4)
    rows = measure(client, "nano", load, [Pruning("full", 1.0), Pruning("omnizip", 0.35)])
    assert [(row["at_once"], row["method"]) for row in rows] == [(1, "full"), (1, "omnizip"), (2, "full"), (2, "omnizip")]
    for row in rows:
        assert row["requests"] == 3 and 0 < row["first_word_s"] <= row["slowest_first_word_s"] <= row["seconds"]
        assert row["answers_per_minute"] == pytest.approx(60 * 3 / row["seconds"])
    whole, pruned = rows[:2]
    layouts = [ClipLayout((8, 6, 12), 200, 1.0), ClipLayout((8, 10, 7), 200, 1.0)]
    for name, row in (("full", whole), ("omnizip", pruned)):
        share = 1.0 if name == "full" else 0.35
        row["clip"] = sum(Pruning(name, share).kept(layout) for layout in (layouts[0], layouts[1], layouts[0])) / 3
    assert whole["prompt_tokens"] - whole["clip"] == pytest.approx(pruned["prompt_tokens"] - pruned["clip"])
    told = markdown({"rows": rows})
    assert told.count("\n") == 5 and "all tokens" in told and "35% by `omnizip`" in told


def test_a_clip_without_sound(client, tmp_path):
    silent = _without_sound(of_example("bell"), tmp_path / "no-sound.mp4")
    reply = client.chat.completions.create(**asked(silent, "What is seen?", sound=False))
    assert reply.choices[0].message.content
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(**asked(silent, "What is seen?"))
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    ("omnizip", "said"),
    [
        ({"method": "fastv"}, "fastv cannot say beforehand"),
        ({"retention": 0}, "The retention is 0"),
        ({"ratio": 0.3}, "give an object with some of method, retention, options"),
    ],
)
def test_what_cannot_be_had_is_a_bad_request_of_one_sentence(omnizip, said, client):
    with pytest.raises(openai.BadRequestError, match=said):
        client.chat.completions.create(**asked(of_example("bell"), "What?", omnizip))


def test_a_server_that_is_asked_for_the_impossible_does_not_start(checkpoint):
    environment = os.environ | {"OMNIZIP_VLLM_METHOD": "omnizip-official"}
    done = subprocess.run(command(checkpoint, 1), capture_output=True, text=True, env=environment, timeout=START_S)
    assert done.returncode != 0
    assert "omnizip-official cannot say beforehand how many tokens it keeps" in (done.stderr + done.stdout).splitlines()[-1]


def _without_sound(source, target):
    import av

    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    return target
