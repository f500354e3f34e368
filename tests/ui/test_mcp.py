"""Agents: the same endpoints as tools, driven by an MCP client. Skipped where requirements-mcp.txt is not installed."""

import ast
import asyncio
import base64
from pathlib import Path

import pytest
from clips import make_clip

from omnizip.engine import Engine
from omnizip.settings import Settings
from ui.page import build_page, launch_options

mcp = pytest.importorskip("mcp", reason="requirements-mcp.txt is not installed")


@pytest.fixture(scope="module")
def page():
    settings = Settings(max_new_tokens=6, port=0, mcp=True)
    page = build_page(Engine.open(settings))
    page.launch(**{**launch_options(settings), "server_port": None, "prevent_thread_lock": True, "quiet": True})
    yield page
    page.close()


def in_session(page, use):
    """What `use` returns, given a session of an MCP client with the page."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def talk():
        async with streamablehttp_client(f"{page.local_url}gradio_api/mcp/") as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return await use(session)

    return asyncio.run(talk())


def content(result):
    assert not result.isError, result.content
    return [item.text for item in result.content]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip within the call; an address would have to be a public one, since the page fetches from no other."""
    path = make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=3)
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"


def test_every_endpoint_is_a_tool_with_its_parameters_described(page):
    async def use(session):
        return (await session.list_tools()).tools

    tools = {tool.name: tool for tool in in_session(page, use)}
    assert set(tools) == {"compare", "compress", "methods"}
    for tool in tools.values():
        assert len(tool.description) > 30
        assert all(len(p.get("description", "")) > 5 for p in tool.inputSchema["properties"].values()), tool.name
    assert tools["compare"].inputSchema["required"] == ["video", "question"]


def test_an_agent_compares_and_compresses(page, clip):
    async def use(session):
        compared = await session.call_tool("compare", {"video": clip, "question": "What is seen?", "retention": 0.35})
        compressed = await session.call_tool("compress", {"video": clip, "methods": ["omnizip", "random"], "retention": 0.35})
        return content(compared), content(compressed), content(await session.call_tool("methods", {}))

    compared, compressed, methods = in_session(page, use)
    *answers, report = ast.literal_eval(compared[0])  # gradio writes values as Python does
    assert [run["answer"] for run in report["runs"]] == answers
    assert report["runs"][1]["retained"]["total"] == pytest.approx(0.35, abs=0.02)
    assert [m["method"] for m in ast.literal_eval(compressed[0])["methods"]] == ["omnizip", "random"]
    assert "omnizip" in [m["name"] for m in ast.literal_eval(methods[0])]


@pytest.mark.parametrize("reach", ["/etc/passwd", "file:///etc/passwd", str(Path(__file__).resolve()), "http://127.0.0.1:1/"])
def test_an_agent_reaches_no_file_of_the_server(page, reach):
    async def use(session):
        return await session.call_tool("compress", {"video": reach})

    result = in_session(page, use)
    assert result.isError and "root:x" not in str(result.content)
