"""`python -m omnizip.integrations.vllm.throughput`: many requests at once to a running server, with and without pruning, in one run.

Each request is about a clip that no cache knows, by an identity of its own. The server must run with `--trust-request-mm-kwargs`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from ...cli.console import say
from ...model.conditions import processor_name
from .own_server import own_server
from .pruning import Pruning

AT_ONCE = (1, 4, 16)
QUESTION = "What is seen, and what is heard?"


@dataclass(frozen=True)
class Load:
    """What is asked of a server: clips in turn, each about the same question; arms take turns, `rounds` times."""

    clips: Sequence[Path]
    question: str = QUESTION
    requests: int = 8  # a round, or as many as are asked at once
    rounds: int = 2
    at_once: Sequence[int] = AT_ONCE
    tokens: int = 16  # of an answer, at most


def measure(client: Any, model: str, load: Load, arms: Sequence[Pruning]) -> list[dict[str, Any]]:
    """One row an arm and number of requests at once: answers a minute, seconds to the first word, tokens read.

    Args:
        client: openai.OpenAI of the server.
    """
    data = [base64.b64encode(clip.read_bytes()).decode() for clip in load.clips]
    for arm in arms:
        _ask(client, model, load, data[0], arm)  # first use is not measured
    rows = []
    for at_once in load.at_once:
        answers, took = [[] for _ in arms], [0.0 for _ in arms]
        asked = list(islice(cycle(data), max(load.requests, at_once)))
        for i in load.rounds * list(range(len(arms))):
            with ThreadPoolExecutor(at_once) as pool:
                started = time.perf_counter()
                answers[i] += pool.map(lambda clip, arm=arms[i]: _ask(client, model, load, clip, arm), asked)
                took[i] += time.perf_counter() - started
        rows += [_row(at_once, arm, answers[i], took[i]) for i, arm in enumerate(arms)]
    return rows


def _row(at_once: int, arm: Pruning, answers: Sequence[Mapping[str, float]], seconds: float) -> dict[str, Any]:
    first = sorted(answer["first_word_s"] for answer in answers)
    return {
        "at_once": at_once,
        "method": arm.method,
        "retention": arm.retention,
        "requests": len(answers),
        "seconds": seconds,
        "answers_per_minute": 60 * len(answers) / seconds,
        "first_word_s": statistics.median(first),
        "slowest_first_word_s": first[-1],
        "prompt_tokens": statistics.mean(answer["prompt_tokens"] for answer in answers),
    }


def _ask(client: Any, model: str, load: Load, clip: str, arm: Pruning) -> dict[str, float]:
    """One streamed answer."""
    video = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{clip}"}, "uuid": uuid.uuid4().hex}
    started, first, read = time.perf_counter(), None, 0
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": [video, {"type": "text", "text": load.question}]}],
        temperature=0,
        max_tokens=load.tokens,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={
            "ignore_eos": True,  # all answers are equally long
            "mm_processor_kwargs": {"use_audio_in_video": True, "omnizip": {"method": arm.method, "retention": arm.retention}},
        },
    )
    for part in stream:
        if part.choices and first is None and (part.choices[0].delta.content or part.choices[0].delta.role is None):
            first = time.perf_counter() - started
        if part.usage:
            read = part.usage.prompt_tokens
    return {"first_word_s": first if first is not None else time.perf_counter() - started, "prompt_tokens": read}


def markdown(result: Mapping[str, Any]) -> str:
    """The rows as a table, and what they depend on."""
    lines = [
        "| requests at once | reads | tokens read | answers a minute | first word after | slowest |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        what = "all tokens" if row["method"] == "full" else f"{row['retention']:.0%} by `{row['method']}`"
        times = f"{row['first_word_s']:.1f} s | {row['slowest_first_word_s']:.1f} s"
        lines.append(f"| {row['at_once']} | {what} | {row['prompt_tokens']:.0f} | {row['answers_per_minute']:.1f} | {times} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Ask a server, show the table and write the measurements."""
    import openai
    from vllm import __version__ as version

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, help="mp4 files with sound")
    parser.add_argument("--base-url", help="of a running server (default: one of random weights, started and stopped here)")
    parser.add_argument("--requests", type=int, default=Load.requests, help="an arm, round and number at once (default: %(default)s)")
    parser.add_argument("--at-once", type=int, nargs="+", default=list(AT_ONCE))
    parser.add_argument("--retention", type=float, default=0.35)
    parser.add_argument("--methods", nargs="+", default=["omnizip"], help="beside the full model (default: omnizip)")
    parser.add_argument("--json", type=Path, help="write the measurements")
    given = parser.parse_args(argv)
    arms = [Pruning("full", 1.0), *(Pruning(method, given.retention) for method in given.methods)]
    load = Load(given.clips, requests=given.requests, at_once=given.at_once)
    with own_server() if given.base_url is None else nullcontext(given.base_url) as address:
        client = openai.OpenAI(base_url=address, api_key=os.environ.get("OPENAI_API_KEY", "none"), timeout=1800, max_retries=0)
        model, before = client.models.list().data[0].id, os.getloadavg()[0]
        rows = measure(client, model, load, arms)
    conditions = {
        "model": model,
        "own_server": given.base_url is None,
        "vllm": version,
        "clips": [clip.name for clip in given.clips],
        "tokens_of_an_answer": load.tokens,
        "rounds": load.rounds,
        "device": processor_name(),
        "cores": os.cpu_count(),
        "load_average": [before, os.getloadavg()[0]],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    result = {"conditions": conditions, "rows": rows}
    say(markdown(result))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
