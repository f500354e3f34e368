"""From starting the program to the page, and from the first question about an example to both answers, as a visitor has it.

Every run is a process of its own: `app.py` on a free port with the embedded model, asked over HTTP by the library Gradio has
for that. The first run is not counted where there are several: it brings the files into the system's memory.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from ..errors import OmniZipError, UsageError

ROOT = Path(__file__).resolve().parents[2]
APP, EXAMPLE = ROOT / "app.py", ROOT / "assets" / "examples" / "bell.mp4"
QUESTION = "What colour is the shape when the bell rings?"
PATIENCE_S = 300
POLL_S = 0.02
TARGETS_S = {"page_s": 10, "compare_s": 5}


def measure(repeats: int, method: str = "omnizip", retention: float = 0.35) -> dict[str, Any]:
    """Start, ask once, stop; `repeats` times after one that is not counted.

    Returns:
        "runs": seconds of each run, "medians" over the runs, the targets, the model's conditions. `page_s`: start to the page's first
        byte; `ready_s`: start to the model that answers; `compare_s`: question sent, with its clip, to both answers there.

    Raises:
        UsageError: there is no app.py, as in an installed package, or Gradio is not installed. OmniZipError: the page did not come up.
    """
    if not (APP.is_file() and EXAMPLE.is_file()):
        raise UsageError("bench startup starts the page, app.py, which no installed package holds; run it in a clone of the repository.")
    try:
        from gradio_client import Client, handle_file
    except ImportError:
        raise UsageError("bench startup starts the page, and Gradio is not installed; pip install -r requirements.txt.") from None

    models: list[dict[str, Any]] = []

    def measure_once() -> dict[str, float]:
        with _serve_page() as (url, started, page_s):
            client = Client(url, verbose=False, httpx_kwargs={"timeout": PATIENCE_S})
            while True:
                asked = time.monotonic()
                try:
                    *answers, report = client.predict(
                        video=handle_file(str(EXAMPLE)), question=QUESTION, method=method, retention=retention, api_name="/compare"
                    )
                except Exception as problem:  # the client's errors differ in type, not in what they say
                    if "loading" not in str(problem) or asked - started > PATIENCE_S:
                        raise OmniZipError(f"The page is up but did not compare: {problem}") from None
                    time.sleep(POLL_S)
                    continue
                done = time.monotonic()
                if not all(answers) or len(report["runs"]) != 2:
                    raise OmniZipError("The page answered without two answers; see its log.")
                models.append(report["model"])
                return {"page_s": page_s, "ready_s": asked - started, "compare_s": done - asked}

    runs = [measure_once() for _ in range(repeats + 1)][1:]
    return {
        "model": models[-1],
        "example": EXAMPLE.name,
        "question": QUESTION,
        "method": method,
        "retention": retention,
        "runs": runs,
        "medians": {name: median(run[name] for run in runs) for name in runs[0]},
        "targets": TARGETS_S,
    }


@contextmanager
def _serve_page() -> Iterator[tuple[str, float, float]]:
    """The page's address, when it was started (monotonic seconds) and how long its first byte took."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMNIZIP_", "GRADIO_SERVER"))}
    environment |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(APP), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    started, url = time.monotonic(), f"http://127.0.0.1:{port}/"
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                with urlopen(url, timeout=PATIENCE_S) as answer:
                    answer.read(1)
                break
            except (URLError, OSError):
                if process.poll() is not None or time.monotonic() - started > PATIENCE_S:
                    raise OmniZipError(f"The page did not come up; start it by hand to see why: python {APP.name}") from None
                time.sleep(POLL_S)
        yield url, started, time.monotonic() - started
    finally:
        process.terminate()
        process.wait(30)


def markdown(result: dict[str, Any]) -> str:
    """One row per moment, with the median, the spread and the aim."""
    named = {
        "page_s": "start to the page",
        "ready_s": "start to a model that answers",
        "compare_s": f"first question about `{result['example']}` (8 s) to both answers",
    }
    lines = ["| from, to | median s | fastest to slowest s | aim s |", "| --- | ---: | ---: | ---: |"]
    for name, text in named.items():
        times = [run[name] for run in result["runs"]]
        aim = f"under {result['targets'][name]}" if name in result["targets"] else "–"
        lines.append(f"| {text} | {result['medians'][name]:.2f} | {min(times):.2f} to {max(times):.2f} | {aim} |")
    return "\n".join(lines)
