"""Models that come and go while the page is up, and a sentence for each that cannot come."""

import shutil
import threading
from pathlib import Path

import pytest
import tiny
from clips import make_clip
from gradio_client import Client, exceptions, handle_file

from omnizip.engine import Arm, Engine, Finished
from omnizip.errors import ModelError
from omnizip.model import loading, memory
from omnizip.settings import Settings
from ui import words
from ui.model_bar import describe_model
from ui.model_host import EMBEDDED, ModelHost
from ui.page import build_page, launch_options


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("models") / "tiny")


def test_until_the_model_is_there_the_page_says_so_with_progress(folder, monkeypatch):
    gate, half = threading.Event(), threading.Event()
    real = Engine.open

    def slow(settings, on_progress, lend):
        on_progress("load", 0.5)
        half.set()
        assert gate.wait(30)
        return real(settings, on_progress, lend)

    monkeypatch.setattr(Engine, "open", slow)
    host = ModelHost(Settings(model=folder))
    thread = host.start()
    assert half.wait(30) and host.state.loading
    assert "Loading tiny" in describe_model(host) and "width:50%" in describe_model(host)
    with pytest.raises(ModelError, match="still being loaded"):
        _ = host.conditions
    gate.set()
    thread.join(60)
    assert host.state.conditions.parameters == host.conditions.parameters and "memory free" in describe_model(host)


def held_back(monkeypatch, failure=None):
    """An `Engine.open` that waits for the first of these to be set, and then fails if it is to; the second says that it waits."""
    gate, asked, real = threading.Event(), threading.Event(), Engine.open

    def slow(settings, *rest):
        asked.set()
        assert gate.wait(60)
        if failure and settings.model != EMBEDDED:
            raise failure
        return real(settings, *rest)

    monkeypatch.setattr(Engine, "open", slow)
    return gate, asked


@pytest.mark.parametrize("failure", [None, ModelError("It is cut short."), ZeroDivisionError()])
def test_a_comparison_waits_for_the_model_and_hears_what_became_of_it(folder, monkeypatch, tmp_path, failure):
    gate, asked = held_back(monkeypatch, failure)
    clip = make_clip(tmp_path / "clip.mp4", seconds=2)
    host = ModelHost(Settings(model=folder, max_new_tokens=2))
    monkeypatch.setattr(threading, "excepthook", lambda told: None)  # what the server's log would hold
    thread = host.start()
    events = host.compare(host.open_clip(clip), "What?", [Arm("random", 0.5)])
    first = next(events)
    assert (first.name, first.arm) == ("load", None) and words.stage(first.name, first.arm) == words.MODEL_STAGES["load"]
    assert asked.wait(30)
    gate.set()
    if failure is None:
        assert isinstance(list(events)[-1], Finished)
    else:
        with pytest.raises(ModelError, match="cut short" if isinstance(failure, ModelError) else "server's log") as told:
            list(events)
        assert words.MODEL_OTHER in str(told.value)
    thread.join(60)


def test_who_waits_may_stop_and_who_looks_only_does_not_wait(folder, monkeypatch, tmp_path):
    gate, _ = held_back(monkeypatch)
    host, stop = ModelHost(Settings(model=folder)), threading.Event()
    thread = host.start()
    clip = host.open_clip(make_clip(tmp_path / "clip.mp4", seconds=2))
    events = host.compare(clip, "What?", [Arm("random", 0.5)], stop=stop.is_set)
    next(events)
    stop.set()
    assert list(events) == []
    for named in ({}, {"stop": stop.is_set}):
        with pytest.raises(ModelError, match="still being loaded"):
            host.preview(clip, Arm("random", 0.5), **named)
    gate.set()
    thread.join(60)
    assert host.preview(clip, Arm("random", 0.5)).record.retained["total"] == pytest.approx(0.5, abs=0.02)
    assert host.open_clip(clip.path).key == clip.key, "what was opened before is what is opened now"


def test_a_model_chosen_while_one_is_on_its_way_takes_its_place_at_once(folder, monkeypatch):
    gate, asked = held_back(monkeypatch, ModelError("Set aside too late."))
    host = ModelHost(Settings(model=folder))
    first = host.start()
    assert asked.wait(30) and host.knows_choices and EMBEDDED in host.choices()
    second = host.start(EMBEDDED)  # as the page's choice does, while a comparison may hold the model's place in the queue
    gate.set()
    first.join(60)
    second.join(60)
    assert host.conditions.embedded and not host.state.problem


def test_progress_of_the_weights_is_told(folder):
    heard = []
    Engine.open(Settings(model=folder), lambda stage, fraction: heard.append(fraction))
    known = [f for f in heard if f is not None]
    assert known == sorted(known) and len(set(known)) > 10 and known[-1] == 1.0


@pytest.mark.slow
def test_another_model_takes_over_and_back(folder):
    host = ModelHost(Settings(model=folder))
    host.load(folder)
    first = host.engine
    host.load(folder)
    assert host.engine is first, "the same model is not loaded twice"
    host.load(EMBEDDED)
    assert host.conditions.embedded and host.engine is not first
    host.load(folder)
    assert not host.conditions.embedded and host.choices()[0] == EMBEDDED and folder in host.choices()


def broken(folder, tmp_path, kind):
    if kind == "missing":
        return str(tmp_path / "nowhere")
    copy = Path(shutil.copytree(folder, tmp_path / kind))
    if kind == "half":
        weights = (copy / "model.safetensors").read_bytes()
        (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    return str(copy)


@pytest.mark.parametrize(("kind", "sentence"), [("missing", "neither a folder"), ("half", "cut short"), ("large", "GB of memory are free")])
def test_what_cannot_be_loaded_is_one_sentence_and_the_embedded_model_is_offered(folder, tmp_path, monkeypatch, kind, sentence):
    if kind == "large":
        monkeypatch.setattr(loading, "free_bytes", lambda device: 1000)
    name = broken(folder, tmp_path, kind)
    host = ModelHost(Settings(model=name))
    host.start().join(60)
    assert sentence in host.state.problem and host.state.problem.count("\n") == 0
    assert words.MODEL_OTHER in describe_model(host) and EMBEDDED in host.choices()
    with pytest.raises(ModelError, match="built-in one"):
        host.encode("clip.mp4")
    monkeypatch.undo()
    host.load(EMBEDDED)
    assert host.conditions.embedded and not host.state.problem


@pytest.mark.parametrize("kind", ["missing", "half"])
def test_a_model_that_cannot_be_loaded_leaves_the_one_that_answers(folder, tmp_path, kind):
    host = ModelHost(Settings(model=folder))
    host.load(folder)
    before, name = host.conditions, broken(folder, tmp_path, kind)
    host.load(name)
    assert host.conditions == before and host.state.name == folder and not host.state.problem
    assert "tiny answers on" in describe_model(host) and host.state.refused in describe_model(host)
    assert str(tmp_path) not in describe_model(host), "no path of the server"
    host.load(EMBEDDED)
    assert not host.state.refused


def test_what_nobody_foresaw_leaves_the_one_that_answers(folder, monkeypatch):
    host, real = ModelHost(Settings(model=folder)), Engine.open
    host.load(folder)

    def fail(settings, *rest):
        if settings.model == "a/b":
            raise ZeroDivisionError
        return real(settings, *rest)

    monkeypatch.setattr(Engine, "open", fail)
    with pytest.raises(ZeroDivisionError):
        host.load("a/b")
    assert host.engine and host.state.name == folder and "server's log" in host.state.refused


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "sentence"), [("missing", "neither a folder"), ("half", "cut short"), ("large", "GB of memory are free")])
def test_the_page_is_up_says_why_and_works_with_the_embedded_model(folder, tmp_path, monkeypatch, kind, sentence):
    if kind == "large":
        monkeypatch.setattr(loading, "free_bytes", lambda device: 1000)
    host = ModelHost(Settings(model=broken(folder, tmp_path, kind), port=0))
    host.start().join(60)
    monkeypatch.undo()
    clip = str(make_clip(tmp_path / "clip.mp4", seconds=2))
    page = build_page(host)
    _, url, _ = page.launch(**{**launch_options(host.settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    try:
        client = Client(url, verbose=False)
        line = next(c for c in client.config["components"] if c["props"].get("elem_id") == "conditions")
        assert sentence in line["props"]["value"]
        with pytest.raises(exceptions.AppError, match=sentence):
            client.predict(video=handle_file(clip), question="What?", api_name="/compare")
        host.load(EMBEDDED)  # as choosing it at the top of the page does
        assert client.predict(video=handle_file(clip), api_name="/compress")["model"]["embedded"]
    finally:
        page.close()


def test_what_nobody_foresaw_leaves_a_page_as_well(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Engine, "open", fail)
    host = ModelHost(Settings())
    with pytest.raises(ZeroDivisionError):
        host.load("somewhere")
    assert "server's log" in host.state.problem


def test_only_models_that_find_room_are_offered(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**9)
    assert ModelHost(Settings(device="cpu")).choices() == [EMBEDDED]
    monkeypatch.setattr(memory, "free_bytes", lambda device: 12 * 10**9)
    assert ModelHost(Settings(device="cpu", dtype="bfloat16")).choices() == [EMBEDDED, "Qwen/Qwen2.5-Omni-3B"]
    assert ModelHost(Settings(device="cpu")).choices() == [EMBEDDED]
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**12)
    assert ModelHost(Settings(device="cpu")).choices() == [EMBEDDED, *memory.SHAPES]


def test_the_weights_of_a_folder_are_counted_without_the_talker(tmp_path):
    folder = tmp_path / "full"
    tiny.save(folder)
    before = memory.weight_bytes(folder, 32)
    tiny.rename_to_full(folder)
    assert memory.weight_bytes(folder, 32) == before == 2 * memory.weight_bytes(folder, 16) > 10_000


def test_a_containers_limit_counts_as_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "LIMITS", tmp_path)
    machine = memory.free_bytes("cpu")
    (tmp_path / "memory.max").write_text("max")
    (tmp_path / "memory.current").write_text("5")
    assert memory.free_bytes("cpu") == pytest.approx(machine, rel=0.5)
    (tmp_path / "memory.max").write_text("1000")
    assert memory.free_bytes("cpu") == 995
