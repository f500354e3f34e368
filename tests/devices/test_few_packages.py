"""What is run on a machine with a GPU needs torch, transformers, accelerate and the tests' own packages, and nothing more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("av", "gradio", "plotly", "moviepy", "spaces", "gradio_client", "playwright", "bitsandbytes", "flash_attn", "mcp")


@pytest.mark.slow
def test_the_checks_for_a_gpu_are_collected_without_the_pages_packages():
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); import pytest; "
        "sys.exit(pytest.main(['tests/devices', '-q', '-p', 'no:cacheprovider', '-m', 'gpu']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(done.stdout.split()[0]) in ({"s"}, {"."}), done.stdout  # skipped without a GPU, passed with one
