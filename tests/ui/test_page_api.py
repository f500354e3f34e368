"""The comparison as an endpoint: gradio_client sends a real file to a real server and gets real answers."""

import inspect
import os
from pathlib import Path

import pytest
from clips import make_clip, text
from gradio_client import Client, exceptions, handle_file

from omnizip.engine import Engine
from omnizip.settings import Settings
from ui.page import build_page, launch_options


@pytest.fixture(scope="module")
def served():
    settings = Settings(max_new_tokens=8, port=0)
    page = build_page(Engine.open(settings))
    options = {**launch_options(settings), "server_port": None, "prevent_thread_lock": True, "quiet": True}
    _, url, _ = page.launch(**options)
    yield page, url
    page.close()


@pytest.fixture(scope="module")
def client(served):
    return Client(served[1], verbose=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=4))


def test_compare_is_public_and_typed(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/compare", "/compress", "/methods"}
    names = [p["parameter_name"] for p in endpoints["/compare"]["parameters"]]
    assert names == ["video", "question", "method", "retention", "rho_audio", "rho_video", "options", "start", "end", "audio_track"]


def test_answers_stream_and_the_report_comes_last(client, clip):
    job = client.submit(video=handle_file(clip), question="Describe the clip.", retention=0.25, api_name="/compare")
    job.result(timeout=120)
    updates = job.outputs()
    full, compressed, report = updates[-1]
    assert len(updates) > 3 and all(not update[2] for update in updates[:-1])
    assert [run["answer"] for run in report["runs"]] == [full, compressed]
    assert [run["method"] for run in report["runs"]] == ["full", "omnizip"]
    assert report["runs"][1]["retained"]["total"] == pytest.approx(0.25, abs=0.01)


def test_rates_and_options_reach_the_method(client, clip):
    _, _, report = client.predict(
        video=handle_file(clip), question="What?", rho_audio=0.5, rho_video=0.7, options={"temporal": "fold"}, api_name="/compare"
    )
    parameters = report["runs"][1]["parameters"]
    assert (parameters["rho_audio"], parameters["rho_video"], parameters["temporal"]) == (0.5, 0.7, "fold")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"question": "  "}, "question"),
        ({"method": "magic"}, "magic"),
        ({"retention": 1.5}, "retention"),
        ({"options": {"speed": 11}}, "speed"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_the_server_lives_on(client, clip, change, sentence):
    with pytest.raises(exceptions.AppError, match=sentence):
        client.predict(**{"video": handle_file(clip), "question": "What?", **change}, api_name="/compare")
    assert client.predict(video=handle_file(clip), question="What?", api_name="/compare")[2]["runs"]


def test_an_unreadable_file_is_one_sentence(client, clip, tmp_path):
    with pytest.raises(exceptions.AppError) as caught:
        client.predict(video=handle_file(str(text(tmp_path))), question="What?", api_name="/compare")
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 300
    assert client.predict(video=handle_file(clip), question="What?", api_name="/compare")[2]["runs"]


def test_only_uploads_can_be_named(client, clip):
    with pytest.raises(exceptions.AppError):
        client.predict(video={"path": clip}, question="What?", api_name="/compare")


def test_nothing_is_recorded_or_sent(served):
    page, _ = served
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False" and not page.analytics_enabled
    options = launch_options(Settings())
    assert options["run_history"] is False and options["footer_links"] == []
    assert set(options) <= set(inspect.signature(type(page).launch).parameters)
    css = Path(options["css_paths"][0]).read_text()
    assert "http" not in css and "@import" not in css and "url(" not in css


def test_a_space_says_where_the_page_listens_unless_somebody_set_it(monkeypatch):
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    assert launch_options(Settings())["server_name"] == "127.0.0.1"
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert launch_options(Settings())["server_name"] == "0.0.0.0"
    assert launch_options(Settings(host="10.0.0.1"))["server_name"] == "10.0.0.1"
