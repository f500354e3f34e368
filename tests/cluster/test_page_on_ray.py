"""The page with several copies of the model on Ray Serve, as people start it: nothing is lost, crossed or read twice.

What needs no processes of Ray's is tested in tests/replicas/.
"""

import base64
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import tiny
from clips import make_clip
from clusters import TOKEN, head
from copies import copies_below, is_below, kill, wait_for
from gradio_client import Client, exceptions, handle_file
from served import ROOT, free_port
from visitors import Tab

from omnizip.engine import Arm, Engine, Finished
from omnizip.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLIPS, VISITORS = 20, 8
QUESTIONS = ("What colour is the shape?", "What is heard?", "How many shapes appear?", "Describe the clip.")
TOKENS = 24
SENTENCE = "ask again"


@contextmanager
def page_on_ray(folder, *flags, **environment):
    """(address, process) of `app.py` with these flags; its log is in folder/server.log and holds no traceback in the end."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OMNIZIP_RE"))}
    settings = {"HF_HUB_OFFLINE": "1", "OMNIZIP_MAX_NEW_TOKENS": str(TOKENS), "OMNIZIP_WAITING_PER_VISITOR": "64"}
    with (folder / "server.log").open("w+") as log:
        command = [sys.executable, "app.py", "--port", str(port), *flags]
        server = subprocess.Popen(command, cwd=ROOT, env={**inherited, **settings, **environment}, stdout=log, stderr=log)
        told = lambda: Path(log.name).read_text()  # noqa: E731
        try:
            wait_for(lambda: "Running on local URL" in told() or server.poll() is not None)
            assert server.poll() is None, told()
            yield f"http://127.0.0.1:{port}/", server.pid
            assert "Traceback" not in told(), told()
        finally:
            server.terminate()
            server.wait(60)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with page_on_ray(tmp_path_factory.mktemp("log"), "--replicas", "2", "--openai") as served:
        yield served


@pytest.fixture(scope="module")
def address(page):
    return page[0]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """CLIPS clips of different bytes."""
    folder = tmp_path_factory.mktemp("clips")
    films = [make_clip(folder / f"film-{seconds}.mp4", seconds=seconds).read_bytes() for seconds in (2, 3)]
    paths = [folder / f"clip-{number}.mp4" for number in range(CLIPS)]
    for number, path in enumerate(paths):
        path.write_bytes(films[number % 2] + b"\x00\x00\x00" + bytes([8 + number]) + b"free" + bytes(number))
    return paths


def ask(client, path, question):
    """The report of a comparison; raises what the page tells in a sentence."""
    job = client.submit(video=handle_file(str(path)), question=question, retention=0.35, api_name="/compare")
    job.result(300)
    *_, (_, _, report) = job.outputs()
    assert len(report["runs"]) == 2
    return report


def answers(report):
    return [run["answer"] for run in report["runs"]]


def read_again(report):
    """Whether the clip was decoded for this comparison, and so encoded."""
    return report["runs"][0]["timing"]["decode_clip_ms"] is not None


def test_a_replica_that_dies_loses_and_crosses_no_answer(page, clips):
    address, server = page
    todo = [(path, QUESTIONS[number % len(QUESTIONS)]) for number, path in enumerate(clips)]
    engine = Engine.open(Settings(device="cpu", max_new_tokens=TOKENS))
    due = {}
    for path, question in todo:
        (report,) = [event.report for event in engine.compare(path, question, [Arm("omnizip", 0.35)]) if isinstance(event, Finished)]
        due[path.name] = [run.answer.text for run in report.runs]

    left, got, told, lock = list(todo), {}, [], threading.Lock()

    def visit():
        client = Client(address, verbose=False, httpx_kwargs={"timeout": 300})
        while True:
            with lock:
                if not left:
                    return
                path, question = left.pop()
            while path.name not in got:
                try:
                    report = ask(client, path, question)
                except exceptions.AppError as problem:
                    with lock:
                        told.append(str(problem))
                    continue
                with lock:
                    got[path.name] = (report["clip"]["name"], answers(report))

    before = wait_for(lambda: len(found := copies_below(server)) == 2 and found)
    visitors = [threading.Thread(target=visit, daemon=True) for _ in range(VISITORS)]
    for visitor in visitors:
        visitor.start()
    wait_for(lambda: len(got) >= CLIPS // 4, look_s=0.01)
    kill(before[0])
    for visitor in visitors:
        visitor.join(300)
    assert not [visitor for visitor in visitors if visitor.is_alive()]
    assert got == {name: (name, said) for name, said in due.items()}, "no answer is lost, none is another's"
    assert all(SENTENCE in sentence and sentence.count(".") == 1 for sentence in told), told
    after = wait_for(lambda: len(found := copies_below(server)) == 2 and found)
    assert before[1] in after and before[0] not in after


def test_a_clip_that_was_asked_about_is_not_read_again(address, clips):
    client = Client(address, verbose=False)
    for path in clips[:4]:
        first = ask(client, path, "What comes first?")
        second = ask(client, path, "What comes first?")
        assert not read_again(second) and answers(second) == answers(first)


def test_methods_are_previewed_and_problems_are_told_in_one_sentence(address, clips, tmp_path):
    client = Client(address, verbose=False)
    found = client.predict(video=handle_file(str(clips[0])), methods=["omnizip", "random"], retention=0.25, api_name="/compress")
    assert [method["method"] for method in found["methods"]] == ["omnizip", "random"] and found["clip"]["name"] == clips[0].name
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    with pytest.raises(exceptions.AppError, match=r"text\.mp4"):
        ask(client, text, "What is seen?")
    with pytest.raises(exceptions.AppError, match="There is no method"):
        client.predict(video=handle_file(str(clips[0])), question="What?", method="none", api_name="/compare")


def test_programs_that_speak_openais_form_are_answered_by_the_copies(address, clips):
    import openai

    client = openai.OpenAI(base_url=f"{address}v1", api_key="none", max_retries=0, timeout=120)
    (model,) = client.models.list().data
    clip = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{base64.b64encode(clips[0].read_bytes()).decode()}"}}
    messages = [{"role": "user", "content": [clip, {"type": "text", "text": QUESTIONS[0]}]}]
    whole = client.chat.completions.create(model=model.id, messages=messages)
    pieces = client.chat.completions.create(model=model.id, messages=messages, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == whole.choices[0].message.content != ""


def test_a_hanging_replica_is_found_and_its_question_answered_elsewhere(page, clips):
    address, server = page
    client = Client(address, verbose=False, httpx_kwargs={"timeout": 300})
    due = {path: answers(ask(client, path, QUESTIONS[0])) for path in clips[:6]}
    hung, other = wait_for(lambda: len(found := copies_below(server)) == 2 and found)
    os.kill(hung, 19)  # SIGSTOP: alive, and says nothing
    try:
        for path, said in due.items():
            assert answers(ask(client, path, QUESTIONS[0])) == said
    finally:
        if Path(f"/proc/{hung}").exists():
            os.kill(hung, 18)
    after = wait_for(lambda: len(found := [pid for pid in copies_below(server) if pid != hung]) == 2 and found)
    assert other in after


def connects(gcs, **environment):
    """What a driver of a user's own hears from the cluster at `gcs`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    program = f"import ray; ray.init(address={gcs!r}, log_to_driver=False); print('let in')"
    return subprocess.run([sys.executable, "-c", program], env={**inherited, **environment}, capture_output=True, text=True, timeout=120)


def gcs_address(server):
    """Where the cluster of a server listens, from the command line of its own processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        given = [word.partition("=")[2] for word in words if word.startswith("--gcs-address=")]
        if given and is_below(int(path.parent.name), server):
            return given[0]
    return None


def token_of(server):
    """The token that the cluster of a server asks for, which its processes alone have."""
    for pid in copies_below(server):
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        return next(entry.partition("=")[2] for entry in entries if entry.startswith("RAY_AUTH_TOKEN="))
    return None


def test_nobody_gets_in_without_the_token(page):
    gcs = gcs_address(page[1])
    for environment in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        refused = connects(gcs, **environment)
        assert refused.returncode and "let in" not in refused.stdout and "Failed to connect" in refused.stderr
    assert "let in" in connects(gcs, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token_of(page[1])).stdout


def test_another_model_takes_over_on_every_copy(tmp_path, clips):
    folder = tiny.save(tmp_path / "tiny")
    with page_on_ray(tmp_path, "--replicas", "2", "--model", folder) as (address, _):
        client = Client(address, verbose=False)
        assert not ask(client, clips[0], QUESTIONS[0])["model"]["embedded"]
        tab = Tab(address)
        tab.press("refresh")  # as a page that was opened has done: only then the choice offers what finds room
        wait_for(lambda: tab.kinds().count("process_completed") == 1)
        tab.reader.join(60)  # the page hangs up when nothing is left to be heard
        tab.reader = None
        tab.press("change", "")
        wait_for(lambda: tab.kinds().count("process_completed") == 2)
        assert all(message["success"] for message in tab.heard if message["msg"] == "process_completed")
        for path in clips[:5]:
            assert ask(client, path, QUESTIONS[0])["model"]["embedded"]
        tab.http.close()


def test_a_cluster_is_joined_and_clips_are_sent_to_it(clips):
    with TemporaryDirectory(prefix="ray-") as short, head(Path(short), **TOKEN) as (cluster, _):  # paths of sockets may not be long
        refused = subprocess.run(
            [sys.executable, "app.py", "--ray", cluster, "--port", "0"],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": short},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert refused.returncode == 2 and refused.stderr.splitlines()[-1].startswith("The cluster's token is neither")
        with page_on_ray(Path(short), "--ray", cluster, "--replicas", "2", **TOKEN) as (address, _):
            client = Client(address, verbose=False, httpx_kwargs={"timeout": 300})
            for path in clips[:4]:
                first, second = ask(client, path, QUESTIONS[0]), ask(client, path, QUESTIONS[0])
                assert first["clip"]["name"] == path.name and answers(first) == answers(second)
                assert read_again(first) and not read_again(second)
            found = client.predict(video=handle_file(str(clips[0])), methods=["omnizip"], api_name="/compress")
            assert found["methods"][0]["method"] == "omnizip"
        assert "let in" in connects(cluster, **TOKEN).stdout, "the cluster is not this page's to end"
