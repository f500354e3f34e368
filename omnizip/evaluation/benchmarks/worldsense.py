"""WorldSense (arXiv 2502.04326): one JSON object, video -> facts and `task0`, `task1`, ..., as downloaded from the Hub.

The papers report its accuracy by domain and on average over all questions.
"""

from __future__ import annotations

import re
from pathlib import Path

from .annotations import AnnotationError, BenchmarkReader, fields, question, read_mapping, video_file
from .items import BenchmarkClip

TASK = re.compile(r"task\d+")
LENGTHS_S = (60, 120, 240, 480)  # edges of the groups that the paper's figures use


def read(file: Path, folder: Path) -> list[BenchmarkClip]:
    """Every video with its tasks."""
    clips = []
    for id, entry in read_mapping(file).items():
        duration, domain, audio = fields(entry, f"video {id}", "duration", "domain", "audio_class")
        tasks = [name for name in entry if TASK.fullmatch(name)]
        if not tasks:
            raise AnnotationError(f"video {id} has no task0; found are {', '.join(entry)}.")
        classes = audio if isinstance(audio, list) else [part.strip() for part in str(audio).split(",")]
        groups = (
            ("domain", str(domain)),
            ("duration", length_group(duration, f"video {id}")),
            *(("audio class", str(name)) for name in classes if name),
        )
        asked = []
        for name in tasks:
            where = f"{name} of video {id}"
            text, options, answer, kind = fields(entry[name], where, "question", "candidates", "answer", "task_type")
            asked.append(question(f"{id}/{name}", where, text, options, answer, (("task type", kind),)))
        clips.append(BenchmarkClip(id, video_file(folder, f"{id}.mp4", "videos"), tuple(asked), groups))
    return clips


def length_group(duration_s: object, where: str) -> str:
    """Which of the groups a length lies in. Raises AnnotationError where it is no number of seconds."""
    try:
        seconds = float(str(duration_s))
    except ValueError:
        raise AnnotationError(f"{where} has the duration {duration_s!r}; a number of seconds was expected.") from None
    edges = [0, *LENGTHS_S]
    number = sum(seconds >= edge for edge in LENGTHS_S)
    return f"{edges[number]}-{edges[number + 1]} s" if number < len(LENGTHS_S) else f"from {LENGTHS_S[-1]} s"


WORLDSENSE = BenchmarkReader(
    name="worldsense",
    label="WorldSense",
    clips=1662,
    questions=3172,
    mean_s=141.1,
    licence="see its page",
    home="https://huggingface.co/datasets/honglyhly/WorldSense",
    paper="arXiv 2502.04326",
    files=("worldsense_qa.json", "*worldsense*.json", "*WorldSense*.json"),
    verified="This reader knows the object by video of worldsense_qa.json, with duration, domain, audio_class and task0, task1, ...",
    read=read,
)
