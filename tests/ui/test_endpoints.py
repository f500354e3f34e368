"""The endpoints beside the comparison, driven as programs do: a compression without an answer, and the list of methods."""

import pytest
from clips import make_clip, text
from gradio import utils
from gradio_client import Client, exceptions, handle_file

from omnizip.compressors import COMPRESSORS
from omnizip.engine import Arm, Engine
from omnizip.settings import Settings
from ui import words
from ui.page import build_page, launch_options


@pytest.fixture(scope="module")
def engine():
    return Engine.open(Settings(max_new_tokens=8, port=0))


@pytest.fixture(scope="module")
def page(engine):
    page = build_page(engine)
    page.launch(**{**launch_options(engine.settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    yield page
    page.close()


@pytest.fixture(scope="module")
def client(page):
    return Client(page.local_url, verbose=False)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=5))


@pytest.fixture(scope="module")
def info(client):
    return client.view_api(return_format="dict", print_info=False)["named_endpoints"]


def test_compress_is_typed_and_every_parameter_has_its_default(info):
    parameters = {p["parameter_name"]: p for p in info["/compress"]["parameters"]}
    assert list(parameters) == [
        "video",
        "methods",
        "retention",
        "rho_audio",
        "rho_video",
        "options",
        "question",
        "start",
        "end",
        "audio_track",
    ]
    assert not parameters["video"]["parameter_has_default"] and parameters["retention"]["parameter_default"] == 0.45
    assert parameters["retention"]["python_type"]["type"] == "float" and "filepath" in parameters["video"]["python_type"]["type"]
    assert all(p["parameter_has_default"] for name, p in parameters.items() if name != "video")


@pytest.mark.parametrize("name", ["compare", "compress", "methods"])
def test_everything_is_described_where_programs_look(page, info, name):
    assert len(info[f"/{name}"]["description"]) > 30
    function = next(f.fn for f in page.fns.values() if f.api_name == name)
    _, parameters, returns = utils.get_function_description(function)
    assert all(len(text) > 5 for text in parameters.values()) and returns, parameters


def test_methods_are_those_of_the_library_with_what_can_be_set(client):
    listed = client.predict(api_name="/methods")
    assert [m["name"] for m in listed] == list(COMPRESSORS)
    for method in listed:
        kind = COMPRESSORS[method["name"]]
        assert (method["label"], method["source"]) == (kind.label, kind.source)
        assert {o["name"]: o["default"] for o in method["options"]} == {o.name: o.default for o in kind.options()}
    rates = {o["name"] for m in listed if m["name"] == "omnizip" for o in m["options"] if o["is_rate"]}
    assert rates == {"rho_audio", "rho_video"}


def test_compress_says_what_the_library_would_keep_without_answering(client, engine, clip, monkeypatch):
    monkeypatch.setattr(type(engine.model), "decode", None)  # an answer would fail
    result = client.predict(video=handle_file(clip), methods=["full", "omnizip", "random"], retention=0.35, api_name="/compress")
    assert [m["method"] for m in result["methods"]] == ["full", "omnizip", "random"]
    full, zipped, _ = result["methods"]
    preview = engine.preview(clip, Arm("omnizip", 0.35))
    assert zipped["tokens"] == preview.record.tokens and zipped["retained"] == pytest.approx(preview.record.retained)
    assert full["retained"] == {"audio": 1.0, "video": 1.0, "total": 1.0}
    assert zipped["retained"]["total"] == pytest.approx(0.35, abs=0.01)
    assert zipped["parameters"].keys() == preview.compressor.parameters.keys()
    assert zipped["timing"]["compress_ms"] > zipped["timing"]["saliency_ms"] > 0 == full["timing"]["saliency_ms"]
    assert result["clip"]["duration_s"] == pytest.approx(5, abs=0.1) and result["model"]["embedded"]


def test_the_windows_add_up_to_what_was_kept(client, clip):
    (zipped,) = client.predict(video=handle_file(clip), retention=0.25, api_name="/compress")["methods"]
    assert zipped["method"] == "omnizip" and len(zipped["windows"]) == 3
    for kind in ("audio", "video"):
        assert sum(w[f"{kind}_kept"] for w in zipped["windows"]) == zipped["tokens"][kind]
        assert sum(w[f"{kind}_tokens"] for w in zipped["windows"]) == zipped["clip_tokens"][kind]
    assert all(0 <= w["audio_retention"] <= 1 for w in zipped["windows"])


def test_rates_and_options_reach_the_methods(client, clip):
    given = {"rho_audio": 0.5, "rho_video": 0.7, "options": {"temporal": "fold"}}
    (zipped,) = client.predict(video=handle_file(clip), **given, api_name="/compress")["methods"]
    assert {name: zipped["parameters"][name] for name in ("rho_audio", "rho_video", "temporal")} == {
        "rho_audio": 0.5,
        "rho_video": 0.7,
        "temporal": "fold",
    }
    assert zipped["retention_target"] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"methods": ["omnizip", "magic"]}, "magic"),
        ({"methods": ["omnizip"] * 40}, "at most"),
        ({"retention": 0}, "retention"),
        ({"options": {"speed": 11}}, "speed"),
    ],
)
def test_what_is_wrong_is_one_sentence(client, clip, change, sentence):
    with pytest.raises(exceptions.AppError, match=sentence) as caught:
        client.predict(video=handle_file(clip), **change, api_name="/compress")
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 400


def test_an_unreadable_file_is_one_sentence(client, tmp_path):
    with pytest.raises(exceptions.AppError) as caught:
        client.predict(video=handle_file(str(text(tmp_path))), api_name="/compress")
    assert "Traceback" not in str(caught.value) and len(str(caught.value)) < 300


def test_only_uploads_can_be_named(client, clip):
    with pytest.raises(exceptions.AppError, match=words.NOT_UPLOADED[:20]):
        client.predict(video={"path": clip}, api_name="/compress")


def test_a_part_and_its_sound_are_chosen_by_call(client, clip):
    def said(**given):
        return client.predict(video=handle_file(clip), **given, api_name="/compress")["clip"]

    assert said()["duration_s"] == pytest.approx(5, abs=0.1)
    part = said(start=1, end=3.5, audio_track="none")
    assert part["duration_s"] == pytest.approx(2.5, abs=0.1) and not part["has_sound"] and "from 1 s to 3.5 s" in part["warnings"][0]
    _, _, report = client.predict(video=handle_file(clip), question="What?", start=4, api_name="/compare")
    assert report["clip"]["duration_s"] == pytest.approx(1, abs=0.1) and report["conditions"]["settings"]["start"] == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"start": 3, "end": 2}, "end is 2 s, not behind start, 3 s"),
        ({"start": 50}, "nothing is left from 50 s on"),
        ({"start": -1}, "start is -1"),
        ({"audio_track": "9"}, "has no sound track 9"),
        ({"audio_track": "loud"}, "audio_track is 'loud'"),
    ],
)
def test_a_part_that_is_none_is_one_sentence(client, clip, change, sentence):
    with pytest.raises(exceptions.AppError, match=sentence):
        client.predict(video=handle_file(clip), **change, api_name="/compress")
