"""The README says what is: tables as the code has them, commands that CI runs, pictures and files that exist."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_tables_are_as_the_code_has_them():
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / ".ci" / "readme_tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    assert tables.filled(README) == README, "run `python .ci/readme_tables.py`"


def test_every_file_it_names_exists():
    named = re.findall(r"^\| `([\w./-]+)` \|", README.split("## Files")[1], re.MULTILINE)
    assert len(named) > 30
    for name in named:
        assert (ROOT / name).exists(), name
    headings = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)}
    for name in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert name in headings or (ROOT / name).exists(), name


def test_ci_runs_the_test_command_word_for_word():
    command = next(line for line in README.splitlines() if line.endswith("-m pytest"))
    assert command in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt", "requirements-mcp.txt"])
def test_everything_is_pinned_exactly(file):
    for line in (ROOT / file).read_text().splitlines():
        requirement = line.split("#")[0].strip()
        assert not requirement or requirement.startswith("-r ") or "==" in requirement, line


def test_space_front_matter():
    front = dict(line.split(": ", 1) for line in README.split("---")[1].strip().splitlines() if ": " in line)
    requirements = (ROOT / "requirements.txt").read_text()
    assert f"gradio=={front['sdk_version']}" in requirements
    assert (ROOT / front["app_file"]).exists()
    assert len(front["short_description"]) <= 60
