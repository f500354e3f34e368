"""One name, one thing: no two modules of the library share a name, and no two classes of the project do."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("omnizip", "ui", "training")
EVERYWHERE = {"__init__", "__main__"}
LEFT: set[str] = set()  # classes that still share a name; none may come


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


def shared(named):
    """Names that stand for more than one thing, with where they stand."""
    return {name: sorted(places) for name, places in named.items() if len(places) > 1}


def public_classes(path):
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def test_no_two_modules_of_the_library_share_a_name():
    """A module may be called as its package is (the package's namesake), and a compressor as its method, which one is the project's."""
    named = defaultdict(set)
    for path in sources("omnizip"):
        namesake = path.stem == path.parent.name or (path.parent.name == "compressors" and path.stem == "omnizip")
        if path.stem not in EVERYWHERE and not namesake:
            named[path.stem].add(str(path.relative_to(ROOT)))
    assert shared(named) == {}


def test_no_two_public_classes_share_a_name():
    named = defaultdict(set)
    for package in PACKAGES:
        for path in sources(package):
            for name in public_classes(path):
                named[name].add(str(path.relative_to(ROOT)))
    assert set(shared(named)) <= LEFT, shared(named)


def test_what_is_shared_is_found():
    assert shared({"a": {"x", "y"}, "b": {"x"}}) == {"a": ["x", "y"]}
    assert "Engine" in public_classes(ROOT / "omnizip/engine/engine.py")
