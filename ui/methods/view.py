"""Several methods on one clip and question: running them, a table, and two methods' patches on one frame.

Plain values in, markup out; no gradio. Colours are Okabe and Ito's, apart for every kind of colour vision.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from omnizip.compressors import COMPRESSORS
from omnizip.compressors.layer_pruner import LayerPruner
from omnizip.engine import ClipHandle, ComparisonEngine
from omnizip.engine.events import Arm, ArmDone, Finished, Stage
from omnizip.errors import OmniZipError
from omnizip.media import AS_SET, Part
from omnizip.report import formats, fragments, packed, wording
from omnizip.report.report import Run

from .. import frames, markup, words
from ..chat import check_question

BOTH, ONLY_A, ONLY_B = (0, 158, 115), (230, 159, 0), (86, 180, 233)  # bluish green, orange, sky blue
TINT = 0.55  # of the colour in a kept patch
MOST = 24  # runs at once
Update = dict[str, Any]


def run(
    engine: ComparisonEngine,
    path: str | None,
    question: str | None,
    methods: Sequence[str],
    shares: Sequence[str],
    stop: Callable[[], bool],
    part: Part = AS_SET,
) -> Iterator[Update]:
    """All chosen methods at all chosen shares, with one encoding: `status`, `table`, and at last `clip` and `runs` for the views below."""
    arms = [Arm(method, kept) for share, kept in words.PRESETS.items() if share in shares for method in COMPRESSORS if method in methods]
    problem = (
        words.NO_CLIP
        if not path
        else words.NO_QUESTION.format(hint=words.QUESTION_HINT)
        if not (question or "").strip()
        else words.METHODS_NONE
        if not arms
        else words.METHODS_MANY.format(most=MOST)
        if len(arms) > MOST
        else ""
    )
    if problem or not path or not question:
        yield {"status": markup.problem(problem)}
        return
    runs: list[Run] = []
    shown, last = None, {}
    try:
        check_question(question, engine.settings)
        clip = engine.open_clip(path, part)
        for event in engine.compare(clip, question.strip(), arms, stop=stop):
            if isinstance(event, Stage) and (event.name, event.arm, event.ahead) != shown:
                shown = (event.name, event.arm, event.ahead)
                done = None if event.name != "answer" else len(runs) / (len(arms) + 1)
                yield {"status": markup.progress(words.stage(event.name, None, event.ahead), done)}
            elif isinstance(event, ArmDone):
                runs.append(event.run)
                yield {"table": table(runs)}
            elif isinstance(event, Finished):
                last = {"clip": clip, "runs": event.report.runs, "table": table(event.report.runs)}
    except OmniZipError as error:
        yield {"status": markup.problem(str(error))}
        return
    # in one update, since a browser that is busy may lose what another overtakes
    yield {"status": markup.done(words.STOPPED if len(runs) <= len(arms) else words.DONE), **last}


def table(runs: Sequence[Run]) -> str:
    """One row per run, the full model first; what a method has to say about its choice stands below its answer."""
    if not runs:
        return ""
    measured = any(run.peak_memory_bytes is not None for run in runs)
    columns = (*words.METHODS_COLUMNS, words.METHODS_PEAK if measured else words.METHODS_CACHE)
    head = "".join(f'<th scope="col">{escape(name)}<small>{escape(more)}</small></th>' for name, more in columns)
    rows = []
    for number, run in enumerate(runs):
        short = [note for note in run.compression.notes if note.endswith("asked.")]
        notes = "".join(f"<small>{escape(note)}</small>" for note in short)
        answered = ' translate="no"' if run.answer.text.strip() else ""
        same = formats.UNKNOWN if not number else words.YES if run.answer.text == runs[0].answer.text else words.NO
        cells = [
            formats.share(run.retention_target) if run.retention_target else formats.UNKNOWN,
            formats.share(run.retained["total"]),
            f'<span class="oz-m-answer"{answered}>{escape(run.answer.text.strip() or wording.NO_WORDS)}</span>{notes}',
            same,
            wording.agreement(run.agreement),
            formats.count(run.tokens["total"]),
            formats.UNKNOWN if not number else formats.duration(run.timing.compress_ms),
            formats.duration(run.timing.prefill_ms),
            formats.duration(run.timing.decode_ms),
            formats.size(run.peak_memory_bytes if measured else run.kv_cache_bytes),
        ]
        marked = "".join(f'<td data-name="{escape(n)}">{c}</td>' for (n, _), c in zip(columns[1:], cells, strict=True))
        rows.append(f'<tr><th scope="row">{escape(run.label)}</th>{marked}</tr>')
    inside = ", ".join(kind.label for kind in COMPRESSORS.values() if issubclass(kind, LayerPruner))
    hints = [words.METHODS_AGREEMENT_HINT, words.METHODS_TOKENS_HINT.format(methods=inside)]
    said = "".join(map(fragments.hint, hints if measured else [*hints, words.METHODS_CACHE_HINT]))
    return f'<div class="oz-methods"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>{said}'


def most_different_step(first: Run, second: Run) -> int:
    """The step at which two runs kept the most different patches; 0 without a picture."""
    if not first.compression.grid[0]:
        return 0
    masks = [frames.step_masks(run.compression.keep, run.compression.modality, run.compression.grid) for run in (first, second)]
    return int((masks[0] ^ masks[1]).sum(axis=(1, 2)).argmax())


def pair(runs: Sequence[Run]) -> tuple[int, int]:
    """Numbers of the two runs to compare at first: OmniZip and the next, else the first two behind the full model."""
    first = next((number for number, run in enumerate(runs) if run.method == "omnizip"), min(1, len(runs) - 1))
    return first, next((number for number in range(1, len(runs)) if number != first), 0)


def difference(engine: ComparisonEngine, clip: str | ClipHandle, runs: Sequence[Run], a: int, b: int, step: int) -> str:
    """The patches two runs kept at one moment: both, only A, only B; the rest dark.

    Args:
        a, b: numbers of runs. step: counted from 0.
    """
    encoded = engine.encode(clip)
    first, second = runs[a].compression, runs[b].compression
    if not first.grid[0]:
        return fragments.hint(words.METHODS_NO_PICTURE)
    step = max(0, min(step, first.grid[0] - 1))
    masks = [frames.step_masks(record.keep, record.modality, record.grid)[step] for record in (first, second)]
    image = encoded.clip.frames[packed.frame_of_step(step, len(encoded.clip.frames))]
    counts = [int(kept.sum()) for kept in (masks[0] & masks[1], masks[0] & ~masks[1], masks[1] & ~masks[0])]
    names = (
        words.METHODS_BOTH,
        words.METHODS_ONLY.format(name=wording.run_name(runs[a])),
        words.METHODS_ONLY.format(name=wording.run_name(runs[b])),
    )
    legend = "".join(
        f'<span><i style="background:rgb{colour}" aria-hidden="true"></i>{escape(name)}: {formats.count(n)}</span>'
        for colour, name, n in zip((BOTH, ONLY_A, ONLY_B), names, counts, strict=True)
    )
    start = step * encoded.second_per_step
    line = words.METHODS_MOMENT_LINE.format(start=start, end=start + encoded.second_per_step, total=formats.count(masks[0].size))
    return f'<p class="oz-key">{legend}</p>' + _figure(painted(image, *masks), line, f"{', '.join(names)} · {line}")


def painted(frame: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) uint8 with its patches coloured by who kept them, a and b (rows, columns) bool."""
    rows, columns = a.shape
    high, wide = frames.patch_size(frame.shape[0], frame.shape[1], rows, columns)
    drawn = np.asarray(Image.fromarray(frame).resize((columns * wide, rows * high), Image.Resampling.BILINEAR), dtype=np.float32)
    grey = drawn @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    out = (grey * frames.DIMMED + frames.LIFT)[..., None].repeat(3, axis=2)
    for mask, colour in ((a & b, BOTH), (a & ~b, ONLY_A), (b & ~a, ONLY_B)):
        here = mask.repeat(high, axis=0).repeat(wide, axis=1)
        out[here] = ((1 - TINT) * grey[..., None] + TINT * np.array(colour, dtype=np.float32))[here]
    out[high - 1 :: high] *= 0.8
    out[:, wide - 1 :: wide] *= 0.8
    return out.astype(np.uint8)


def _figure(image: np.ndarray, caption: str, alt: str) -> str:
    """A drawn frame (H, W, 3) uint8 with its caption, lossless, within the page itself."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<figure class="oz-difference"><img src="data:image/png;base64,{data}" alt="{escape(alt, quote=True)}" '
        f'width="{image.shape[1]}" height="{image.shape[0]}"><figcaption>{escape(caption)}</figcaption></figure>'
    )
