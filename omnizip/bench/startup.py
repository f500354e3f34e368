"""From starting the program to the page, to the first look at it, and to the answers, as a visitor has it.

Every run is a process of its own: `app.py` on a free port with the embedded model, looked at by chromium where it and playwright are
installed, and asked over HTTP by the library Gradio has for that. Beside it, in the same run, stands what `import gradio` alone takes:
no page of Gradio's can be up before. The first run is not counted: it brings the files into the system's memory.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from ..errors import OmniZipError, UsageError

ROOT = Path(__file__).resolve().parents[2]
APP, EXAMPLES = ROOT / "app.py", tuple(ROOT / "assets" / "examples" / name for name in ("bell.mp4", "stripes.mp4"))
QUESTIONS = ("What colour is the shape when the bell rings?", "How many shapes appear?")
PATIENCE_S = 300
POLL_S = 0.02
TARGETS = {"page_ratio": 1.5, "page_s": 10, "look_s": 2, "layout_shift": 0.1, "compare_s": 5}
SIZE = {"width": 1360, "height": 900}
LOOKED = "document.querySelector('#headline .oz-ratio') && document.querySelector('.lens-facts tr')"
LOADED = "document.querySelector('.oz-model')"
SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""
NO_BROWSER = "First look and layout shift were not measured: that needs chromium and playwright (requirements-dev.txt)."

Look = Callable[[str], dict[str, float]]


def measure(repeats: int, method: str = "omnizip", retention: float = 0.35) -> dict[str, Any]:
    """Start, look, ask twice, stop; `repeats` times after one that is not counted.

    Returns:
        "runs": what each run came to, "medians" over the runs, the targets, the model's conditions. `gradio_s`: a Python that imports
        Gradio and nothing else; `page_s`: start to the page's first byte; `page_ratio`: over the former; `look_s`: a browser sent there
        to the finished comparison it shows, while the model loads; `layout_shift`: how much of it moved by itself until the model was
        there, as browsers sum it up; `answer_s`: start to both answers of a question asked after that look; `compare_s`: a second
        question sent, with another clip, to its both answers. Without a browser `look_s` and `layout_shift` are not there.

    Raises:
        UsageError: there is no app.py, as in an installed package, or Gradio is not installed. OmniZipError: the page did not come up.
    """
    if not all(path.is_file() for path in (APP, *EXAMPLES)):
        raise UsageError("bench startup starts the page, app.py, which no installed package holds; run it in a clone of the repository.")
    try:
        from gradio_client import Client, handle_file
    except ImportError:
        raise UsageError("bench startup starts the page, and Gradio is not installed; pip install -r requirements.txt.") from None

    models: list[dict[str, Any]] = []

    def ask(client: Any, example: Path, question: str) -> None:
        """Ask over HTTP; the call waits for the model where that is still to come."""
        try:
            *answers, report = client.predict(
                video=handle_file(str(example)), question=question, method=method, retention=retention, api_name="/compare"
            )
        except Exception as problem:  # the client's errors differ in type, not in what they say
            raise OmniZipError(f"The page is up but did not compare: {problem}") from None
        if not all(answers) or len(report["runs"]) != 2:
            raise OmniZipError("The page answered without two answers; see its log.")
        models.append(report["model"])

    def measure_once(look: Look | None) -> dict[str, float]:
        gradio_s = _import_gradio()
        with serve_page() as (url, started, page_s):
            run = {"gradio_s": gradio_s, "page_s": page_s, "page_ratio": page_s / gradio_s}
            seen = {} if look is None else look(url)
            client = Client(url, verbose=False, httpx_kwargs={"timeout": PATIENCE_S})
            ask(client, EXAMPLES[0], QUESTIONS[0])
            answered = time.monotonic()
            ask(client, EXAMPLES[1], QUESTIONS[1])
            return run | seen | {"answer_s": answered - started, "compare_s": time.monotonic() - answered}

    with _browser() as look:
        runs = [measure_once(look) for _ in range(repeats + 1)][1:]
    return {
        "model": models[-1],
        "examples": [example.name for example in EXAMPLES],
        "questions": QUESTIONS,
        "method": method,
        "retention": retention,
        "runs": runs,
        "medians": {name: median(run[name] for run in runs) for name in runs[0]},
        "targets": TARGETS,
    }


def _import_gradio() -> float:
    """Seconds of a Python that does this alone."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import gradio"], check=True, env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"})
    return time.monotonic() - started


@contextmanager
def _browser() -> Iterator[Look | None]:
    """What looks at a page with a fresh window of chromium's; None where there is none."""
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    with nullcontext() if path is None else sync_playwright() as playwright:
        if path is None or playwright is None:
            yield None
            return
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=path, headless=True, args=options)

        def look(url: str) -> dict[str, float]:
            context = chromium.new_context(viewport=SIZE)
            page = context.new_page()
            page.set_default_timeout(1000 * PATIENCE_S)
            page.add_init_script(SHIFTS)
            sent = time.monotonic()
            page.goto(url, wait_until="commit")
            page.wait_for_function(LOOKED)
            look_s = time.monotonic() - sent
            page.wait_for_function(LOADED)
            shift = page.evaluate("window.shift")
            context.close()
            return {"look_s": look_s, "layout_shift": shift}

        yield look
        chromium.close()


@contextmanager
def serve_page(flags: Sequence[str] = (), limits: Mapping[str, str] | None = None) -> Iterator[tuple[str, float, float]]:
    """The page's address, when it was started (monotonic seconds) and how long its first byte took.

    Args:
        flags: of app.py, beside those that name address and device; `limits`: variables of its environment.

    Raises:
        OmniZipError: it did not come up.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMNIZIP_", "GRADIO_SERVER"))}
    environment |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", **(limits or {})}
    command = [sys.executable, str(APP), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", *flags]
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
    """One row per moment, with the median, the spread and the aim; and what was not measured."""
    first, second = (f"`{name}`" for name in result["examples"])
    named = {
        "gradio_s": "`import gradio` alone, s",
        "page_s": "start to the page, s",
        "page_ratio": "the latter over the former",
        "look_s": "landing there to the first look, while the model loads, s",
        "layout_shift": "how much moved by itself until the model was there (layout shift)",
        "answer_s": f"start to both answers about {first} (8 s), asked before the model was there, s",
        "compare_s": f"the next question, about {second}, to both answers, s",
    }
    lines = ["| what | median | lowest to highest | aim |", "| --- | ---: | ---: | ---: |"]
    for name, text in named.items():
        if name not in result["medians"]:
            continue
        values = [run[name] for run in result["runs"]]
        aim = f"under {result['targets'][name]}" if name in result["targets"] else "–"
        lines.append(f"| {text} | {result['medians'][name]:.2f} | {min(values):.2f} to {max(values):.2f} | {aim} |")
    if "look_s" not in result["medians"]:
        lines += ["", NO_BROWSER]
    return "\n".join(lines)
