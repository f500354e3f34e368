"""What the pages tell people to type works: Python runs, and the commands take the flags they are given."""

import re
import shlex
from pathlib import Path

import pytest

from omnizip.cli import bench, benchmark, compare, evaluate, main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = ("add-a-method.md", "CONTRIBUTING.md")  # whose code goes into files; tests/compressors writes them and runs it


def blocks(language):
    for page in (page for page in PAGES if page.name not in ELSEWHERE):
        for number, block in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)):
            yield pytest.param(block, id=f"{page.name}-{number}")


def test_readmes_example_keeps_what_it_asks_for():
    (block,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["prompt"].embeds.shape == (round(0.35 * len(names["input_ids"])), 3584)
    assert names["prompt"].positions.shape == (3, len(names["prompt"].embeds))


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code = compile(block, "page", "exec")
    if "gradio_client" not in block and "openai" not in block:  # those need a page that is up; tests/ui drives it
        exec(code, {"__name__": "page"})


def commands(start):
    for page in PAGES:
        for line in page.read_text().splitlines():
            if line.startswith(start):
                yield pytest.param(shlex.split(line.removeprefix(start), comments=True), id=f"{page.name}: {line[:60]}")


@pytest.mark.parametrize("words", commands("python -m omnizip "))
def test_the_command_line_takes_what_is_written(words, monkeypatch, capsys, tmp_path):
    taken = []
    for command in (bench, benchmark, compare, evaluate):
        monkeypatch.setattr(command, "run", taken.append)
    monkeypatch.setattr(benchmark, "list_all", taken.append)
    monkeypatch.chdir(tmp_path)
    assert main.main(words) == 0, capsys.readouterr().err
    assert taken or words[0] == "methods"
    for arguments in taken:
        if words[0] == "compare":
            assert compare._arms(arguments), "every method takes the options it is given"
        elif hasattr(arguments, "benchmark"):
            assert benchmark._entries(arguments) and benchmark._protocol(arguments)


def test_there_are_commands_to_look_at():
    assert len(list(commands("python -m omnizip "))) > 10
