"""A benchmark's clips through every method: one record a clip, in which wrong, unparsed and failed are three things.

A clip is encoded once; a file that cannot be read costs its own questions, a method that raises costs its own answers, each with the
sentence. Neither is ever counted as a wrong answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ... import media
from ...engine.out_of_memory import SecondTry
from ...errors import OmniZipError
from ...media import Clip
from ...model.encoders import EncodedClip
from ...model.prefix_cache import Prefixes
from ...model.qwen import QwenOmni
from ...settings import Settings
from ...types import Sampling
from ..arms import FULL, Entry
from ..runner import Record, Task
from .items import BenchmarkClip, BenchmarkQuestion
from .letters import parse_letter
from .protocols import Protocol
from .respondent import Respondent, plain

READING = ("max_clip_s", "max_file_mb", "decode_pixels", "attention")  # settings beyond the runner's that decide outcomes


@dataclass(frozen=True)
class BenchmarkJob:
    """All that decides what is measured; which of the clips are run changes none of them."""

    settings: Settings
    benchmark: str
    protocol: Protocol
    entries: tuple[Entry, ...]
    clips: tuple[BenchmarkClip, ...]
    subtitles: bool = False
    annotation: str = ""  # digest of what is asked, of all clips

    def tasks(self) -> list[Task]:
        """Every clip, by its name in the annotation."""
        return [(clip.id,) for clip in self.clips]

    def decides(self) -> dict[str, Any]:
        """What a remembered clip depends on."""
        return {
            "benchmark": self.benchmark,
            "protocol": asdict(self.protocol),
            "arms": [[entry.name, entry.seeds] for entry in self.entries],
            "subtitles": self.subtitles,
            "annotation": self.annotation,
            "reading": {name: getattr(self.settings, name) for name in READING},
        }

    def examiner(self, model: QwenOmni) -> Callable[[Task], Record]:
        """What examines a clip that `tasks` names."""
        made = BenchmarkExaminer(self, model)
        return lambda task: made.examine(self._clip(task))

    def unread(self, task: Task, reason: str) -> Record:
        """The record of a clip that could not be examined at all."""
        clip = self._clip(task)
        return {**_unanswered(clip), "failed": reason, "arms": {}}

    def _clip(self, task: Task) -> BenchmarkClip:
        return next(clip for clip in self.clips if clip.id == task[0])


@dataclass(eq=False)
class BenchmarkExaminer:
    """A loaded model that answers what a benchmark asks, clip by clip; it holds one clip at a time."""

    job: BenchmarkJob
    model: QwenOmni
    _prefixes: Prefixes = field(init=False, default_factory=lambda: Prefixes(0))  # nothing is kept for further questions

    def examine(self, clip: BenchmarkClip) -> Record:
        """Every arm on every question about one clip."""
        record = _unanswered(clip)
        try:
            read = media.load(clip.video, self.job.settings)
            encoded = self._memory(read).run(lambda: self.model.encode(read))
        except Exception as error:  # whatever is wrong with one file, the others are examined
            return self.job.unread((clip.id,), _reason(error))
        record |= {"duration_s": read.duration_s, "digest": read.digest, "warnings": list(read.warnings)}
        record["arms"] = self._arms(clip, encoded)
        return record

    def _memory(self, read: Clip) -> SecondTry:
        return SecondTry(self.model, self._prefixes, read.frames.shape)

    def _arms(self, clip: BenchmarkClip, encoded: EncodedClip) -> dict[str, list[Record]]:
        s = self.job.settings
        respondent = Respondent(self.model, encoded, Sampling(s.max_new_tokens, 0.0, 1.0, s.seed), self.job.protocol.system)
        memory, seed = self._memory(encoded.clip), clip_seed(clip.id)
        found: dict[str, list[Record]] = {key: [] for entry in self.job.entries for key in entry.keys}
        for question in clip.questions:
            words = self.job.protocol.words(clip, question, self.job.subtitles)
            full: tuple[int, ...] = ()
            for entry in self.job.entries:
                for number, key in enumerate(entry.keys):
                    arm, scored = entry.arm(seed, number), () if question.options else full
                    try:
                        reply = memory.run(lambda: respondent.reply(key, arm, words, scored))  # noqa: B023  (run at once)
                    except Exception as error:
                        found[key].append({"status": "failed", "reason": _reason(error)})
                        continue
                    if entry.method == FULL:
                        full = reply.ids
                    found[key].append({**judged(question, reply.text), **plain(reply)})
        return found


def annotation_digest(clips: Iterable[BenchmarkClip]) -> str:
    """First 16 hex digits of the sha256 of what is asked about which clips, wherever their files lie."""
    found = hashlib.sha256()
    for clip in clips:
        found.update(repr((clip.id, clip.groups, clip.questions)).encode())
    return found.hexdigest()[:16]


def judged(question: BenchmarkQuestion, text: str) -> Record:
    """What an answer is worth: right, wrong, or unparsed where it names no option; a description is only said."""
    if not question.options:
        return {"status": "said"}
    letter = parse_letter(text, question.options)
    return {"status": "unparsed" if letter is None else "right" if letter == question.answer else "wrong", "letter": letter}


def clip_seed(id: str) -> int:
    """A number of its own for each clip, for methods that draw at random."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big")


def _unanswered(clip: BenchmarkClip) -> Record:
    return {"clip": clip.id, "questions": [_plain_question(question, clip) for question in clip.questions]}


def _plain_question(question: BenchmarkQuestion, clip: BenchmarkClip) -> Record:
    return {"id": question.id, "answer": question.answer, "options": len(question.options), "groups": [*clip.groups, *question.groups]}


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OmniZipError) else f"{type(error).__name__}: {error}"
