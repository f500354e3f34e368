"""docs/add-a-method.md, done word for word in a copy of the project: the method it adds passes what every method has to."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from contract import independent_checks

from omnizip.model.families import FAMILIES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add-a-method.md").read_text()


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def copy_of_the_project(folder):
    """What the tests of methods need, without what is made while running."""
    for name in ("omnizip", "tests/support", "tests/compressors"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, folder / name)


@pytest.mark.slow
def test_the_page_adds_a_method_that_passes_the_contract(tmp_path):
    method, imported, entry, test = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(method.splitlines()) <= 30
    assert f"```python\n{method}```" in CONTRIBUTING, "both pages show the same file"
    copy_of_the_project(tmp_path)
    (tmp_path / "omnizip/compressors/loudest.py").write_text(method)
    registry = tmp_path / "omnizip/compressors/__init__.py"
    text = registry.read_text()
    assert text.rstrip().endswith("}")
    registry.write_text(text.replace("from .base", f"{imported}from .base", 1).rstrip().removesuffix("}") + entry + "}\n")
    (tmp_path / "tests/compressors/test_loudest.py").write_text(test)
    tests = ["tests/compressors/test_loudest.py", "tests/compressors/test_contract.py", "tests/compressors/test_waits.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "-k", "loudest or no_two", *tests],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for check in ("every_kind_of_clip", "independent_check", "says_what_it_is", "grow_with_the_clip"):
        assert re.search(check + r"\[[^]]*loudest.*PASSED", done.stdout), check
    for family in FAMILIES:
        assert f"every_kind_of_clip[{family.name}-loudest" in done.stdout
    assert "test_loudest_keeps_the_largest_by_sorting PASSED" in done.stdout


def test_a_method_without_an_independent_check_is_found(tmp_path):
    (tmp_path / "test_some.py").write_text(
        'import pytest\n\n@pytest.mark.independent("a", "b")\ndef test_it(): ...\n\n@pytest.mark.slow\ndef test_c(): ...\n'
    )
    assert independent_checks(tmp_path) == {"a": ["test_some.test_it"], "b": ["test_some.test_it"]}
