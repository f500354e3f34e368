"""What somebody has asked a model about the first example, as the page starts: kept as the first look for who comes next. No gradio.

It lies in the user's cache under a fingerprint of all that the answers depend on: weights, precision, device, settings, clip and
question. So no model is ever shown with another's answers. Nothing of a visitor's own is kept.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnizip import __version__
from omnizip.errors import OmniZipError
from omnizip.report.report import SCHEMA_VERSION
from omnizip.settings import Settings

from . import first_look
from .chat import FULL, Chat, Update
from .examples import Example, examples_of

if TYPE_CHECKING:
    from .model_host import ModelHost

SERVING = Settings.names("page")  # settings that no answer depends on
MOST = 32  # files; the oldest go


def cache_folder() -> Path:
    """Where the user's caches are."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnizip" / "first-look"


class KeptLooks:
    """Comparisons of the first example, by what they depend on."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or cache_folder()

    def keep(self, host: ModelHost, chat: Chat) -> bool:
        """Keep the comparison if it is the one the page would show first; whether it was. A disk that refuses is no visitor's concern."""
        example = examples_of(host.settings)[0]
        try:
            path = self._path(host, example)
            if path is None or not _is_first(host, example, chat):
                return False
            self._folder.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(first_look.stored(host.engine, example, chat.report), ensure_ascii=False), "utf-8")
            part.replace(path)
            for old in sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime)[:-MOST]:
                old.unlink(missing_ok=True)
        except (OSError, OmniZipError):
            return False
        return True

    def shown(self, host: ModelHost) -> tuple[Example, Update, dict[str, Any]] | None:
        """The first example, what the page shows of it and what its lens does; None where this model was not asked about it yet."""
        example = examples_of(host.settings)[0]
        try:
            path = self._path(host, example)
            if path is None:
                return None
            found = json.loads(path.read_text("utf-8"))
            look = first_look.shown(found, example, host.settings)
            return example, look, first_look.lens(host.settings, look, found)
        except (OSError, OmniZipError, KeyError, TypeError, ValueError):  # there is none, or it is not whole
            return None

    def _path(self, host: ModelHost, example: Example) -> Path | None:
        """The file of what the model that answers now says of the example; None while none does, where it is not
        this process's own, and for the model that has a first look without being asked."""
        if host.state.conditions is None or host.elsewhere or (host.state.name == host.settings.model and first_look.is_for(host.settings)):
            return None
        engine = host.engine
        known = {
            "format": [__version__, SCHEMA_VERSION],
            "weights": engine.model.weights_digest,
            "conditions": asdict(engine.conditions),
            "settings": {name: value for name, value in asdict(engine.settings).items() if name not in SERVING},
            "clip": asdict(engine.open_clip(example.path).key),
            "asked": [example.question, asdict(first_look.first_arm())],
        }
        name = sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()
        return self._folder / f"{name}.json"


def _is_first(host: ModelHost, example: Example, chat: Chat) -> bool:
    """Whether a conversation is the first question about the first example, as the page starts, answered by the model that is there."""
    report = chat.report
    return (
        chat.clip.key == host.engine.open_clip(example.path).key
        and chat.path == str(example.path)
        and chat.arm == first_look.first_arm()
        and report.question == example.question
        and len(chat.turns[FULL]) == 1
        and report.conditions == host.engine.conditions
        and all(run.answer.finish != "stopped" for run in report.runs)
    )
