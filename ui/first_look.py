"""A comparison of the first example that was computed earlier, so that the page shows one before anybody has clicked. No gradio.

Another model's, or one of other examples, is what somebody has asked for on the page (kept_looks.py).

`python -m ui.first_look` runs it on the embedded model and writes it, with its conditions, into assets/first-look.json. A test
compares what is stored with a fresh run, so that a change of the model, the method or the format asks for another.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import fields, is_dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnizip import media
from omnizip.assets import asset
from omnizip.compressors import COMPRESSORS
from omnizip.engine import Arm, ClipHandle, Finished
from omnizip.engine.clips import ClipKey
from omnizip.errors import OmniZipError
from omnizip.report import fragments, packed, wording
from omnizip.report.decision import CompressionRecord
from omnizip.report.flops import CountedFlops
from omnizip.report.report import ClipRecord, Run, RunReport, differing_words
from omnizip.settings import Settings
from omnizip.types import Agreement, Answer, Conditions, MachineLoad, ModelShape, Sampling, Timing, Turn

from . import decisions, words
from .chat import COMPRESSED, FULL, Chat, Update, arm_of
from .examples import Example, examples_of
from .lens import view as lens_view

if TYPE_CHECKING:
    from omnizip.engine import Engine

NAME = "first-look.json"
METHOD, RETENTION = "omnizip", "45 %"  # as the page starts
STORED = {
    kind.__name__: kind
    for kind in (
        RunReport,
        Run,
        ClipRecord,
        CompressionRecord,
        CountedFlops,
        Agreement,
        Answer,
        Conditions,
        MachineLoad,
        ModelShape,
        Sampling,
        Timing,
    )
}
KIND, ARRAY = "is a", "array"


def packed_value(value: Any) -> Any:
    """Results as plain values for JSON: records by the names of their fields, arrays as packed bytes."""
    if is_dataclass(value) and not isinstance(value, type):
        return {KIND: type(value).__name__, **{item.name: packed_value(getattr(value, item.name)) for item in fields(value)}}
    if isinstance(value, np.ndarray):
        data = base64.b64encode(zlib.compress(np.ascontiguousarray(value).tobytes(), 9)).decode("ascii")
        return {KIND: ARRAY, "dtype": str(value.dtype), "shape": list(value.shape), "data": data}
    if isinstance(value, dict):
        return {name: packed_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [packed_value(item) for item in value]
    return value


def unpacked_value(value: Any) -> Any:
    """The other way. Lists come back as tuples, which is what results hold."""
    if isinstance(value, list):
        return tuple(unpacked_value(item) for item in value)
    if not isinstance(value, dict):
        return value
    if value.get(KIND) == ARRAY:
        return np.frombuffer(zlib.decompress(base64.b64decode(value["data"])), value["dtype"]).reshape(value["shape"])
    values = {name: unpacked_value(item) for name, item in value.items() if name != KIND}
    return STORED[value[KIND]](**values) if KIND in value else values


def compute(engine: Engine) -> dict[str, Any]:
    """The comparison as it is stored: the report, the clip as the lens draws it, the machine and the day."""
    example = examples_of(engine.settings)[0]
    report = None
    for event in engine.compare(example.path, example.question, (Arm(METHOD, words.PRESETS[RETENTION]),)):
        if isinstance(event, Finished):
            report = event.report
    if report is None:
        raise OmniZipError("The comparison ended without a report.")
    return stored(engine, example, report)


def stored(engine: Engine, example: Example, report: RunReport) -> dict[str, Any]:
    """A comparison of the example as it is stored."""
    from omnizip.model.conditions import machine_conditions

    encoded = engine.encode(example.path)
    clip = packed.pack_clip(encoded.clip, encoded.grid, encoded.second_per_step, "", example.path.name)
    machine = machine_conditions(engine.model.parts.device)
    made = {name: machine[name] for name in ("date", "device", "cores", "load_average", "threads")}
    return {"made": made, "report": packed_value(report), "clip": clip}


@cache
def _stored() -> dict[str, Any]:
    return json.loads(asset(NAME).read_text("utf-8"))


def stored_report() -> RunReport:
    """The stored comparison. Raises OmniZipError where this installation has none."""
    return unpacked_value(_stored()["report"])


def is_for(settings: Settings) -> bool:
    """Whether what is stored with the project is what these settings would give."""
    return not (settings.model or settings.examples or settings.chooses_part)


def first_look(settings: Settings) -> tuple[Example, Update] | None:
    """The first example and what the page shows of it; None where another model, or other examples, would be answered for."""
    if not is_for(settings):
        return None
    example = examples_of(settings)[0]
    return example, shown(_stored(), example, settings)


def shown(found: dict[str, Any], example: Example, settings: Settings) -> Update:
    """What the page shows of a comparison as it is stored. Raises KeyError, TypeError or ValueError for one of another format."""
    report, made = unpacked_value(found["report"]), found["made"]
    key = ClipKey.of(media.digest(example.path, settings), settings)
    answers = [run.answer.text for run in report.runs]
    turns = tuple((Turn(report.question, text),) for text in answers)
    chat = Chat(ClipHandle(example.path, key), first_arm(), (turns[FULL], turns[COMPRESSED]), report)
    return {**_answers(report, answers, made), "chat": chat, **decisions.show_answered(chat)}


def first_arm() -> Arm:
    """The method and its settings as the page starts."""
    return arm_of(METHOD, RETENTION, _options())


def _options() -> dict[str, Any]:
    """The method's settings as the page starts."""
    return {item.name: item.default for item in COMPRESSORS[METHOD].options()}


def lens(settings: Settings, look: Update, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """The clip and the decision of what `first_look`, or `shown` of a comparison, gives; by the names the lens has for them."""
    engine: Any = _Settled(settings)
    chat = look["chat"]
    maps = lens_view.maps(engine, chat, look["kept"], METHOD, RETENTION, _options(), "")
    return {"clip": {**(found or _stored())["clip"], "source": chat.path}, "maps": maps}


class _Settled:
    """All that drawing a decision without another over it needs of an engine."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


def _answers(report: RunReport, answers: list[str], made: dict[str, Any]) -> Update:
    """What stands at the right above the lens, and the costs."""
    spans = differing_words(*answers)
    full, compressed = report.runs
    titles = full.label, wording.asked_title(compressed.label, compressed.retention_target)
    cards = [fragments.answer(title, (), text, spans=marked) for title, text, marked in zip(titles, answers, spans, strict=True)]
    return {
        "origin": fragments.hint(origin(made)),
        "headline": fragments.headline(report.ratios(compressed)),
        "answer_full": cards[FULL],
        "answer_compressed": cards[COMPRESSED],
        "difference": fragments.hint(wording.difference(*answers, any(spans))),
        "sounded": report.clip.has_sound,
        "costs": fragments.costs(report.runs, on_cpu=report.conditions.device == "cpu", load=report.load),
        "clip_notes": fragments.hint(wording.clip_line(report.clip)),
    }


def origin(made: dict[str, Any]) -> str:
    """When and where the example was computed."""
    load = made["load_average"]
    day = date.fromisoformat(made["date"][:10]).isoformat()
    said = ", " + words.FIRST_LOOK_LOAD.format(load=f"{load[0]:.1f}", cores=made["cores"]) if load else ""
    return words.FIRST_LOOK.format(day=day, device=made["device"], threads=made["threads"], load=said)


def main() -> None:
    """Compute and write it."""
    from omnizip.engine import Engine

    path = Path(__file__).resolve().parent.parent / "assets" / NAME
    path.write_text(json.dumps(compute(Engine.open(Settings(device="cpu"))), ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
