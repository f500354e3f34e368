"""The training program stays apart: nothing that is installed or served needs it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = [ROOT / "app.py", *(ROOT / "omnizip").rglob("*.py"), *(ROOT / "ui").rglob("*.py")]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def test_nothing_of_the_product_imports_it():
    assert len(PRODUCT) > 50
    assert not [path for path in PRODUCT for name in imported(path) if name.split(".")[0] == "training"]


@pytest.mark.slow
def test_measuring_works_where_it_is_absent():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("bench", "evaluation", "cli")
        for path in sorted((ROOT / "omnizip" / package).rglob("*.py"))
        if path.stem != "__init__"
    ]
    code = f"import importlib, sys; sys.modules['training'] = None; [importlib.import_module(name) for name in {modules!r}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    assert len(modules) > 20


def test_every_command_of_the_program_lists_its_flags(capsys):
    from training import __main__ as program

    for command in ("train", "check", "clip", "train-selector"):
        with pytest.raises(SystemExit) as left:
            program.main([command, "--help"])
        assert left.value.code == 0
        assert f"python -m training {command}" in capsys.readouterr().out
