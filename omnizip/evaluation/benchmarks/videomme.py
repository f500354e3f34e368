"""Video-MME (arXiv 2405.21075): one row a question, as on the Hub (Parquet) or the same as JSON or JSON Lines; subtitles are .srt files.

Short clips have up to 2 minutes, medium ones 4 to 15, long ones 30 to 60. Without subtitles unless they are asked for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from .annotations import BenchmarkReader, fields, grouped, question, read_rows, video_file
from .items import BenchmarkClip

TIMES = re.compile(r"^\s*(\d+|[\d:,.]+\s*-->.*)\s*$")
MARKUP = re.compile(r"<[^>]+>|\{\\[^}]*\}")


def read(file: Path, folder: Path) -> list[BenchmarkClip]:
    """Rows grouped by video; the subtitles of a video where there are some."""
    rows = []
    for number, row in enumerate(read_rows(file), 1):
        where = f"row {number}"
        names = ("videoID", "question", "options", "answer", "duration", "domain", "task_type")
        video, text, options, answer, duration, domain, kind = fields(row, where, *names)
        groups = (("duration", duration), ("domain", domain), ("task type", kind))
        id = str(row.get("question_id") or f"{video}-{number}")
        rows.append(
            (str(video), video_file(folder, f"{video}.mp4", "data", "videos", "video"), question(id, where, text, options, answer, groups))
        )
    return [replace(clip, subtitles=_subtitles(folder, clip.id)) for clip in grouped(rows)]


def _subtitles(folder: Path, video: str) -> str | None:
    return next((str(path) for place in ("subtitle", "subtitles") if (path := folder / place / f"{video}.srt").is_file()), None)


def read_subtitles(path: str) -> str:
    """The words of an .srt file: without numbers, times and markup, and without lines said twice in a row."""
    lines: list[str] = []
    for line in Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines():
        words = MARKUP.sub("", line).strip()
        if words and not TIMES.match(line) and (not lines or lines[-1] != words):
            lines.append(words)
    return "\n".join(lines)


VIDEOMME = BenchmarkReader(
    name="videomme",
    label="Video-MME",
    clips=900,
    questions=2700,
    mean_s=1017.9,
    licence="see its page",
    home="https://huggingface.co/datasets/lmms-lab/Video-MME",
    paper="arXiv 2405.21075",
    files=("videomme/test-*.parquet", "test-*.parquet", "*videomme*.json*", "*Video-MME*.json*"),
    verified="This reader knows rows with videoID, question, options, answer, duration, domain and task_type.",
    read=read,
    long=True,
)
