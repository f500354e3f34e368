"""ShortVid-Bench (of ARC-Hunyuan-Video, arXiv 2507.20939): a JSON list of questions.

The field names are those of a third party's loader; the official file was not at hand to compare them with.
"""

from __future__ import annotations

from pathlib import Path

from .annotations import BenchmarkReader, fields, grouped, question, read_rows, video_file
from .items import BenchmarkClip


def read(file: Path, folder: Path) -> list[BenchmarkClip]:
    """Rows grouped by video."""
    rows = []
    for number, row in enumerate(read_rows(file), 1):
        where = f"entry {number}"
        video, text, options, answer, kind = fields(row, where, "video", "question", "candidates", "answer", "problem_type")
        path = video_file(folder, str(video), "videos", "video")
        asked = question(f"{video}/{number}", where, text, options, answer, (("task type", kind),))
        rows.append((str(video), path, asked))
    return grouped(rows)


SHORTVID = BenchmarkReader(
    name="shortvid",
    label="ShortVid-Bench",
    clips=None,
    questions=1000,
    mean_s=None,
    licence="Apache-2.0 as its card says",
    home="https://huggingface.co/datasets/TencentARC/ShortVid-Bench",
    paper="arXiv 2507.20939",
    files=("ShortVid-Bench-1k.json", "annotations.json", "*ShortVid*.json*", "*shortvid*.json*"),
    verified=(
        "The official format could not be verified; this reader expects a list with video, question, candidates, answer and "
        "problem_type, as a third party's loader has it."
    ),
    read=read,
)
