"""Files that come and go: the report and its table, the overlay video, a gif that becomes a film. No gradio.

A handler that yields a path removes the file when it is asked for more; by then the page has its copy.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from omnizip.engine import ComparisonEngine
from omnizip.engine.progress import yield_progress
from omnizip.errors import OmniZipError
from omnizip.media import transcode_preview
from omnizip.report.report import RunReport

from . import frames, markup, words
from .chat import ClipDecision, Update

STEP = 0.04  # of the overlay video; progress is shown no more often


def why_unwritten(failure: OSError) -> str:
    """The cause in words, without a path of the server: a full disk only where the system says so."""
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        return words.DISK_FULL
    return os.strerror(failure.errno) if failure.errno else type(failure).__name__


def write_report(report: RunReport, folder: Path) -> Update:
    """Write the report and the table of its windows into `folder`. Raises OSError, ENOSPC where their copies have no room."""
    stem = Path(report.clip.name).stem
    (folder / f"{stem}-report.json").write_text(json.dumps(report.to_json(), indent=1, ensure_ascii=False), "utf-8")
    (folder / f"{stem}-windows.csv").write_text(report.windows_csv(), "utf-8")
    written = sum(path.stat().st_size for path in folder.iterdir())
    if shutil.disk_usage(folder).free < written:
        raise OSError(errno.ENOSPC, "no room for the page's copies")
    return {"report_json": str(folder / f"{stem}-report.json"), "windows_csv": str(folder / f"{stem}-windows.csv")}


def make_video(engine: ComparisonEngine, decision: ClipDecision | None) -> Iterator[Update]:
    """The whole clip with what was dropped dimmed, with its sound; progress first, then the file."""
    if decision is None:
        yield {"video_status": markup.problem(words.NO_MAP)}
        return
    yield {"video_status": markup.progress(words.MAKING_VIDEO, None)}
    try:
        clip = engine.encode(decision.clip).clip
    except OmniZipError as problem:
        yield {"video_status": markup.problem(str(problem))}
        return
    record = decision.record
    masks = frames.step_masks(record.keep, record.modality, record.grid)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{decision.clip.path.stem}-kept.mp4"

        def write(report: Callable[[float], None]) -> None:
            frames.overlay_video(clip.frames, masks, clip.fps, clip.waveform, path, report)

        shown = 0.0
        for fraction in yield_progress(write, "overlay video", join=True):
            if fraction - shown >= STEP:
                shown = fraction
                yield {"video_status": markup.progress(words.MAKING_VIDEO, fraction)}
        yield {"video": str(path), "video_status": ""}


def open_gif(engine: ComparisonEngine, path: str) -> Iterator[Update]:
    """A gif as an mp4, since browsers' players take no gif."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / f"{Path(path).stem}.mp4"
        try:
            transcode_preview(path, film, engine.settings)
        except OmniZipError as problem:
            yield {"status": markup.problem(str(problem))}
            return
        yield {"clip": str(film), "notice": words.GIF_OPENED}
