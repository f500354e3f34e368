"""OmniVideoBench (arXiv 2510.10689): a JSON list of videos, each with its questions; the right option stands as text or as letter.

The download is behind a form on the Hub.
"""

from __future__ import annotations

from pathlib import Path

from .annotations import AnnotationError, BenchmarkReader, fields, question, read_rows, video_file
from .items import BenchmarkClip

MINUTES = (1, 5, 10, 30)  # edges of the groups of length


def read(file: Path, folder: Path) -> list[BenchmarkClip]:
    """Every video with its questions."""
    clips = []
    for number, entry in enumerate(read_rows(file), 1):
        where = f"entry {number}"
        video, duration, questions = fields(entry, where, "video", "duration", "questions")
        if not isinstance(questions, list) or not questions:
            raise AnnotationError(f"{where} ({video}) has no list of questions.")
        asked = []
        for place, row in enumerate(questions, 1):
            here = f"question {place} of {video}"
            text, options, answer, kind = fields(row, here, "question", "options", "correct_option", "question_type")
            groups = (("task type", kind), ("audio class", row.get("audio_type")))
            asked.append(question(f"{video}/{place}", here, text, options, answer, groups))
        name = str(video) if Path(str(video)).suffix else f"{video}.mp4"
        groups = (("duration", _length_group(str(duration), where)),)
        clips.append(BenchmarkClip(str(video), video_file(folder, name, "videos", "video"), tuple(asked), groups))
    return clips


def _length_group(duration: str, where: str) -> str:
    try:
        parts = [int(part) for part in duration.split(":")]
    except ValueError:
        parts = []
    if len(parts) not in (2, 3):
        raise AnnotationError(f"{where} has the duration {duration!r}; minutes and seconds such as 03:20 were expected.")
    seconds = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    edges = [0, *MINUTES]
    number = sum(seconds >= 60 * edge for edge in MINUTES)
    return f"{edges[number]}-{edges[number + 1]} min" if number < len(MINUTES) else f"from {MINUTES[-1]} min"


OMNIVIDEOBENCH = BenchmarkReader(
    name="omnivideobench",
    label="OmniVideoBench",
    clips=628,
    questions=1000,
    mean_s=384.2,
    licence="behind a form on its page",
    home="https://huggingface.co/datasets/NJU-LINK/OmniVideoBench",
    paper="arXiv 2510.10689",
    files=("data.json", "*OmniVideoBench*.json*", "*omnivideobench*.json*"),
    verified="This reader knows a list with video, duration, and questions of question, options, correct_option and question_type.",
    read=read,
)
