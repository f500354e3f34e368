"""The page's document is sent compressed to whoever takes that, and is the same document; nothing else is touched."""

import gzip

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from omnizip.settings import Settings
from ui.access import access_options
from ui.compressed import PATHS
from ui.gate import Door

DOCUMENT = "<html>" + "é again and again " * 500 + "</html>"


@pytest.fixture(scope="module")
def client():
    """An app behind all that stands before the page."""
    before = access_options(Settings(), Door(), lambda app, is_one: 0)["app_kwargs"]["middleware"]
    routes = [Route(path, lambda request: HTMLResponse(DOCUMENT)) for path in (*PATHS, "/gradio_api/info")]
    return TestClient(Starlette(routes=routes, middleware=before), base_url="http://127.0.0.1")


def sent(client, path, taken):
    with client.stream("GET", path, headers={"accept-encoding": taken}) as told:
        return told.headers, b"".join(told.iter_raw())


@pytest.mark.parametrize("path", PATHS)
def test_the_document_is_compressed_for_whoever_takes_that(client, path):
    headers, data = sent(client, path, "gzip, deflate, br")
    assert headers["content-encoding"] == "gzip" and "accept-encoding" in headers["vary"].lower()
    assert gzip.decompress(data).decode() == DOCUMENT and len(data) < len(DOCUMENT) / 10
    headers, data = sent(client, path, "identity")
    assert "content-encoding" not in headers and data.decode() == DOCUMENT


def test_everything_else_passes_as_it_is(client):
    headers, data = sent(client, "/gradio_api/info", "gzip")
    assert "content-encoding" not in headers and data.decode() == DOCUMENT
