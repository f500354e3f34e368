"""Fill the README's tables from the code: methods, settings, files. Run it after changing any of these; a test compares."""

import ast
import dataclasses
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from omnizip.compressors import COMPRESSORS  # noqa: E402
from omnizip.settings import Settings  # noqa: E402

OTHER_FILES = {
    "assets/style.css": "The page's look, by day and by night.",
    "assets/standin/": "The embedded model, as `python -m omnizip.nano.standin` writes it.",
    "assets/examples/": "Sample clips and the program that made them.",
    "tests/": "One file per module, with the reference outputs in `tests/golden/`; `tests/browser/` drives the page.",
    ".ci/run": "Everything a change has to pass.",
}


def methods() -> str:
    """One row per method."""
    lines = ["| method | keeps | fidelity | source |", "| --- | --- | --- | --- |"]
    lines += [f"| `{name}` | {m.summary} | {m.fidelity} | {m.source} |" for name, m in COMPRESSORS.items()]
    return "\n".join(lines)


def settings() -> str:
    """One row per setting."""
    lines = ["| flag | default | what it sets |", "| --- | --- | --- |"]
    for field in dataclasses.fields(Settings):
        default = "" if field.default == "" else f"`{field.default}`"
        lines.append(f"| `--{field.name.replace('_', '-')}` | {default} | {field.metadata['help']} |")
    return "\n".join(lines)


def files() -> str:
    """One row per source file, with the first sentence of its description."""
    sources = sorted([ROOT / "app.py", *(ROOT / "omnizip").rglob("*.py"), *(ROOT / "ui").rglob("*.py")])
    lines = ["| file | what it holds |", "| --- | --- |"]
    for path in sources:
        text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
        if text:
            lines.append(f"| `{path.relative_to(ROOT)}` | {first_sentence(text)} |")
    return "\n".join([*lines, *(f"| `{name}` | {text} |" for name, text in OTHER_FILES.items())])


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    for i, mark in enumerate(text):
        if mark == "." and text[i + 1 : i + 2] in ("", " ") and text[i - 3 : i] not in ("i.e", "e.g", " al"):
            return text[: i + 1].replace("|", "\\|")
    return text.replace("|", "\\|")


def filled(readme: str) -> str:
    """The README's text with every table as the code has it."""
    for name, table in (("methods", methods()), ("settings", settings()), ("files", files())):
        before, rest = readme.split(f"<!-- {name} -->\n", 1)
        after = rest.split(f"<!-- end {name} -->", 1)[1]
        readme = f"{before}<!-- {name} -->\n{table}\n<!-- end {name} -->{after}"
    return readme


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text()))
