"""What the requirement files pin, and that they and the package's ranges speak of the same releases."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = sorted([*ROOT.glob("requirements*.txt"), *(ROOT / ".ci").glob("requirements*.txt")])
EXTRAS = PROJECT["optional-dependencies"]


def lines(path):
    """A file's lines without comments, and without what it includes."""
    kept = (re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip() for line in path.read_text().splitlines())
    return [line for line in kept if line]


def requirements(path):
    """Every requirement of a file and of those it includes."""
    found = []
    for line in lines(path):
        if line.startswith("-r "):
            found += requirements(path.parent / line.removeprefix("-r ").strip())
        else:
            found.append(Requirement(line))
    return found


def pins(path):
    """Name -> versions, of which requirements.txt has two for torch."""
    found = {}
    for requirement in requirements(path):
        found.setdefault(requirement.name.lower(), []).append(next(iter(requirement.specifier)).version)
    return found


def ranges(*extras):
    asked = PROJECT["dependencies"] + [text for extra in extras for text in EXTRAS[extra]]
    return [r for r in map(Requirement, asked) if r.name != "omnizip"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_line_is_a_pin_or_another_file(path):
    for line in lines(path):
        if not line.startswith("-r "):
            requirement = Requirement(line)  # neither an option, a folder nor an address
            assert not requirement.url and [s.operator for s in requirement.specifier] == ["=="], line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_space_and_an_image_never_install_the_folder_itself(path):
    assert "omnizip" not in pins(path) and not any(line.startswith((".", "-e")) for line in lines(path))


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("requirements.txt", ("model", "report", "demo")),
        ("requirements-gpu.txt", ("gpu",)),
        ("requirements-mcp.txt", ("mcp",)),
        ("requirements-ray.txt", ("ray",)),
    ],
)
def test_the_lock_lies_within_the_packages_ranges(file, extras):
    locked = pins(ROOT / file)
    for asked in ranges(*extras):
        if asked.name in locked:
            assert all(asked.specifier.contains(version) for version in locked[asked.name]), asked
        else:
            assert asked.name == "safetensors", asked  # comes with transformers


def test_everything_the_app_pins_belongs_to_the_core_or_an_extra():
    assert set(pins(ROOT / "requirements.txt")) <= {r.name for r in ranges("model", "report", "demo")}


def test_ci_tests_the_oldest_release_of_every_range():
    oldest, locked = pins(ROOT / ".ci" / "requirements-oldest.txt"), pins(ROOT / "requirements-dev.txt")
    lowest = {r.name: s.version for r in ranges("model") for s in r.specifier if s.operator == ">="}
    assert set(lowest) == {"torch", "numpy", "transformers", "accelerate", "av", "safetensors"}
    for name, (version,) in oldest.items():
        if name in lowest and name != "torch":  # whose oldest is what a Space has
            assert version.removesuffix(".0").startswith(lowest[name]), name
        else:
            assert version in locked[name], name
    assert any(version.startswith(lowest["torch"]) for version in locked["torch"])


def test_every_dependency_says_what_it_is_for():
    said = (ROOT / "pyproject.toml").read_text().partition("[build-system]")[0].splitlines()
    asked = [i for i, line in enumerate(said) if re.search(r'"(?!omnizip)[\w\[\]-]+[<>=]=?\d', line)]
    assert len(asked) == sum(text.startswith("omnizip[") is False for extra in EXTRAS.values() for text in extra) + 2
    assert [said[i] for i in asked if "#" not in said[i] + said[i - 1]] == []


def test_flash_attn_stands_alone_and_the_page_that_explains_it_names_its_release():
    alone = lines(ROOT / "requirements-flash-attn.txt")
    (flash,) = alone
    assert flash.startswith("flash-attn==") and all("flash" not in name for name in pins(ROOT / "requirements-gpu.txt"))
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert f"pip install --no-build-isolation {flash}" in page and "--no-build-isolation -r requirements-flash-attn.txt" in page
