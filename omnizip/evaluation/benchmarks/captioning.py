"""Descriptions of whole clips, in the manner of video-SALMONN 2's caption test (arXiv 2506.15220).

The official test set's file format could not be found, so this reads one of our own: JSON Lines of `video`, a path within the
folder, and `caption`, a reference, which may be missing where no judge is asked.
"""

from __future__ import annotations

from pathlib import Path

from .annotations import BenchmarkReader, fields, read_rows, video_file
from .items import BenchmarkClip, BenchmarkQuestion

PROMPT = (
    "Please provide a thorough description of all the content in the video, including every detail. Describe what is seen and what "
    "is heard, and how the two belong together in time."
)


def read(file: Path, folder: Path) -> list[BenchmarkClip]:
    """One description a video."""
    clips = []
    for number, row in enumerate(read_rows(file), 1):
        (video,) = fields(row, f"line {number}", "video")
        asked = BenchmarkQuestion(f"{video}/{number}", PROMPT, (), str(row.get("caption") or ""))
        clips.append(BenchmarkClip(str(video), video_file(folder, str(video), "videos"), (asked,)))
    return clips


CAPTIONS = BenchmarkReader(
    name="captions",
    label="Captions",
    clips=483,
    questions=483,
    mean_s=51.0,
    licence="your own clips, or video-SALMONN 2's test set under its own terms",
    home="https://huggingface.co/datasets/videoSALMONN2/video-SALMONN_2_testset",
    paper="arXiv 2506.15220",
    files=("captions.jsonl",),
    verified="The official format could not be found; this reader expects captions.jsonl, lines with video and caption.",
    read=read,
)
