"""What importing the package costs, and what it offers: nothing is loaded before a name is used, and tools see every name."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import omnizip

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "numpy", "transformers", "accelerate", "gradio", "av", "plotly", "moviepy", "PIL")


def loaded_after(program):
    """The heavy packages that a fresh interpreter has loaded after `program`."""
    ask = f"{program}\nimport json, sys\nsys.stdout.write(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "program",
    ["import omnizip", "import omnizip.settings", "from omnizip import OmniZipError", "import omnizip.types", "import omnizip.assets"],
)
def test_importing_the_package_or_its_settings_loads_nothing(program):
    assert loaded_after(program) == set()


def test_the_public_names_load_torch_and_nothing_of_the_model():
    assert {"torch"} <= loaded_after("from omnizip import *") <= {"torch", "numpy"}  # torch takes numpy where it is


def test_star_import_and_dir_give_every_name():
    given = {}
    exec("from omnizip import *", given)  # as a person at a prompt does
    assert set(omnizip.__all__) <= given.keys() and set(omnizip.__all__) <= set(dir(omnizip))
    assert given["TokenStream"] is omnizip.TokenStream is omnizip.stream.TokenStream


def test_type_checkers_are_told_the_same_names_and_modules():
    (block,) = [node for node in ast.parse((ROOT / "omnizip" / "__init__.py").read_text()).body if isinstance(node, ast.If)]
    told = {alias.name: f".{node.module}" for node in block.body for alias in node.names}
    assert told == omnizip._HOMES and set(told) == set(omnizip.__all__)


def test_an_unknown_name_is_no_attribute_and_a_submodule_is_found():
    with pytest.raises(AttributeError, match="'omnizip' has no attribute 'Zip'"):
        omnizip.Zip  # noqa: B018
    with pytest.raises(ImportError, match="Zip"):
        exec("from omnizip import Zip")
    from omnizip import media

    assert media.__name__ == "omnizip.media"
