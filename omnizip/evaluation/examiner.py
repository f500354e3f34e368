"""One clip through every arm and control: encoded once, compressed per arm, all questions marked; the outcome as plain data.

What a method raises on a clip is that clip's outcome for the arm, with its sentence; it is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ..compressors.base import Compressor
from ..compressors.layer_pruner import LayerPruner
from ..engine.events import Arm
from ..errors import OmniZipError
from ..model.encoders import EncodedClip
from ..model.qwen import QwenOmni
from ..settings import Settings
from ..stream import Modality, TokenStream
from ..types import Sampling, Turn
from . import dataset, packing
from .arms import Entry
from .density import densities, guide_by_window
from .facts import compare_facts
from .marking import Draft, Marker, Sheet
from .runner import Record, Task
from .world.questions import DESCRIPTION, Question
from .world.scene import Scene

ANY_QUESTION = Turn("?")  # stands where the questions come; a method that reads the question never sees it


@dataclass(frozen=True)
class Job:
    """All that decides what is measured; the number of clips does not change any clip."""

    settings: Settings
    entries: tuple[Entry, ...]
    choices: tuple[dataset.Choice, ...]  # one per clip length
    controls: bool = False
    density: tuple[float, ...] = ()  # retentions at which S_a is compared with the truth

    def tasks(self, clips: int) -> list[Task]:
        """Clips 0 to `clips` - 1 of every choice: which of the choices, number of the clip."""
        return [(which, number) for which in range(len(self.choices)) for number in range(clips)]

    def decides(self) -> dict[str, Any]:
        """What a remembered clip depends on."""
        return {
            "arms": [[entry.name, entry.seeds] for entry in self.entries],
            "clips": [asdict(choice) for choice in self.choices],
            "controls": self.controls,
            "density": list(self.density),
        }

    def examiner(self, model: QwenOmni) -> Callable[[Task], Record]:
        """What examines a clip that `tasks` names."""
        made = Examiner(self, model)
        return lambda task: made.examine(self.choices[int(task[0])], int(task[1]))


class MethodFailure(Exception):
    """A method could not do a clip; the text is its sentence."""


@dataclass(eq=False)
class Examiner:
    """A loaded model that examines clips one after the other."""

    job: Job
    model: QwenOmni
    marker: Marker = field(init=False)

    def __post_init__(self) -> None:
        self.marker = Marker(self.model)

    def examine(self, choice: dataset.Choice, number: int) -> Record:
        """Every arm on one clip. Raises MediaError for a clip that cannot be made or read, which is no method's fault."""
        scene, questions = choice.scene(number), choice.questions(number)
        with TemporaryDirectory() as folder:
            encoded = dataset.encode(self.model, scene, Path(folder), self.job.settings)
            stream = self.model.stream(encoded, [ANY_QUESTION])
            record = _clip_record(scene, choice, number, questions, stream)
            sheet = Sheet.of(self.model, questions)
            arms = {key: (entry.arm(scene.seed, n), encoded) for entry in self.job.entries for n, key in enumerate(entry.keys)}
            record["arms"] = self._outcomes(arms, sheet, scene)
            if self.job.controls:
                record["controls"] = self._outcomes(self._controls(choice, number, encoded, Path(folder)), sheet, scene)
        if self.job.density:
            record["density"] = {**densities(scene, stream.n_windows), "guidance": guide_by_window(stream, self.job.density)}
        return record

    def _controls(self, choice: dataset.Choice, number: int, encoded: EncodedClip, folder: Path) -> dict[str, tuple[Arm, EncodedClip]]:
        partner = dataset.encode(self.model, choice.partner(number), folder, self.job.settings)
        changed = {
            dataset.BLANK: dataset.blank(self.model, encoded),
            dataset.OTHER_SOUND: dataset.mix(encoded, partner),
            dataset.OTHER_PICTURE: dataset.mix(partner, encoded),
            dataset.HALF: dataset.halve(self.model, encoded),
        }
        return {name: (Arm("full"), clip) for name, clip in changed.items()}

    def _outcomes(self, arms: dict[str, tuple[Arm, EncodedClip]], sheet: Sheet, scene: Scene) -> dict[str, Record]:
        """Mark all arms, then decode all unfinished descriptions at once."""
        outcomes: dict[str, Record] = {}
        drafts: dict[str, Draft] = {}
        streams: dict[int, TokenStream] = {}
        for key, (arm, encoded) in arms.items():
            stream = streams.get(id(encoded)) or streams.setdefault(id(encoded), self.model.stream(encoded, [ANY_QUESTION]))
            try:
                outcomes[key], draft = self._outcome(arm, encoded, stream, sheet)
            except MethodFailure as failure:
                outcomes[key] = {"failed": str(failure), "right": [None] * len(sheet.questions), "kept": None, "notes": []}
                continue
            if draft is not None:
                drafts[key] = draft
        described = next((q for q in sheet.questions if q.kind == DESCRIPTION), None)
        if described is None:
            return outcomes
        most = self._longest_description(len(self.model.processor.tokenizer(described.answer)["input_ids"]))
        finished = dict(zip(drafts, self.marker.finish(list(drafts.values()), most), strict=True))
        for key, outcome in outcomes.items():
            if "failed" not in outcome:
                text = outcome.pop("text") if "text" in outcome else finished.get(key, described.answer)
                outcome["told"] = {"text": text, **vars(compare_facts(text, scene))}
        return outcomes

    def _outcome(self, arm: Arm, encoded: EncodedClip, stream: TokenStream, sheet: Sheet) -> tuple[Record, Draft | None]:
        with torch.inference_mode():
            compressor = _make_compressor(arm, stream)
            if compressor.chooses_before_encoding:  # its picture is encoded for it, as in the product
                encoded = self._encode_chosen(compressor, encoded)
                stream = self.model.stream(encoded, [ANY_QUESTION])
            if not compressor.reads_question:
                return self._read_once(compressor, stream, sheet)
            read = self._ask if isinstance(compressor, LayerPruner) else self._read_once
            parts = []
            for question in sheet.questions:
                own = self.model.stream(encoded, [*question.history, Turn(question.text)])
                parts.append(read(_make_compressor(arm, own), own, Sheet.of(self.model, [question])))
        right = [part["right"][0] for part, _ in parts]
        kept = {name: sum(part["kept"][name] for part, _ in parts) / len(parts) for name in ("audio", "video")}
        notes = sorted({note for part, _ in parts for note in part["notes"]})
        text = next(({"text": part["text"]} for part, _ in parts if "text" in part), {})
        return {"right": right, "kept": kept, "notes": notes, **text}, next((draft for _, draft in parts if draft is not None), None)

    def _encode_chosen(self, compressor: Compressor, encoded: EncodedClip) -> EncodedClip:
        try:
            seen, _ = self.model.look(encoded, compressor)
        except Exception as error:
            raise MethodFailure(_sentence(error)) from error
        return self.model.encoder.encode_seen(encoded, seen)

    def _ask(self, compressor: Compressor, stream: TokenStream, sheet: Sheet) -> tuple[Record, None]:
        """One question to a method that works inside the model, which reads and answers it as the product does."""
        (question,) = sheet.questions
        try:
            compression = compressor.compress(stream)
            prefilled = self.model.prefill(stream.prompt(compression), compressor, stream)
        except Exception as error:
            raise MethodFailure(_sentence(error)) from error
        wanted = int((sheet.targets != packing.IGNORE).sum())
        described = question.kind == DESCRIPTION
        ids = list(self.model.decode(prefilled, Sampling(self._longest_description(wanted) if described else wanted)))
        answer, layers = self.model.text(ids), prefilled.kept.layers
        kept = {m.name.lower(): sum(layer[m] for layer in layers) / len(layers) for m in (Modality.AUDIO, Modality.VIDEO)}
        notes = [note for note in (*compression.notes, prefilled.kept.shortfall) if note]
        right = answer == question.answer and len(ids) < wanted
        return {"right": [right], "kept": kept, "notes": notes, **({"text": answer} if described else {})}, None

    def _longest_description(self, wanted: int) -> int:
        """Tokens a description may have whose right one has `wanted`."""
        return min(self.job.settings.max_new_tokens, 32 + 2 * wanted)

    def _read_once(self, compressor: Compressor, stream: TokenStream, sheet: Sheet) -> tuple[Record, Draft | None]:
        try:
            compression = compressor.compress(stream)
            prompt = stream.prompt(compression)
        except Exception as error:  # whatever a method raises belongs to the method's record
            raise MethodFailure(_sentence(error)) from error
        marks = self.marker.mark(prompt, clip_rows(self.model, stream, sheet.questions[0] if compressor.reads_question else None), sheet)
        kept = {m.name.lower(): int((compression.keep & (stream.modality == m)).sum()) for m in (Modality.AUDIO, Modality.VIDEO)}
        return {"right": list(marks.right), "kept": kept, "notes": list(compression.notes)}, marks.draft


def clip_rows(model: QwenOmni, stream: TokenStream, question: Question | None) -> int:
    """Rows of the unpruned stream up to the end of the clip, before the question (None: the one that stands for any)."""
    turns = [ANY_QUESTION] if question is None else [*question.history, Turn(question.text)]
    behind = model.processor.prompt_ids(turns, torch.empty(0, dtype=torch.int64))[1]
    return stream.n_tokens - behind.numel()


def _make_compressor(arm: Arm, stream: TokenStream) -> Compressor:
    try:
        return arm.compressor(stream)
    except Exception as error:
        raise MethodFailure(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, OmniZipError) else f"{type(error).__name__}: {error}"


def _clip_record(scene: Scene, choice: dataset.Choice, number: int, questions: Sequence[Question], stream: TokenStream) -> Record:
    return {
        "seconds": choice.seconds,
        "number": number,
        "seed": scene.seed,
        "ambient": scene.ambient,
        "pattern": scene.pattern,
        "footage": scene.footage,
        "size": [scene.width, scene.height],
        "questions": [
            {
                "kind": q.kind,
                "text": q.text,
                "answer": q.answer,
                "by ear": dataset.candidates(scene, q.kind, heard=True),
                "by eye": dataset.candidates(scene, q.kind, heard=False),
            }
            for q in questions
        ],
        "tokens": {"audio": stream.n_audio, "video": stream.n_video},
    }
