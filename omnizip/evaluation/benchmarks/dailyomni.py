"""Daily-Omni (arXiv 2505.17862): `qa.json`, a list of questions; the video of ID, 30 or 60 s long, is `Videos/ID/ID_video.mp4`."""

from __future__ import annotations

from pathlib import Path

from .annotations import BenchmarkReader, fields, grouped, question, read_rows, video_file
from .items import BenchmarkClip


def read(file: Path, folder: Path) -> list[BenchmarkClip]:
    """Rows grouped by video."""
    rows = []
    for number, row in enumerate(read_rows(file), 1):
        where = f"entry {number}"
        text, options, answer, id, kind = fields(row, where, "Question", "Choice", "Answer", "video_id", "Type")
        groups = (("task type", kind), ("duration", row.get("video_duration")), ("domain", row.get("video_category")))
        path = video_file(folder, f"{id}/{id}_video.mp4", "Videos", "videos")
        rows.append((str(id), path, question(f"{id}/{number}", where, text, options, answer, groups)))
    return grouped(rows)


DAILYOMNI = BenchmarkReader(
    name="dailyomni",
    label="Daily-Omni",
    clips=684,
    questions=1197,
    mean_s=None,
    licence="CC BY-NC-SA 4.0 as its card says",
    home="https://huggingface.co/datasets/liarliar/Daily-Omni",
    paper="arXiv 2505.17862",
    files=("qa.json", "**/qa.json"),
    verified="This reader knows the list of qa.json, with Question, Choice, Answer, video_id, Type and video_duration.",
    read=read,
)
