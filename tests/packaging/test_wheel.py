"""The wheel: what is in it, and what it can do in an empty environment, far from the checkout."""

import json
import re
import shutil
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import omnizip

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

ABOUT = """
import importlib.util, json, pathlib, sys, omnizip
absent = [name for name in sys.argv[1].split() if importlib.util.find_spec(name) is None]
sys.stdout.write(json.dumps({"home": str(pathlib.Path(omnizip.__file__).parent), "absent": absent}))
"""
COMPRESS = """
import sys, torch
from omnizip import OmniZip, TokenStream
generator = torch.Generator().manual_seed(0)
window = [9] * 32 + [8] * 50  # two steps of 4 x 4, two seconds of sound
ids = torch.tensor([1, 2, *window * 4, 3])
stream = TokenStream.from_ids(
    ids, torch.randn(ids.numel(), 16, generator=generator), audio_token_id=8, video_token_id=9, grid_thw=(8, 8, 8),
    audio_saliency=torch.rand(200, generator=generator),
)
result = OmniZip(rho_audio=0.3, rho_video=0.6).compress(stream)
sys.stdout.write(f"{ids.numel()} {int(result.keep.sum())} {tuple(stream.prompt(result).embeds.shape)}")
"""


def names_in(wheel):
    with zipfile.ZipFile(wheel) as opened:
        return opened.namelist()


def metadata(wheel):
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        return HeaderParser().parsestr(opened.read(name).decode("utf-8"))


def test_it_holds_the_package_and_its_assets_and_nothing_else(wheel):
    names = {name for name in names_in(wheel) if ".dist-info/" not in name}
    sources = {
        str(path.relative_to(ROOT)) for path in (ROOT / "omnizip").rglob("*.*") if "__pycache__" not in path.parts and path.is_file()
    }
    carried = {
        f"omnizip/{path.relative_to(ROOT)}" for folder in ("nano", "lens", "languages") for path in (ROOT / "assets" / folder).iterdir()
    }
    assert names == sources | carried | {"omnizip/assets/style.css"}
    assert "omnizip/py.typed" in names and not any(re.match(r"(ui|training|tests|docs|app)\b", name) for name in names)


def test_its_version_and_core_are_those_of_the_package(wheel):
    told = metadata(wheel)
    assert told["Version"] == omnizip.__version__
    asked = [text for text in told.get_all("Requires-Dist") if "extra ==" not in text]
    assert sorted(re.match(r"[\w-]+", text)[0] for text in asked) == ["numpy", "torch"]
    assert set(told.get_all("Provides-Extra")) == {"model", "report", "demo", "gpu", "mcp", "ray"}


def test_the_core_alone_compresses_a_stream(installed, run):
    python = installed()
    others = "transformers accelerate gradio av PIL plotly moviepy ui training"
    about = json.loads(run(python, "-c", ABOUT, others))
    assert about["absent"] == others.split() and "site-packages" in about["home"]
    total, kept, prompt = run(python, "-c", COMPRESS).split(" ", 2)
    assert int(total) == 3 + 4 * 82
    assert int(kept) == 3 + 140 + 10 + 51 and prompt == f"({kept}, 16)"  # text, 0.7 and 0.05 of 200, 0.4 of 128


def test_with_the_model_and_the_report_it_answers_from_another_folder(installed, run, tmp_path):
    python = installed("[model,report]")
    others = "gradio moviepy spaces ui training"
    about = json.loads(run(python, "-c", ABOUT, others))
    assert about["absent"] == others.split() and "site-packages" in about["home"]

    clip = shutil.copy(ROOT / "assets" / "examples" / "bell.mp4", tmp_path)
    question = "What colour is the shape when the bell rings?"
    targets = ("--report", "r.html", "--json", "r.json")
    said = run(python, "-m", "omnizip", "compare", clip, "--question", question, "--device", "cpu", *targets)
    report = json.loads((tmp_path / "r.json").read_text())
    full, kept = report["runs"]
    assert full["answer"] == "purple" and "purple" in said  # the bell of assets/examples/bell.mp4 rings for a purple shape
    assert kept["method"] == "omnizip" and kept["retained"]["total"] == pytest.approx(0.45, abs=0.01)
    page = (tmp_path / "r.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>") and "purple" in page and question in page
    assert "mountLens" in page and "data:" in page  # the lens's program and what it draws
