"""The README is short and says what is: its parts in order, commands that CI runs, a tree of folders that exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
MOST_BYTES = 18 * 1024
PARTS = (
    "Install and run",
    "From Python",
    "The page",
    "Command line",
    "Methods",
    "Accuracy",
    "Speed",
    "Deploy",
    "Limits",
    "The code",
    "Contributing",
    "Citing",
)


def part(name):
    """What stands under a heading."""
    return re.split(r"^## ", README.split(f"\n## {name}\n", 1)[1], flags=re.MULTILINE)[0]


def fenced(text, language):
    """The blocks of code of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_it_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= MOST_BYTES


def test_its_parts_are_in_order():
    assert re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", README, flags=re.DOTALL), re.MULTILINE) == ["OmniZip", *PARTS]


def test_one_picture_stands_above_everything():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README)
    assert pictures == ["assets/screenshots/page.png"] and README.index("![") < README.index("\n## ")


def test_it_is_run_and_tested_by_one_line_each():
    run, tests = fenced(part("Install and run"), "bash")
    assert run.count("\n") == tests.count("\n") == 1
    assert run.endswith(".venv/bin/python app.py\n") and tests.endswith("-m pytest\n")


def test_ci_runs_the_test_command_word_for_word():
    command = fenced(part("Install and run"), "bash")[1].strip()
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_example_has_ten_lines_at_most():
    (block,) = fenced(part("From Python"), "python")
    assert len([line for line in block.splitlines() if line]) <= 10


@pytest.mark.parametrize(("name", "rows"), [("Accuracy", 10), ("Speed", 10)])
def test_there_is_one_table_of_ten_rows_at_most(name, rows):
    lines = part(name).splitlines()
    assert sum(line.startswith("| ---") for line in lines) == 1
    assert 2 < sum(line.startswith("|") for line in lines) <= rows + 2


def test_deploying_takes_six_lines():
    (block,) = fenced(part("Deploy"), "bash")
    assert block.count("\n") == 6


def tree():
    """The paths of the tree, each with the folders it stands in."""
    (block,) = fenced(part("The code"), "")
    above = []
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.match(r"\s*(\S+(?:  \S+/)*)", line)[1].split()
        above = [*above[:depth], names[0]]
        yield from (ROOT.joinpath(*above[:depth], name) for name in names)


def packages():
    """The folders of code at the top, and those that stand right below the library and the page."""
    named = subprocess.run(["git", "ls-files", "*/__init__.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    folders = [Path(name).parent for name in named if not name.startswith(("tests/", "docs/"))]
    return {folder for folder in folders if len(folder.parts) <= 2}


def test_the_tree_has_twelve_lines_and_every_path_of_it_exists():
    assert fenced(part("The code"), "")[0].count("\n") == 12
    for path in tree():
        assert path.exists(), path


def test_every_package_is_in_the_tree_or_named_beside_the_one_it_stands_in():
    shown = {path.relative_to(ROOT) for path in tree()}
    (block,) = fenced(part("The code"), "")
    for package in packages():
        assert package in shown or f"{package.name}/ " in block, f"{package} is not in the README's tree"


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
