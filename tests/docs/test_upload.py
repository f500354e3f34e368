"""A Space is filled by the command on the page: the Hub's own command line takes it, and sends what the app needs alone."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.cli.hf import app
from huggingface_hub.utils import filter_repo_objects
from huggingface_hub.utils._paths import DEFAULT_IGNORE_PATTERNS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/deploy.md")


def written(page, start):
    (line,) = [line for line in (ROOT / page).read_text().splitlines() if line.startswith(start)]
    return shlex.split(line, comments=True)[1:]


class Told:
    """Stands for what the Hub answers."""

    repo_id = "USER/NAME"
    commit_url = url = "https://huggingface.co/spaces/USER/NAME"


@pytest.fixture
def sent(monkeypatch):
    """What the Hub is asked, in order; nothing leaves the machine."""
    asked = []
    for name in ("create_repo", "upload_folder"):
        monkeypatch.setattr(HfApi, name, lambda self, _name=name, **given: asked.append((_name, given)) or Told())
    monkeypatch.chdir(ROOT)
    return asked


@pytest.mark.parametrize("page", PAGES)
def test_the_space_is_made_and_filled(page, sent):
    app(written(page, "hf repos create"), standalone_mode=False)
    app(written(page, "hf upload"), standalone_mode=False)
    (_, made), *_, (last, filled) = sent
    assert (made["repo_id"], made["repo_type"], made["space_sdk"]) == ("USER/NAME", "space", "gradio")
    assert last == "upload_folder" and (filled["repo_id"], filled["repo_type"]) == ("USER/NAME", "space")
    assert Path(filled["folder_path"]).resolve() == ROOT and filled["path_in_repo"] in (".", "", None)


@pytest.mark.parametrize("page", PAGES)
def test_what_the_app_needs_goes_and_nothing_else(page, sent):
    app(written(page, "hf upload"), standalone_mode=False)
    given = sent[-1][1]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    around = [".git/config", ".venv/bin/python", ".venv-3.12/lib/site.py"]
    ignored = [*given["ignore_patterns"], *DEFAULT_IGNORE_PATTERNS]
    goes = set(filter_repo_objects([*tracked, *around], allow_patterns=given["allow_patterns"], ignore_patterns=ignored))
    stays = {name for name in (*tracked, *around) if re.match(r"tests/|\.ci/|training/|\.venv|\.git/", name)}
    assert goes == {*tracked, *around} - stays
    assert {"README.md", "app.py", "requirements.txt", "assets/nano/model.safetensors"} <= goes
