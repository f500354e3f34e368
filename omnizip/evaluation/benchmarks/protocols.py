"""How a benchmark is asked: what is read of a clip, the words around a question, how much may be answered; and the papers' own.

Nothing of it is hidden: a result carries its protocol, and `python -m omnizip eval list` shows them. A paper's protocol is what its
text and scripts say; where they leave something open, `departs` says what was chosen. Every model of this project reads pictures
smaller than the limit as they are, where the papers enlarge them to it.

Words are quoted from the papers' and harnesses' prompts, since another wording is another measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ...model.qwen2_5_omni import SYSTEM
from ...settings import Settings
from .items import BenchmarkClip, BenchmarkQuestion
from .videomme import read_subtitles

LONG_CLIP = {"max_clip_s": 7200.0, "max_file_mb": 16384.0, "decode_timeout_s": 3600.0}  # an hour of film is no mistake here
ANALYZE = f"{SYSTEM} Please analyze the video carefully and select the most appropriate answer from the given options."
ASK_FOR_LETTER = "{question}\nOptions:\n{options}\nAnswer with the option's letter from the given choices directly."
VIDEOMME_WORDS = (
    "Select the best answer to the following multiple-choice question based on the video. Respond with only the letter "
    "({letters}) of the correct option.\n{question}\n{options}\nThe best answer is:"
)
LMMS_EVAL_WORDS = (  # to the character, three options or four
    "Carefully watch this video and pay attention to every detail. Based on your observations, select the best option that accurately "
    "addresses the question.\nThese are the frames of a video and the corresponding audio. Select the best answer to the following "
    "multiple-choice question based on the video. Respond with only the letter (A, B, C, or D) of the correct option.\n"
    "{question}\n{options}\n"
)
SUBTITLES = "This video's subtitles are listed below:\n{subtitles}\n"


@dataclass(frozen=True)
class Protocol:
    """Everything of a run but the model, the methods and the data."""

    name: str
    source: str
    frames: int  # of a clip, at most
    long_frames: int  # of a benchmark with clips up to an hour
    tokens_per_step: int  # of two frames, at most: pixels / (28 * 28)
    system: str = SYSTEM
    template: str = ASK_FOR_LETTER
    fps: float = 2.0
    max_new_tokens: int = 100
    departs: str = ""

    def settings(self, long: bool, base: Settings) -> dict[str, Any]:
        """The settings that this protocol decides, for clips up to an hour (`long`) or not; answers are greedy."""
        return {
            "fps": self.fps,
            "max_frames": self.long_frames if long else self.frames,
            "tokens_per_step": self.tokens_per_step,
            "decode_pixels": max(base.decode_pixels, 28 * 28 * self.tokens_per_step),
            "max_new_tokens": self.max_new_tokens,
            "temperature": 0.0,
            **{name: max(value, getattr(base, name)) for name, value in LONG_CLIP.items()},
        }

    def words(self, clip: BenchmarkClip, question: BenchmarkQuestion, subtitles: bool = False) -> str:
        """What is asked, behind the clip."""
        if not question.options:
            return question.text
        letters = ", ".join(question.letters[:-1]) + f", or {question.letters[-1]}"
        asked = self.template.format(question=question.text, options="\n".join(question.lettered), letters=letters)
        if not subtitles or clip.subtitles is None:
            return asked
        return SUBTITLES.format(subtitles=read_subtitles(clip.subtitles)) + asked


@dataclass(frozen=True)
class PaperRows:
    """Rows of a paper's table, as this project's methods with the paper's own rates."""

    name: str  # after --paper
    protocol: Protocol
    arms: tuple[str, ...]  # as --arm takes them
    avut_merge_size: int | None = None  # the paper's G on AVUT, for the lines of OmniZip

    def lines(self, benchmark: str) -> tuple[str, ...]:
        """The arms for one benchmark."""
        if benchmark != "avut" or self.avut_merge_size is None:
            return self.arms
        return tuple(f"{arm},merge_size={self.avut_merge_size}" if arm.startswith("omnizip") else arm for arm in self.arms)


EXACT = Protocol(
    "exact",
    "this project: the inputs and words of arXiv 2511.14582, every method at exactly the share asked for",
    frames=128,
    long_frames=768,
    tokens_per_step=128,
    system=ANALYZE,
)
OMNIZIP = Protocol(
    "omnizip",
    "arXiv 2511.14582v2, section 4 and its evaluation scripts",
    frames=128,
    long_frames=768,
    tokens_per_step=128,
    system=ANALYZE,
    departs="line breaks of the question are ours; FastV keeps the share that the paper names, averaged over layers",
)
OMNISIFT = Protocol(
    "omnisift",
    "arXiv 2602.04804, section 5 and its evaluation script",
    frames=256,
    long_frames=256,
    tokens_per_step=320,
    template=VIDEOMME_WORDS,
    max_new_tokens=256,
    departs="the paper says 320 * 28 * 28 pixels and its script 256 * 28 * 28; the paper's is taken. Its models are "
    "fine-tuned, those here are not. At 25 % it gives OmniZip and DyCoke video rates of 0.98 and 0.99 to reach the share, which they are "
    "asked for directly here",
)
SEATS = Protocol(
    "seats",
    "arXiv 2605.20035",
    frames=128,
    long_frames=768,
    tokens_per_step=128,
    template=VIDEOMME_WORDS,
    max_new_tokens=32,
    departs="pixels are not stated; those of arXiv 2511.14582 are taken, and 128 frames also where it has 256 (OmniVideoBench)",
)
LMMS_EVAL = Protocol(
    "lmms-eval",
    "lmms-eval 0.7.3, task worldsense: its words, with this project's inputs",
    frames=128,
    long_frames=768,
    tokens_per_step=128,
    template=LMMS_EVAL_WORDS,
    max_new_tokens=1024,
)
BARE = Protocol(
    "bare",
    "this project: the question alone, its answer compared with the options' texts; for models that know no letters, as the embedded one",
    frames=128,
    long_frames=768,
    tokens_per_step=128,
    template="{question}",
)
PROTOCOLS = {protocol.name: protocol for protocol in (EXACT, OMNIZIP, OMNISIFT, SEATS, LMMS_EVAL, BARE)}

PAPERS = {
    rows.name: rows
    for rows in (
        PaperRows(
            "omnizip-45",
            OMNIZIP,
            (
                "random@0.55",
                "fastv@0.5:layer=5",
                "dycoke@0.5",
                "omnizip-official:rho_audio=0.3,rho_video=0.6",
                "omnizip:rho_audio=0.3,rho_video=0.6",
            ),
            avut_merge_size=15,
        ),
        PaperRows(
            "omnizip-35",
            OMNIZIP,
            (
                "random@0.4",
                "fastv@0.35:layer=5",
                "dycoke@0.35",
                "omnizip-official:rho_audio=0.4,rho_video=0.7",
                "omnizip:rho_audio=0.4,rho_video=0.7",
            ),
            avut_merge_size=15,
        ),
        PaperRows(
            "omnisift-35",
            OMNISIFT,
            (
                "random@0.35",
                "dycoke:rho_audio=0.4,rho_video=0.9",
                "omnizip-official:rho_audio=0.4,rho_video=0.7",
                "omnisift:rho_audio=0.4,rho_video=0.67",
            ),
        ),
        PaperRows(
            "omnisift-25",
            OMNISIFT,
            ("random@0.25", "dycoke@0.25", "omnizip-official@0.25", "omnisift:rho_audio=0.5,rho_video=0.77"),
        ),
        PaperRows("seats-35", SEATS, ("omnizip@0.35", "dycoke@0.35", "visionzip@0.35", "fastv@0.35", "seats@0.35")),
        PaperRows("seats-25", SEATS, ("omnizip@0.25", "visionzip@0.25", "fastv@0.25", "seats@0.25")),
    )
}


def paper_rows(name: str) -> PaperRows:
    """The rows `--paper` names. Raises UsageError for a name that is none."""
    if name not in PAPERS:
        raise UsageError(f"--paper is {name!r}; choose of {', '.join(PAPERS)}.")
    return PAPERS[name]
