"""A server as anybody starts it, besieged: what breaks beside it, many visitors at once, pages left open, and being told to stop.

As a program: `python tests/support/siege.py --json FILE` takes half an hour on two cores and writes the table that docs/security.md shows.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT)]

from clips import make_clip  # noqa: E402
from damage import decoders_of  # noqa: E402
from served import free_port  # noqa: E402
from visitors import Tab  # noqa: E402

PATIENCE_S = 240.0


@dataclass
class Server:
    """`app.py` in a process of its own, whose files go to `folder`."""

    process: subprocess.Popen
    address: str
    folder: Path
    log: Path

    def rss_mb(self) -> float:
        """Megabytes of memory that are resident."""
        return int(re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())[0]) / 1000

    def files(self) -> list[str]:
        """What lies in its folder."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def ask(self, clip: Path, question: str = "What is seen?") -> Tab:
        """A new visitor who has just pressed Compare."""
        tab = Tab(self.address)
        tab.press("on_compare", tab.upload(clip), question)
        return tab

    def answers(self, clip: Path) -> bool:
        """Whether one more visitor gets an answer."""
        tab = self.ask(clip)
        try:
            return answered(tab)
        finally:
            tab.http.close()


def answered(tab: Tab, patience_s: float = PATIENCE_S) -> bool:
    """Whether the run of a visitor ended with both answers, not with a sentence instead."""
    end = tab.ended(patience_s)
    return bool(end and end["success"] and "of the tokens read" in json.dumps(tab.heard))


def told(tab: Tab, patience_s: float = PATIENCE_S) -> str | None:
    """The sentence that a run of a visitor ended with, or that stands beside its answer; None where nothing was said."""
    if (end := tab.ended(patience_s)) is None:
        return None
    if not end["success"]:
        return (end.get("output") or {}).get("error")
    problems = [text for text in _texts([message.get("output") for message in tab.heard]) if 'role="alert"' in text]
    return html.unescape(re.sub(r"<[^>]+>", "", problems[-1])) if problems else None


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for part in data.values() if isinstance(data, dict) else data:
            yield from _texts(part)


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Server]:
    """Yields a server that answers; ends it, if it still runs, in the end."""
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(files), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}
    environment.pop("GRADIO_TEMP_DIR", None)
    port, log = free_port(), folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), *flags], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    server = Server(process, f"http://127.0.0.1:{port}", files, log)
    try:
        wait(lambda: process.poll() is not None or _is_up(server.address))
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        yield server
    finally:
        process.kill()
        process.wait()


def _is_up(address: str) -> bool:
    try:
        return "being loaded" not in httpx.get(f"{address}/config", timeout=5).raise_for_status().text
    except httpx.HTTPError:
        return False


def wait(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What comes of `what` once it is something. Raises TimeoutError where it stays nothing."""
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {patience_s:.0f} s")
        time.sleep(0.02)
    return found


# ---- what breaks beside it: each does its harm while a visitor waits, and gives back what that visitor was told


def kill_decoder(server: Server, clips: Clips) -> str | None:
    tab = server.ask(clips.fresh())
    os.kill(wait(lambda: decoders_of(server.process.pid))[0], signal.SIGKILL)
    return told(tab)


def stop_decoder(server: Server, clips: Clips) -> str | None:
    tab = server.ask(clips.fresh())
    os.kill(wait(lambda: decoders_of(server.process.pid))[0], signal.SIGSTOP)
    return told(tab)


def starve_decoder(server: Server, clips: Clips) -> str | None:
    tab = server.ask(clips.fresh())
    decoder = wait(lambda: decoders_of(server.process.pid))[0]
    resource.prlimit(decoder, resource.RLIMIT_AS, (1 << 20, 1 << 20))  # it gets no more than it has
    return told(tab)


def leave_while_decoding(server: Server, clips: Clips) -> None:
    tab = server.ask(clips.fresh())
    wait(lambda: decoders_of(server.process.pid))
    tab.close()
    wait(lambda: not decoders_of(server.process.pid))


def leave_while_encoding(server: Server, clips: Clips) -> None:
    tab = server.ask(clips.fresh())
    wait(lambda: "Looking" in str(tab.heard) or "process_completed" in tab.kinds())
    tab.close()


def leave_while_answering(server: Server, clips: Clips) -> None:
    tab = server.ask(clips.fresh())
    wait(lambda: "Answering" in str(tab.heard) or "process_completed" in tab.kinds())
    tab.close()


def leave_while_waiting(server: Server, clips: Clips) -> None:
    first, second = server.ask(clips.fresh()), server.ask(clips.known)
    wait(lambda: second.heard)
    second.close()
    first.ended()
    first.http.close()


def leave_in_an_upload(server: Server, clips: Clips) -> None:
    def cut() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="cut.mp4"\r\n\r\n' + bytes(1 << 20)
        raise ConnectionError

    with suppress(ConnectionError, httpx.HTTPError):
        httpx.post(f"{server.address}/gradio_api/upload", content=cut(), headers={"Content-Type": "multipart/form-data; boundary=x"})


def remove_folder(server: Server, clips: Clips) -> str | None:
    tab = server.ask(clips.fresh())
    wait(lambda: "Answering" in str(tab.heard) or "process_completed" in tab.kinds())
    for run in server.folder.glob("omnizip-run-*"):
        shutil.rmtree(run, ignore_errors=True)
    return told(tab)


def fill_disk(server: Server, clips: Clips) -> str | None:
    """Only where the server's folder is a small file system of its own."""
    tab = server.ask(clips.fresh())
    wait(lambda: "Looking" in str(tab.heard) or "process_completed" in tab.kinds())
    filler = server.folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    try:
        return told(tab)
    finally:
        filler.unlink()


Fault = Callable[[Server, "Clips"], "str | None"]
FAULTS: dict[str, Fault] = {
    "decoder killed": kill_decoder,
    "decoder stopped": stop_decoder,
    "decoder out of memory": starve_decoder,
    "client gone in an upload": leave_in_an_upload,
    "client gone in the queue": leave_while_waiting,
    "client gone while decoding": leave_while_decoding,
    "client gone while encoding": leave_while_encoding,
    "client gone while answering": leave_while_answering,
    "disk full": fill_disk,
    "temporary folder gone": remove_folder,
}


class Clips:
    """Clips to ask about: one that is known by now, and as many as wanted that take a while to read."""

    def __init__(self, folder: Path) -> None:
        self.known = make_clip(folder / "known.mp4", seconds=1)
        self._long = make_clip(folder / "long.mp4", seconds=20, size=(640, 480)).read_bytes()
        self._folder, self._made = folder, 0

    def fresh(self) -> Path:
        """A clip nobody has read before."""
        self._made += 1
        path = self._folder / f"fresh-{self._made}.mp4"
        path.write_bytes(self._long + b"\x00\x00\x00\x0c" + b"free" + self._made.to_bytes(4, "big"))  # an empty box behind
        return path


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """A file system of its own at `folder`, where this process may mount one; whether it could."""
    folder.mkdir(parents=True)
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "siege", str(folder)], capture_output=True, check=False
    ).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def inject_faults(folder: Path) -> list[dict[str, Any]]:
    """Each fault once, in turn on one server: what the visitor was told, and whether the next one was answered."""
    rows = []
    with small_disk(folder / "files", 64) as small, serving(folder, "--decode-timeout-s", "15", "--max-new-tokens", "4") as server:
        clips = Clips(folder)
        for name, fault in FAULTS.items():
            if fault is fill_disk and not small:
                continue
            sentence = fault(server, clips)
            rows.append({"fault": name, "told": sentence, "next_answered": server.answers(clips.known)})
            wait(lambda: not decoders_of(server.process.pid), 60)
        assert server.process.poll() is None
    return rows


# ---- visitors


def visit(server: Server, number: int, clip: Path, start: threading.Event, deadline: float, outcomes: list[str]) -> None:
    """One visitor asks until it is served; `outcomes` gets served, lost or crossed, and refused for every time it was told to wait."""
    question = f"What is seen, asker-{number:03d}?"
    start.wait()
    while time.monotonic() < deadline:
        tab = Tab(server.address)
        try:
            tab.press("on_compare", tab.upload(clip), question)
            end = tab.ended(deadline - time.monotonic())
            refused = bool(end and not end["success"] and end.get("output", {}).get("error"))
        except httpx.HTTPStatusError as refusal:
            end, refused = None, refusal.response.status_code in (429, 503) and "detail" in refusal.response.json()
        finally:
            tab.http.close()  # the stream has ended with the answer
        if end and end["success"]:
            heard = str(tab.heard)
            named = set(re.findall(r"clip-\d{3}", heard))
            report = httpx.get(f"{tab.base}/file={re.search(r'/[^ ]*-report[.]json', heard)[0]}").raise_for_status().json()
            own = named == {clip.stem} and question in str(report) and set(re.findall(r"asker-(\d{3})", str(report))) == {f"{number:03d}"}
            outcomes.append("served" if own else "crossed")
            return
        if not refused:
            break
        outcomes.append("refused")
        time.sleep(0.5)
    outcomes.append("lost")


def visit_at_once(folder: Path, count: int) -> dict[str, int]:
    """How often each outcome came, with so many visitors who start at the same moment."""
    clips = [make_clip(folder / f"clip-{number:03d}.mp4", seconds=1) for number in range(count)]
    flags = ("--queue-size", str(max(2, count // 3)), "--waiting-per-visitor", str(count), "--max-new-tokens", "2")
    with serving(folder, *flags, "--upload-mb-per-hour", "100000") as server:
        start, deadline, outcomes = threading.Event(), time.monotonic() + 900, []
        threads = [
            threading.Thread(target=visit, args=(server, number, clip, start, deadline, outcomes)) for number, clip in enumerate(clips)
        ]
        for thread in threads:
            thread.start()
        start.set()
        for thread in threads:
            thread.join()
    counts = Counter(outcomes)
    return {"visitors": count, **{name: counts[name] for name in ("served", "refused", "lost", "crossed")}}


def leave_pages_open(folder: Path, count: int, warm: int) -> dict[str, Any]:
    """Comparisons one after another whose pages all stay open: the server's memory, medians over the ten runs to a mark."""
    sizes = []
    flags = ("--open-pages", "20", "--max-new-tokens", "2", "--waiting-per-visitor", "100", "--upload-mb-per-hour", "100000")
    with serving(folder, *flags) as server:
        clip, tabs = make_clip(folder / "clip.mp4", seconds=2), []
        for turn in range(count):
            tabs.append(server.ask(clip, f"What is seen, {turn}?"))
            if not answered(tabs[-1]):
                raise RuntimeError(f"comparison {turn} was not answered")
            sizes.append(server.rss_mb())
        for tab in tabs:
            tab.http.close()
    early, late = (statistics.median(sizes[max(0, at - 10) : at]) for at in (warm, count))
    return {"pages": count, "warm": warm, "warm_mb": early, "last_mb": late, "grown": late / early - 1}


def tell_to_stop(folder: Path) -> dict[str, Any]:
    """SIGTERM in the middle of an answer: seconds to the exit, and what is left in its folder."""
    with serving(folder, "--max-new-tokens", "100000") as server:
        tab = server.ask(make_clip(folder / "clip.mp4", seconds=4))
        wait(lambda: "Answering" in str(tab.heard))
        begun = time.monotonic()
        server.process.terminate()
        server.process.wait(60)
        seconds = time.monotonic() - begun
        tab.http.close()
        return {"seconds": seconds, "status": server.process.returncode, "files_left": len(server.files())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--pages", type=int, default=500)
    parser.add_argument("--warm", type=int, default=200, help="pages after which memory has to stay as it is")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {
            "faults": inject_faults,
            "visitors": lambda place: visit_at_once(place, arguments.visitors),
            "stop": tell_to_stop,
            "open_pages": lambda place: leave_pages_open(place, arguments.pages, arguments.warm),
        }
        found: dict[str, Any] = {}
        for part, run in parts.items():
            (folder / part).mkdir()
            found[part] = run(folder / part)
            print(part, json.dumps(found[part]), flush=True)  # it takes a while
    date = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    command = f"python tests/support/siege.py --visitors {arguments.visitors} --pages {arguments.pages} --warm {arguments.warm}"
    conditions = {"date": date, "cores": os.cpu_count(), "load_average": os.getloadavg(), "command": command}
    arguments.json.write_text(json.dumps({**found, "conditions": conditions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
