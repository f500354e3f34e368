"""Descriptions of whole clips: video-SALMONN 2's caption test (arXiv 2506.15220), or clips of your own.

The official `video_salmonn2_test.json` is a list with `video`, a file name, and `events`, the facts a description should have. Clips of
your own are JSON Lines of `video`, a path within the folder, and `caption`, a reference; it may be missing where no judge is asked.
"""

from __future__ import annotations

from pathlib import Path

from .annotations import AnnotationError, BenchmarkReader, fields, read_rows, video_file
from .items import BenchmarkClip, BenchmarkQuestion

PROMPT = (
    "Please provide a thorough description of all the content in the video, including every detail. Describe what is seen and what "
    "is heard, and how the two belong together in time."
)


def read(file: Path, folder: Path) -> list[BenchmarkClip]:
    """One description a video."""
    clips = []
    for number, row in enumerate(read_rows(file), 1):
        where = f"entry {number}"
        (video,) = fields(row, where, "video")
        if file.suffix == ".jsonl":
            reference = str(row.get("caption") or "")
        else:
            (events,) = fields(row, where, "events")
            if not isinstance(events, list) or not events:
                raise AnnotationError(f"{where} ({video}) has no list of events.")
            reference = "\n".join(map(str, events))
        asked = BenchmarkQuestion(f"{video}/{number}", PROMPT, (), reference)
        clips.append(BenchmarkClip(str(video), video_file(folder, str(video), "video", "videos"), (asked,)))
    return clips


CAPTIONS = BenchmarkReader(
    name="captions",
    label="video-SALMONN 2 captions",
    clips=483,
    questions=483,
    mean_s=None,
    licence="Apache-2.0 as its card says; clips of your own under yours",
    home="https://huggingface.co/datasets/tsinghua-ee/video-SALMONN_2_testset",
    paper="arXiv 2506.15220",
    files=("video_salmonn2_test.json", "captions.jsonl"),
    verified=(
        "This reader knows a list with video and events, as scripts of others read video_salmonn2_test.json, and lines with video and "
        "caption in captions.jsonl."
    ),
    read=read,
)
