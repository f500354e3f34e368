"""What a page answers when many ask at once: answers a minute, the wait for one's turn, the first word.

The page is `app.py` in a process of its own, without Ray or with copies of the model on it. Every visitor has a clip of its own and
asks one question after the other, each as soon as the one before is answered, over HTTP as a browser's tab does. All share the
machine with the page and its copies, so that copies on the CPU can only add what one leaves unused.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from ..errors import OmniZipError, UsageError
from .startup import APP, EXAMPLES, PATIENCE_S, QUESTIONS, serve_page

QUEUE = 1024  # visitors that may wait: what a page refuses is not what is measured
LIMITS = {"OMNIZIP_QUEUE_SIZE": str(QUEUE), "OMNIZIP_WAITING_PER_VISITOR": str(QUEUE), "OMNIZIP_UPLOAD_MB_PER_HOUR": "100000"}
MOST_VISITORS = 200


@dataclass(frozen=True)
class Answered:
    """One question as its visitor had it, seconds from asking."""

    waited_s: float  # until its turn came
    first_word_s: float
    done_s: float


class Visitor:
    """A tab: it uploads, asks over the page's queue and hears what comes, on connections of its own."""

    def __init__(self, address: str) -> None:
        place = urlsplit(address)
        self._host, self._session = f"{place.hostname}:{place.port}", uuid.uuid4().hex
        config = self._call("GET", "/config")
        (self._event,) = [event for event in config["dependencies"] if event["api_name"] == "compare"]

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Send a clip; returns what stands for it in questions."""
        mark = uuid.uuid4().hex
        head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: video/mp4\r\n\r\n'
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        (path,) = self._call("POST", "/gradio_api/upload", body, f"multipart/form-data; boundary={mark}")
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def ask(self, clip: dict[str, Any], question: str, method: str, retention: float) -> Answered:
        """Ask and read the answer to its end. Raises OmniZipError where there is none."""
        given = [clip, question, method, retention]
        data = given + [None] * (len(self._event["inputs"]) - len(given))
        body = {"data": data, "fn_index": self._event["id"], "session_hash": self._session}
        asked = time.monotonic()
        self._call("POST", "/gradio_api/queue/join", json.dumps(body).encode(), "application/json")
        began = first = None
        for message in self._heard():
            now = time.monotonic() - asked
            if message["msg"] == "process_starts":
                began = now
            elif message["msg"] == "process_generating" and first is None:
                first = now
            elif message["msg"] == "process_completed":
                if not message["success"] or began is None or first is None:
                    raise OmniZipError(f"The page did not answer: {message.get('output')}")
                return Answered(began, first, now)
        raise OmniZipError("The page ended without an answer.")

    def _heard(self) -> Iterator[dict[str, Any]]:
        with closing(http.client.HTTPConnection(self._host, timeout=PATIENCE_S)) as line:
            line.request("GET", f"/gradio_api/queue/data?session_hash={self._session}")
            for told in line.getresponse():
                if told.startswith(b"data:"):
                    yield json.loads(told[5:])

    def _call(self, verb: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        with closing(http.client.HTTPConnection(self._host, timeout=PATIENCE_S)) as line:
            line.request(verb, path, body, {"Content-Type": kind} if kind else {})
            answer = line.getresponse()
            told = answer.read()
            if answer.status != 200:
                raise OmniZipError(f"The page refused {path}: {answer.status} {told[:200]!r}")
            return json.loads(told)


def measure(
    copies: Sequence[int], visitors: Sequence[int], questions: int, method: str = "omnizip", retention: float = 0.35
) -> dict[str, Any]:
    """Ask every page of so many copies by so many visitors, `questions` each.

    Args:
        copies: 0 for a page without Ray.

    Returns:
        "rows": per page and number of visitors what a minute brought and how long visitors waited; a refused question counts in `failed`.

    Raises:
        UsageError: there is no app.py. OmniZipError: the page did not come up, as without Ray.
    """
    if not all(path.is_file() for path in (APP, *EXAMPLES)):
        raise UsageError("bench serve starts the page, app.py, which no installed package holds; run it in a clone of the repository.")
    rows = []
    for count in copies:
        with serve_page(("--replicas", str(count)) if count else (), LIMITS) as (address, _, _):
            _crowd(address, max(2, 2 * count), 1, method, retention)  # the model comes, and everything is used once
            for crowd in visitors:
                rows.append({"through": "page", "copies": count, **_crowd(address, crowd, questions, method, retention)})
    return {"method": method, "retention": retention, "questions_each": questions, "clip": EXAMPLES[0].name, "rows": rows}


def _crowd(address: str, size: int, questions: int, method: str, retention: float) -> dict[str, Any]:
    """So many visitors at once, and what they had of it."""
    film, answered, failed, lock = EXAMPLES[0].read_bytes(), [], [], threading.Lock()
    ready = threading.Barrier(size + 1)

    def visit(number: int) -> None:
        try:
            visitor = Visitor(address)
            clip = visitor.upload(EXAMPLES[0].name, own_copy(film))
        finally:
            ready.wait()
        for turn in range(questions):
            try:
                had = visitor.ask(clip, QUESTIONS[turn % len(QUESTIONS)], method, retention)
                with lock:
                    answered.append(had)
            except (OmniZipError, OSError, http.client.HTTPException) as problem:
                with lock:
                    failed.append(str(problem))

    threads = [threading.Thread(target=visit, args=(number,), daemon=True) for number in range(size)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.monotonic()
    for thread in threads:
        thread.join()
    return {"visitors": size, "failed": len(failed), "spent_s": time.monotonic() - start, **summary(answered, time.monotonic() - start)}


def own_copy(film: bytes) -> bytes:
    """The same film with a box behind it that players skip, so that it is another clip."""
    box = uuid.uuid4().bytes
    return film + (8 + len(box)).to_bytes(4, "big") + b"free" + box


def summary(answered: Sequence[Answered], spent_s: float) -> dict[str, Any]:
    """Answers a minute, and medians and 95th percentiles of what visitors waited; None where nobody was answered."""
    found: dict[str, Any] = {"answers": len(answered), "answers_per_minute": 60 * len(answered) / spent_s}
    for name in ("waited_s", "first_word_s", "done_s"):
        times = sorted(getattr(had, name) for had in answered)
        late = times[min(len(times) - 1, int(0.95 * len(times)))] if times else None
        found[name] = {"median": median(times) if times else None, "p95": late}
    return found


def markdown(result: dict[str, Any]) -> str:
    """One row per page and number of visitors."""
    lines = [
        "| copies | visitors | answers a minute | wait for the turn, median (95th percentile) s | first word s | whole answer s | failed |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        spans = [
            "–" if row[name]["median"] is None else f"{row[name]['median']:.1f} ({row[name]['p95']:.1f})"
            for name in ("waited_s", "first_word_s", "done_s")
        ]
        copies = row["copies"] or "one, without Ray"
        lines.append(f"| {copies} | {row['visitors']} | {row['answers_per_minute']:.0f} | {' | '.join(spans)} | {row['failed']} |")
    return "\n".join(lines)
