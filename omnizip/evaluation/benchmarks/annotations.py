"""Annotation files as they are downloaded: found in a folder, read, and checked; whatever is wrong is one sentence with its cure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import OmniZipError, UsageError
from .items import BenchmarkClip, BenchmarkQuestion, option_texts

SHOWN = 6  # names listed in a sentence, at most


class AnnotationError(OmniZipError):
    """An annotation file that is missing or is not what the reader knows."""


@dataclass(frozen=True)
class BenchmarkReader:
    """One benchmark: what it is, and how its download is read."""

    name: str  # on the command line
    label: str
    clips: int | None  # as published
    questions: int | None
    mean_s: float | None  # length of a clip, as published
    licence: str
    home: str  # where to get it
    paper: str
    files: tuple[str, ...]  # where the annotation lies within the download, the usual place first
    verified: str  # what of the format was verified, and how
    read: Callable[[Path, Path], list[BenchmarkClip]]  # (annotation file, folder) -> clips
    long: bool = False  # up to an hour: 768 frames, as the papers have them

    def load(self, folder: Path, annotations: Path | None = None) -> list[BenchmarkClip]:
        """All clips of the benchmark below `folder`, in the order of the annotation.

        Raises:
            UsageError: there is no such folder, or no annotation file in it. AnnotationError: the file is not what this reader knows.
        """
        if not folder.is_dir():
            raise UsageError(f"--data {folder} is no folder; give the one {self.label} was downloaded into ({self.home}).")
        file = annotations or self._find(folder)
        try:
            clips = self.read(file, folder)
        except AnnotationError as error:
            raise AnnotationError(f"{file.name}: {error} {self.verified}") from None
        if not clips:
            raise AnnotationError(f"{file.name} has no questions; download it again from {self.home}.")
        self._check_unique(file, clips)
        return clips

    def _find(self, folder: Path) -> Path:
        for name in self.files:
            if found := sorted(folder.glob(name)):
                return found[0]
        here = sorted(path.name for path in folder.iterdir())
        listed = ", ".join(here[:SHOWN]) + (", ..." if len(here) > SHOWN else "") if here else "nothing"
        raise UsageError(
            f"--data {folder} holds {listed}, but no annotation of {self.label} ({' or '.join(self.files)}); "
            f"download it from {self.home}, or name the file with --annotations."
        )

    @staticmethod
    def _check_unique(file: Path, clips: Sequence[BenchmarkClip]) -> None:
        for what, ids in (("clip", [c.id for c in clips]), ("question", [q.id for c in clips for q in c.questions])):
            if twice := [name for name, count in Counter(ids).items() if count > 1]:
                raise AnnotationError(f"{file.name} has the {what} {twice[0]} twice; download it again.")


def read_rows(file: Path) -> list[Any]:
    """The entries of a JSON list, a JSON Lines or a Parquet file. Raises AnnotationError for anything else."""
    if file.suffix == ".parquet":
        return _read_parquet(file)
    text = _read_text(file)
    try:
        if file.suffix == ".jsonl":
            # Of all that splitlines takes for an end of line, JSON may hold some within a text, such as U+2028.
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        found = json.loads(text)
    except ValueError as error:
        raise AnnotationError(f"it is not valid JSON ({error}); download it again.") from None
    if not isinstance(found, list):
        raise AnnotationError(f"it holds a {type(found).__name__} where a list of questions was expected.")
    return found


def read_mapping(file: Path) -> dict[str, Any]:
    """A JSON object. Raises AnnotationError for anything else."""
    try:
        found = json.loads(_read_text(file), object_pairs_hook=_each_once)
    except ValueError as error:
        raise AnnotationError(f"it is not valid JSON ({error}); download it again.") from None
    if not isinstance(found, dict):
        raise AnnotationError(f"it holds a {type(found).__name__} where an object with one entry a video was expected.")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of whose names none stands twice: Python would drop all but the last."""
    if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
        raise AnnotationError(f"it has {twice[0]} twice in one object; download it again.")
    return dict(pairs)


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"it cannot be read ({error}); check the path, or download it again.") from None


def _read_parquet(file: Path) -> list[Any]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise AnnotationError("reading Parquet needs pyarrow; run pip install pyarrow, or convert the file to JSON Lines.") from None
    try:
        return parquet.read_table(file).to_pylist()
    except (OSError, ArrowException) as error:
        raise AnnotationError(f"it cannot be read ({error}); download it again.") from None


def fields(entry: Any, where: str, *names: str) -> list[Any]:
    """The values of `names` in one entry. Raises AnnotationError that says which is missing and what there is instead."""
    if not isinstance(entry, Mapping):
        raise AnnotationError(f"{where} is a {type(entry).__name__}, not an object with {', '.join(names)}.")
    if missing := [name for name in names if entry.get(name) is None]:
        here = list(entry)
        listed = ", ".join(map(str, here[:12])) + (", ..." if len(here) > 12 else "")
        raise AnnotationError(f"{where} has no {' and no '.join(missing)}; found are {listed or 'no fields'}.")
    return [entry[name] for name in names]


def question(id: str, where: str, text: Any, options: Any, answer: Any, groups: Iterable[tuple[str, Any]]) -> BenchmarkQuestion:
    """A question whose answer is one of its options. Raises AnnotationError where it is not.

    Args:
        answer: a letter, perhaps with a mark or the option behind it, or the text of an option.
        groups: (what kind of group, which); those without a value are left out.
    """
    if not isinstance(options, (list, tuple)) or not all(isinstance(option, str) for option in options) or len(options) < 2:
        raise AnnotationError(f"{where} has the options {options!r}; a list of two or more texts was expected.")
    texts = option_texts(options)
    letter = _answer_letter(str(answer).strip(), texts)
    if letter is None:
        raise AnnotationError(f"{where} has the answer {answer!r}, which is none of its {len(texts)} options.")
    found = tuple((kind, str(which)) for kind, which in groups if which not in (None, ""))
    return BenchmarkQuestion(id, str(text).strip(), texts, letter, found)


def _answer_letter(answer: str, texts: Sequence[str]) -> str | None:
    letters = BenchmarkQuestion("", "", tuple(texts)).letters
    bare = answer.strip("() ")
    if bare[:1] in letters and bare[:1] and (len(bare) == 1 or bare[1] in ".):"):
        return bare[0]
    same = [letter for letter, text in zip(letters, texts, strict=True) if text == answer]
    return same[0] if len(same) == 1 else None


def grouped(rows: Iterable[tuple[str, str, BenchmarkQuestion]]) -> list[BenchmarkClip]:
    """Clips of (clip id, path, question), in the order of their first question."""
    found: dict[str, tuple[str, list[BenchmarkQuestion]]] = {}
    for id, video, asked in rows:
        found.setdefault(id, (video, []))[1].append(asked)
    return [BenchmarkClip(id, video, tuple(asked)) for id, (video, asked) in found.items()]


def video_file(folder: Path, name: str, *folders: str) -> str:
    """Path of a video by the name the annotation has: the first place of `folders` below `folder` where it lies, else the usual one.

    A file that is nowhere costs its own questions when it is read, and says where it was expected.
    """
    name = name.removeprefix("./").lstrip("/")
    places = [folder / place / leaf for leaf in dict.fromkeys((name, Path(name).name)) for place in (*folders, "")]
    return str(next((place for place in places if place.is_file()), places[0]))
