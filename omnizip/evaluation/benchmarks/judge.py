"""Facts that a description misses or invents, counted by a language model behind an OpenAI-style address.

The judge reads the reference and the description, never the clip, and answers in JSON. What it cannot say is nothing: a description
whose judgement fails stays unjudged, with the reason, and is asked about again by the same command.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import OmniZipError, UsageError
from ..arms import Entry
from ..runner import Record, RecordStore

KEY = "OMNIZIP_JUDGE_KEY"  # variable with the address's key, where it wants one
TIMEOUT_S = 120.0
INSTRUCTIONS = (
    "You compare a description of a video with a reference. List the separate facts of the reference: events, objects, sounds, words "
    "that are said, and their order. Count how many of them the description misses or gets wrong, and how many facts of the description "
    'contradict the reference or are not in it. Answer with JSON alone: {"facts": number of facts in the reference, "missed": number, '
    '"invented": number}.'
)


class JudgeError(OmniZipError):
    """The judge gave no judgement."""


@dataclass(frozen=True)
class Judge:
    """An address that answers chat completions, and the model to ask there."""

    address: str  # up to and with /v1
    model: str

    def __post_init__(self) -> None:
        if not re.match(r"https?://", self.address):
            raise UsageError(f"--judge is {self.address!r}; give an address such as http://127.0.0.1:8000/v1.")

    @property
    def name(self) -> str:
        """As a result's conditions name it."""
        return f"{self.model} at {self.address}"

    def count(self, reference: str, description: str) -> dict[str, int]:
        """Facts of the reference, and those missed and invented. Raises JudgeError in one sentence."""
        said = self._ask(f"Reference:\n{reference}\n\nDescription:\n{description}")
        found = re.search(r"\{.*\}", said, re.DOTALL)
        try:
            values = json.loads(found[0]) if found else {}
            counts = {name: int(values[name]) for name in ("facts", "missed", "invented")}
        except (ValueError, KeyError, TypeError, OverflowError):
            raise JudgeError(f"The judge {self.name} answered {said[:80]!r}, not the JSON it was asked for; try another model.") from None
        if min(counts.values()) < 0 or not counts["facts"] or counts["missed"] > counts["facts"]:
            raise JudgeError(f"The judge {self.name} counted {counts}, which cannot be; try another model.")
        return counts

    def _ask(self, text: str) -> str:
        messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": text}]
        body = json.dumps({"model": self.model, "messages": messages, "temperature": 0}).encode()
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.address.rstrip('/')}/chat/completions", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return str(json.load(answer)["choices"][0]["message"]["content"])
        except (OSError, http.client.HTTPException) as error:
            raise JudgeError(f"The judge {self.name} cannot be reached ({error}); check --judge and {KEY}.") from None
        except (ValueError, KeyError, IndexError, TypeError):
            raise JudgeError(f"{self.address} did not answer as a chat completion does; check --judge.") from None


Verdicts = dict[tuple[str, str, int], Mapping[str, Any]]


def judge_all(judge: Judge, records: Sequence[Record], entries: Sequence[Entry], store: RecordStore) -> tuple[Verdicts, list[str]]:
    """The judge's counts by clip, arm and question, made once each, and the reasons why some are missing."""
    verdicts, reasons = {}, []
    for task, reference, text in _said(records, entries):
        if task not in store.records:
            try:
                store.add(task, judge.count(reference, text))
            except JudgeError as error:
                reasons.append(str(error))
                continue
        verdicts[task] = store.records[task]
    return verdicts, list(dict.fromkeys(reasons))


def _said(records: Sequence[Record], entries: Sequence[Entry]) -> Iterator[tuple[tuple[str, str, int], str, str]]:
    """Every description that has a reference."""
    for record in records:
        for key in (key for entry in entries for key in entry.keys) if "failed" not in record else ():
            for number, (question, outcome) in enumerate(zip(record["questions"], record["arms"][key], strict=True)):
                if outcome["status"] == "said" and question["answer"]:
                    yield (record["clip"], key, number), question["answer"], outcome["text"]
