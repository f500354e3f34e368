"""AVUT, its human-annotated part (arXiv 2503.19951): a JSON list of questions with `option_A`, `option_B`, ...

One answer of the published file points at a blank option; such a question is kept as it is, since the papers count it.
"""

from __future__ import annotations

from pathlib import Path

from .annotations import BenchmarkReader, fields, grouped, question, read_rows, video_file
from .items import LETTERS, BenchmarkClip


def read(file: Path, folder: Path) -> list[BenchmarkClip]:
    """Rows grouped by video."""
    rows = []
    for number, row in enumerate(read_rows(file), 1):
        where = f"entry {number}"
        id, video, text, answer, kind, first = fields(row, where, "QA_id", "video_path", "question", "answer", "task_type", "option_A")
        options = [first]
        for letter in LETTERS[1:]:
            if row.get(f"option_{letter}") is None:
                break
            options.append(row[f"option_{letter}"])
        # A blank last option belongs to the question where the answer names it, and is a gap in the table of options elsewhere.
        while len(options) > 2 and not str(options[-1]).strip() and str(answer).strip() != LETTERS[len(options) - 1]:
            options.pop()
        path = video_file(folder, str(video), "videos", "video", "AV_Human_data", "AVUT")
        rows.append((str(video), path, question(str(id), where, text, options, answer, (("task type", kind),))))
    return grouped(rows)


AVUT = BenchmarkReader(
    name="avut",
    label="AVUT (human)",
    clips=None,
    questions=1734,
    mean_s=67.8,
    licence="see its page",
    home="https://huggingface.co/datasets/tsinghua-ee/AVUTBenchmark",
    paper="arXiv 2503.19951",
    files=("AV_Human_data.json", "**/AV_Human_data.json"),
    verified="This reader knows a list with QA_id, video_path, question, option_A to option_F, answer and task_type.",
    read=read,
)
