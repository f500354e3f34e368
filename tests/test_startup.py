"""The order of a start: the page answers, with what was computed earlier, before torch, transformers and the model are there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WATCHED = """
import os, sys, urllib.request
sys.argv[1:] = ["--port", "{port}"]
from ui.model_host import ModelHost

def start(self):
    with urllib.request.urlopen("http://127.0.0.1:{port}/", timeout=60) as answer:
        page = answer.read().decode()
    assert "computed earlier" in page and "omnizip-merge_size" in page, "no first look"
    assert "Loading" in page and self.state.loading
    print("before:", sorted({{"torch", "transformers", "accelerate"}} & sys.modules.keys()), flush=True)
    self.load(self.settings.model)
    print("after:", self.conditions.embedded, flush=True)
    os._exit(0)

ModelHost.start = start
import app
app.main()
"""


@pytest.mark.slow
def test_the_page_answers_before_torch_is_imported():
    from served import free_port

    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    code = WATCHED.format(port=free_port())
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-2:] == ["before: []", "after: True"], done.stderr


def test_the_methods_are_known_without_torch():
    code = "import sys; from omnizip.compressors import COMPRESSORS; import omnizip.engine.events, omnizip.report.fragments; "
    code += "print(len(COMPRESSORS), sum(bool(kind.options()) for kind in COMPRESSORS.values()) > 5, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[1:] == ["True", "False"] and int(done.stdout.split()[0]) >= 18, done.stderr
