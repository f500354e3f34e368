"""The documents of our tasks in lmms-eval: questions as the benchmarks' readers find them, the words of a protocol, and the score.

An answer that names no option and one that could not be given are counted apart; neither is in the accuracy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...evaluation.benchmarks import READERS
from ...evaluation.benchmarks.examination import judged
from ...evaluation.benchmarks.items import BenchmarkClip, BenchmarkQuestion
from ...evaluation.benchmarks.protocols import PROTOCOLS

FOLDER = "OMNIZIP_BENCHMARKS"  # environment variable: the folder that holds the downloads, one folder each by the reader's name
FAILED = "[omnizip could not answer] "  # how an answer begins that is none
Document = Mapping[str, Any]


def documents(benchmark: str) -> list[dict[str, Any]]:
    """One document a question, in the order of the annotation.

    Raises:
        UsageError: OMNIZIP_BENCHMARKS is not set, or has no such download. AnnotationError: the annotation is not what its reader knows.
    """
    root = os.environ.get(FOLDER)
    if not root:
        raise UsageError(f"{FOLDER} is not set; set it to the folder with the downloads, which has {benchmark} in {benchmark}/.")
    return [
        {
            "id": question.id,
            "video": clip.video,
            "question": question.text,
            "options": list(question.options),
            "answer": question.answer,
            "groups": [f"{kind}: {which}" for kind, which in (*clip.groups, *question.groups)],
        }
        for clip in READERS[benchmark].load(Path(root) / benchmark)
        for question in clip.questions
    ]


def doc_to_visual(doc: Document) -> list[str]:
    """The video's path; the model reads its sound from the same file."""
    return [doc["video"]]


def doc_to_text(doc: Document, options: Mapping[str, Any]) -> str:
    """The words of the protocol that the task names."""
    return PROTOCOLS[options["protocol"]].words(BenchmarkClip("", doc["video"], ()), _question(doc))


def process_results(doc: Document, results: Sequence[str]) -> dict[str, str]:
    """Under every metric what the answer is worth: right, wrong, unparsed or failed."""
    failed = results[0].startswith(FAILED.strip())
    status = "failed" if failed else judged(_question(doc), results[0])["status"]
    return dict.fromkeys(("accuracy", "unparsed", "failed"), status)


def accuracy(statuses: Sequence[str]) -> float:
    """Percent right of the answers that name an option; NaN where none does."""
    right, wrong = statuses.count("right"), statuses.count("wrong")
    return 100 * right / (right + wrong) if right + wrong else math.nan


def unparsed(statuses: Sequence[str]) -> float:
    """Percent of all answers that name no option."""
    return 100 * statuses.count("unparsed") / max(1, len(statuses))


def failed(statuses: Sequence[str]) -> float:
    """Percent of all questions that could not be answered."""
    return 100 * statuses.count("failed") / max(1, len(statuses))


def _question(doc: Document) -> BenchmarkQuestion:
    return BenchmarkQuestion(doc["id"], doc["question"], tuple(doc["options"]), doc["answer"])
