"""Who may import whom: every package may use only those of its row and the rows above, and its own third parties; no circles."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH = {"torch"}
# Rows from the bottom of the project to its top: (packages and modules, third parties).
ROWS = [
    (["omnizip.errors", "omnizip.settings", "omnizip.types", "omnizip.assets"], set()),
    (["omnizip.deferred", "omnizip.windows"], TORCH),
    (["omnizip.stream", "omnizip.budget"], TORCH),
    (["omnizip.compressors"], TORCH),
    (["omnizip"], TORCH),
    (["omnizip.media.decoder"], {"av"}),
    (["omnizip.media"], {"numpy"}),
    (["omnizip.model"], {"numpy", "transformers", "torch", "accelerate", "huggingface_hub"}),
    (["omnizip.report"], {"numpy", "PIL"}),
    (["omnizip.engine"], TORCH),
    (["omnizip.serving"], {"httpcore", "httpx"}),
    (["omnizip.replicas"], {"ray"}),
    (["omnizip.bench"], {"numpy", "torch", "transformers", "gradio_client", "playwright"}),
    (["omnizip.evaluation"], {"numpy", "torch", "transformers", "tqdm", "av", "pyarrow"}),
    (["training"], {"numpy", "torch", "transformers", "tokenizers", "safetensors", "av", "PIL", "tqdm"}),
    (["omnizip.cli", "omnizip.__main__"], TORCH),
    (["omnizip.integrations"], {"numpy", "torch", "transformers", "vllm", "openai", "lmms_eval", "accelerate", "datasets", "tqdm"}),
    (["ui", "ui.words", "ui.markup"], set()),
    (["ui.frames", "ui.figures"], {"numpy", "PIL", "plotly", "moviepy", "proglog"}),  # proglog: moviepy's own progress reports
    (
        [
            "ui.model_host",
            "ui.stops",
            "ui.chat",
            "ui.decisions",
            "ui.examples",
            "ui.files",
            "ui.handlers",
            "ui.links",
            "ui.part_strip",
            "ui.presets",
            "ui.run_folder",
        ],
        {"numpy", "PIL", "plotly"},
    ),
    (
        ["ui.lens.view", "ui.sound_change", "ui.first_look", "ui.kept_looks", "ui.methods.chart", "ui.methods.view"],
        {"numpy", "PIL", "plotly"},
    ),
    (
        [
            "ui.gate",
            "ui.limits",
            "ui.access",
            "ui.compressed",
            "ui.openai_door",
            "ui.arguments",
            "ui.call_door",
            "ui.reworded",
            "ui.uncollected",
        ],
        {"starlette", "python_multipart"},
    ),
    (["ui.openai_routes"], {"gradio", "starlette"}),
    (
        [
            "ui.controls",
            "ui.columns",
            "ui.lens",
            "ui.methods",
            "ui.model_bar",
            "ui.endpoints",
            "ui.queueing",
            "ui.theme",
            "ui.page",
            "ui.serving",
        ],
        {"gradio"},
    ),
    (["app"], {"spaces"}),
]
STANDALONE = "omnizip.media.decoder"  # run as a program of its own


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
                deeper = ROOT / f"{name}.{alias.name}".replace(".", "/")
                yield f"{name}.{alias.name}" if deeper.with_suffix(".py").exists() or (deeper / "__init__.py").exists() else name


SOURCES = sorted(
    [*(ROOT / "omnizip").rglob("*.py"), *(ROOT / "ui").rglob("*.py"), *(ROOT / "training").rglob("*.py"), *ROOT.glob("app.py")]
)


OURS = ("omnizip", "ui", "training", "app")
FOLDERS = sorted(path.parent for path in (ROOT / "omnizip").glob("*/__init__.py"))


def room_of(module):
    """The package below `omnizip` or `ui` that a module is part of, or the module itself where it is part of none."""
    parts = module.split(".")
    return parts[0] if parts[0] == "training" else ".".join(parts[:2])


def test_every_package_of_the_library_stands_in_one_row():
    listed = [name for names, _ in ROWS for name in names]
    assert len(listed) == len(set(listed)) and len(FOLDERS) >= 8
    for folder in FOLDERS:
        assert listed.count(f"omnizip.{folder.name}") == 1, f"omnizip/{folder.name} needs a row"
    deeper = [name for name in listed if name.startswith("omnizip.") and name.count(".") > 1]
    assert all(name.startswith("omnizip.media.decoder") for name in deeper)  # what runs as a program of its own


def test_no_row_speaks_of_what_is_not_there():
    rooms = {module_of(path) for path in SOURCES}
    assert [name for names, _ in ROWS for name in names if name not in rooms] == []


def test_packages_import_each_other_in_no_circle():
    graph = {room_of(module_of(path)): set() for path in SOURCES}
    for path in SOURCES:
        here = room_of(module_of(path))
        graph[here] |= {room_of(name) for name in imports_of(path, module_of(path)) if name.split(".")[0] in OURS} - {here}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))
    assert order.index("omnizip.errors") < order.index("omnizip.compressors") < order.index("omnizip.engine") < order.index("app")


def test_few_files_lie_beside_the_packages():
    beside = sorted(path.name for path in (ROOT / "omnizip").iterdir() if path.is_file())
    assert "__init__.py" in beside and len(beside) <= 11, beside


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_point_downwards(path):
    module = module_of(path)
    row = row_of(module)
    assert row is not None, f"{module} stands in no row of tests/test_imports.py"
    allowed = set().union(*(names for _, names in ROWS[row : row + 1]))
    for name in imports_of(path, module):
        top = name.split(".")[0]
        if top in OURS:
            assert row_of(name) is not None and row_of(name) <= row, f"{module} imports {name}, which stands above it"
            runs_alone = module == STANDALONE or module.startswith(f"{STANDALONE}.")
            assert not runs_alone or name.startswith(STANDALONE), f"{module} runs on its own and imports {name}"
        else:
            assert top in sys.stdlib_module_names or top in allowed, f"{module} imports {name}, which is not among its third parties"


def test_the_library_never_imports_the_page():
    library = [path for path in SOURCES if path.is_relative_to(ROOT / "omnizip")]
    found = [(module_of(path), name) for path in library for name in imports_of(path, module_of(path)) if name.split(".")[0] == "ui"]
    assert len(library) > 60 and found == []


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "omnizip" / "compressors").rglob("*.py"), *(ROOT / "omnizip").glob("*.py")]), ids=module_of
)
def test_methods_take_torch_from_deferred(path):
    """The page shows every method's options before torch is there."""
    if path.name == "omnisift_selector.py":  # a module of torch's, imported when it is needed
        return
    at_once = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    named = {alias.name for node in at_once if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module for node in at_once if isinstance(node, ast.ImportFrom) and not node.level}
    assert not {name for name in named if name and name.split(".")[0] == "torch"}, "take torch and Tensor from omnizip/deferred.py"
