"""A login, limits per visitor, files that go away, and what no visitor can reach."""

import json
import time
from pathlib import Path

import gradio
import httpx
import pytest
from clips import make_clip
from gradio_client import Client, exceptions, handle_file

from omnizip.engine.comparison import SERVING
from omnizip.errors import ModelError, OmniZipError
from omnizip.settings import Settings
from ui import access, words
from ui.examples import examples_of
from ui.model_host import ModelHost
from ui.page import build_page, launch_options

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SECRET = "only the server may read this"


def launched(settings, **more):
    page = build_page(ModelHost(settings))  # no model: nothing here is answered
    page.launch(**{**launch_options(settings), "server_port": None, "prevent_thread_lock": True, "quiet": True, **more})
    return page


@pytest.fixture(scope="module")
def page():
    page = launched(Settings(port=0))
    yield page
    page.close()


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    path = tmp_path_factory.mktemp("private") / "secret.mp4"
    path.write_text(SECRET)
    return path


REACHES = ["{}", "/{}", "//{}", "%2F{}", "../../../../../../../..{}", "file://{}", "{}%00.mp4", "..%2f..%2f..%2f..%2f..%2f..{}", "/./{}"]


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize(
    "route", ["gradio_api/file=", "file=", "gradio_api/file/", "gradio_api/proxy=", "static/", "assets/", "custom_component/"]
)
def test_no_file_of_the_server_can_be_read(page, secret, route, reach):
    for target in ("/etc/passwd", str(secret), str(ROOT / "app.py"), str(ROOT / "omnizip" / "settings.py"), str(ROOT / ".git" / "HEAD")):
        got = httpx.get(page.local_url + route + reach.format(target))
        assert got.status_code >= 300 or "<!doctype html>" in got.text.lower()[:100], (got.url, got.text[:100])
        assert SECRET not in got.text and "root:x:" not in got.text and "def main" not in got.text and "ref: refs" not in got.text


def test_a_link_among_the_uploads_leads_nowhere(page, secret):
    folder = Path(gradio.utils.get_upload_folder()) / "linked"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "link.mp4"
    link.unlink(missing_ok=True)
    link.symlink_to(secret)
    try:
        for name in ("compress", "compare"):
            arguments = {"video": {"path": str(link)}} | ({"question": "What?"} if name == "compare" else {})
            with pytest.raises(exceptions.AppError, match=words.NOT_UPLOADED[:20]):
                Client(page.local_url, verbose=False).predict(**arguments, api_name=f"/{name}")
    finally:
        link.unlink()


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}], ids=["bare", "as a file"])
@pytest.mark.parametrize("reach", ["{}", "/tmp/gradio/../..{}", "{}/."])
def test_endpoints_take_no_path_of_the_server(page, secret, meta, reach):
    client = Client(page.local_url, verbose=False)
    for name in ("compare", "compress"):
        value = {"path": reach.format(secret), **meta}
        function = next(f for f in page.fns.values() if f.api_name == name)
        rest = ["What?", "omnizip", 0.45] if name == "compare" else [["omnizip"], 0.45]
        data = [value, *rest, *[None] * (len(function.inputs) - 1 - len(rest))]
        assert not page._queue.event_ids_to_events
        sent = httpx.post(f"{page.local_url}gradio_api/call/{name}", json={"data": data})
        assert (sent.status_code, sent.json()) == (400, {"detail": words.NOT_UPLOADED}), "at once, and not in its turn"
    assert client.predict(api_name="/methods")


def test_the_player_shows_no_file_of_the_server(page, secret):
    """The page's own events take a clip too: the same rule, at once; who listens all the same hears a whole answer."""
    function = next(f for f in page.fns.values() if f.name == "on_gif")
    body = {"data": [{"path": str(secret), "meta": {"_type": "gradio.FileData"}}], "fn_index": function._id, "session_hash": "s"}
    joined = httpx.post(f"{page.local_url}gradio_api/queue/join", json=body)
    assert (joined.status_code, joined.json()) == (400, {"detail": words.NOT_UPLOADED})
    with httpx.stream("GET", f"{page.local_url}gradio_api/queue/data?session_hash=s", timeout=60) as told:
        ended, closed = (json.loads(line[5:]) for line in told.iter_lines() if line.startswith("data:"))
    assert (ended["msg"], ended["success"], closed["msg"]) == ("process_completed", False, "close_stream")


def test_an_example_of_the_page_may_be_named(page):
    """The page shows its examples from where they lie, and names them so."""
    function = next(f for f in page.fns.values() if f.name == "on_gif")
    example = examples_of(Settings())[0].path
    for path, status in ((example, 200), (example.parent / "SOURCES.md", 400), (example.parent, 400)):
        value = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        body = {"data": [value], "fn_index": function._id, "session_hash": "example"}
        assert httpx.post(f"{page.local_url}gradio_api/queue/join", json=body).status_code == status, path


def test_another_machine_cannot_be_reached_through_the_page(page):
    for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254"):
        got = httpx.get(f"{page.local_url}gradio_api/file=http://{host}:1/", timeout=60)
        assert got.status_code >= 400


def test_nothing_is_recorded_or_sent_whatever_the_environment_says(page, monkeypatch):
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")
    assert not page.analytics_enabled and not build_page(ModelHost(Settings())).analytics_enabled
    assert launch_options(Settings())["run_history"] is False


def test_files_are_deleted_on_schedule(tmp_path):
    page = launched(Settings(port=0, keep_files_s=1))
    try:
        assert page.delete_cache == (1, 1)
        clip = make_clip(tmp_path / "clip.mp4", seconds=1)
        sent = httpx.post(f"{page.local_url}gradio_api/upload", files={"files": ("clip.mp4", clip.read_bytes())}).json()[0]
        deadline = time.monotonic() + 60
        while Path(sent).exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not Path(sent).exists()
    finally:
        page.close()


def test_a_visitor_uploads_so_much_and_no_more(tmp_path):
    page = launched(Settings(port=0, upload_mb_per_hour=0.01))
    try:
        address = f"{page.local_url}gradio_api/upload"
        assert httpx.post(address, files={"files": ("a.mp4", b"x" * 6000)}).status_code == 200
        refused = httpx.post(address, files={"files": ("b.mp4", b"x" * 6000)})
        assert (refused.status_code, refused.text) == (429, words.UPLOADED_ENOUGH.format(limit="10.0 kB"))
        assert httpx.post(address, files={"files": ("c.mp4", b"x" * 500)}).status_code == 200
    finally:
        page.close()


def test_who_has_the_password_gets_in_and_nobody_else(monkeypatch):
    monkeypatch.setenv(access.USER, "ada")
    monkeypatch.setenv(access.PASSWORD, "correct horse")
    page = launched(Settings(port=0))
    try:
        for closed in ("config", "gradio_api/info"):
            assert httpx.get(page.local_url + closed).status_code == 401
        assert httpx.post(f"{page.local_url}gradio_api/upload", files={"files": ("a.mp4", b"x")}).status_code == 401
        assert httpx.get(page.local_url).status_code == 200, "the login itself, for people and health checks"
        with pytest.raises((ValueError, exceptions.AuthenticationError), match="login"):
            Client(page.local_url, auth=("ada", "wrong"), verbose=False)
        inside = Client(page.local_url, auth=("ada", "correct horse"), verbose=False)
        assert inside.predict(api_name="/methods") and "correct horse" not in json.dumps(inside.config)
    finally:
        page.close()


@pytest.mark.parametrize("environ", [{access.USER: "ada"}, {access.PASSWORD: "x"}])
def test_half_a_login_is_one_sentence_without_the_password(environ):
    with pytest.raises(OmniZipError, match="set both") as caught:
        access.login(environ)
    assert "ada" not in str(caught.value) and access.login({}) is None


def test_login_and_host_are_in_no_report():
    names = {f"OMNIZIP_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert not names & {access.USER, access.PASSWORD}
    assert {"upload_mb_per_hour", "keep_files_s", "mcp"} <= set(SERVING)


def test_a_login_and_agents_are_refused_together(monkeypatch):
    monkeypatch.setattr(access, "find_spec", lambda name: True)
    monkeypatch.setenv(access.USER, "ada")
    monkeypatch.setenv(access.PASSWORD, "correct horse")
    with pytest.raises(OmniZipError, match="MCP cannot give a login"):
        launch_options(Settings(mcp=True))
    assert launch_options(Settings())["auth"] == ("ada", "correct horse")


@pytest.mark.parametrize(
    ("settings", "environ", "may"),
    [
        ({}, {}, True),
        ({"host": "0.0.0.0"}, {}, False),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
        ({"trusted_hops": 1}, {}, False),
        ({}, {"SPACE_ID": "a/b"}, False),
        ({"host": "0.0.0.0"}, {access.USER: "ada", access.PASSWORD: "x"}, True),
        ({"host": "0.0.0.0", "switch_model": "everybody"}, {}, True),
        ({"switch_model": "nobody"}, {access.USER: "ada", access.PASSWORD: "x"}, False),
    ],
)
def test_the_model_is_changed_by_people_who_are_known(settings, environ, may):
    assert access.may_switch(Settings(**settings), environ) is may


def test_mcp_without_its_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(access, "find_spec", lambda name: None)
    with pytest.raises(OmniZipError, match="requirements-mcp.txt"):
        launch_options(Settings(mcp=True))
    assert launch_options(Settings())["mcp_server"] is False


def test_limits_are_said_on_the_page():
    assert "within 2 hours" in words.limits(Settings()) and "within 90 seconds" in words.limits(Settings(keep_files_s=45))
    assert words.span(3600) == "1 hour" and words.span(2700) == "45 minutes"


def test_an_upload_goes_through_where_nothing_is_wrong(page, tmp_path, monkeypatch):
    def nobody(*given, **named):
        raise ModelError(words.MODEL_WAIT)

    monkeypatch.setattr(ModelHost, "preview", nobody)  # which would wait for the model
    clip = make_clip(tmp_path / "clip.mp4", seconds=1)
    with pytest.raises(exceptions.AppError, match="still being loaded"):  # past every check, to the model that is not there
        Client(page.local_url, verbose=False).predict(video=handle_file(str(clip)), api_name="/compress")
