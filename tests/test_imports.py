"""Who may import whom: every module may use only modules of the rows above its own, and only its third parties."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH = {"torch"}
# Rows from the bottom of the project to its top: (modules, third parties).
ROWS = [
    (["omnizip.errors", "omnizip.settings", "omnizip.types"], set()),
    (["omnizip.windows"], TORCH),
    (["omnizip.stream", "omnizip.budget"], TORCH),
    (["omnizip.compressors"], TORCH),
    (["omnizip"], TORCH),
    (["omnizip.media.decoder_main"], {"av"}),
    (["omnizip.media"], {"numpy"}),
    (["omnizip.model"], {"numpy", "transformers", "torch", "accelerate"}),
    (["omnizip.report"], {"numpy"}),
    (["omnizip.engine"], TORCH),
    (["omnizip.bench"], {"numpy", "torch", "transformers", "gradio_client"}),
    (["omnizip.evaluation"], {"numpy", "torch", "transformers", "tqdm", "av"}),
    (["training"], {"numpy", "torch", "transformers", "tokenizers", "safetensors", "av", "PIL", "tqdm"}),
    (["ui", "ui.words"], set()),
    (
        ["ui.frames", "ui.figures", "ui.markup", "ui.lens.packed", "ui.standalone"],
        {"numpy", "PIL", "plotly", "moviepy", "proglog"},
    ),  # proglog: moviepy's own progress reports
    (["omnizip.cli", "omnizip.__main__"], TORCH),
    (["ui.model_host", "ui.stops", "ui.chat", "ui.decisions", "ui.files", "ui.handlers", "ui.links"], {"numpy", "PIL", "plotly"}),
    (["ui.lens.view", "ui.methods.chart", "ui.methods.view"], {"numpy", "PIL", "plotly"}),
    (["ui.access"], {"starlette"}),
    (
        ["ui.controls", "ui.columns", "ui.lens", "ui.methods", "ui.model_bar", "ui.endpoints", "ui.queueing", "ui.theme", "ui.page"],
        {"gradio"},
    ),
    (["app"], {"spaces"}),
]
STANDALONE = "omnizip.media.decoder_main"  # run as a program of its own


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def row_of(module):
    """The row of the longest listed prefix; a package lists for its submodules, save the root package."""
    best = [
        (len(name), i)
        for i, (names, _) in enumerate(ROWS)
        for name in names
        if module == name or (name not in ("omnizip", "ui") and module.startswith(name + "."))
    ]
    return max(best)[1] if best else None


def imports_of(path, module):
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            name = f"{base}.{node.module}" if base and node.module else base or node.module
            for alias in node.names:
                deeper = ROOT / (f"{name}.{alias.name}".replace(".", "/") + ".py")
                yield f"{name}.{alias.name}" if deeper.exists() else name


SOURCES = sorted(
    [*(ROOT / "omnizip").rglob("*.py"), *(ROOT / "ui").rglob("*.py"), *(ROOT / "training").rglob("*.py"), *ROOT.glob("app.py")]
)


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_point_downwards(path):
    import sys

    module = module_of(path)
    row = row_of(module)
    assert row is not None, f"{module} stands in no row of tests/test_imports.py"
    allowed = set().union(*(names for _, names in ROWS[row : row + 1]))
    for name in imports_of(path, module):
        top = name.split(".")[0]
        if top in ("omnizip", "ui", "training", "app"):
            assert row_of(name) is not None and row_of(name) <= row, f"{module} imports {name}, which stands above it"
            assert module != STANDALONE, f"{module} runs on its own and imports {name}"
        else:
            assert top in sys.stdlib_module_names or top in allowed, f"{module} imports {name}, which is not among its third parties"
