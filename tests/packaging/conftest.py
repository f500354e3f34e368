"""The wheel, and environments with nothing in them but what it asks for."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("PYTHON", "OMNIZIP_", "VIRTUAL_ENV")  # what of the outside could reach into an environment


def clean_environment():
    """This process's environment without what points at the checkout or at the environment the tests run in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def uv(*arguments):
    """Run uv; what it says is in the failure."""
    done = subprocess.run(
        [sys.executable, "-m", "uv", *map(str, arguments)], env=clean_environment(), capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _torch_for_the_cpu():
    """Where uv finds torch without the CUDA libraries: the folders pip is told of, else torch's own index."""
    folders = os.environ.get("PIP_FIND_LINKS", "").split()
    return [part for folder in folders for part in ("--find-links", folder)] or ["--torch-backend", "cpu"]


@pytest.fixture(scope="session")
def index():
    """Skip where no package index can be reached, unless packaging has to be tested."""
    address = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/hatchling/", timeout=20).close()
    except OSError as error:
        if os.environ.get("OMNIZIP_REQUIRE_PACKAGING"):
            raise
        pytest.skip(f"no package index can be reached ({address}: {error})")


@pytest.fixture(scope="session")
def wheel(index, tmp_path_factory):
    """The wheel, built by way of the source distribution as `uv build` does."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """Make an environment of the wheel with some extras, within the versions of requirements.txt; returns its Python."""

    def install(extras=""):
        folder = tmp_path_factory.mktemp("environment")
        uv("venv", "--quiet", "--python", sys.executable, folder)
        python = folder / "bin" / "python"
        wanted = f"omnizip{extras} @ {wheel.as_uri()}"
        uv("pip", "install", "--quiet", "--python", python, *_torch_for_the_cpu(), "-c", ROOT / "requirements.txt", wanted)
        return python

    return install


@pytest.fixture
def run(tmp_path):
    """Run a Python in a folder of its own."""

    def ran(python, *arguments):
        done = subprocess.run(
            [python, *arguments], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ran
