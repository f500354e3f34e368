"""What a page holds of a conversation: its clip, its turns, the decision it shows. Plain values; no gradio.

What handlers return are updates, each a dict from the name of a piece of the page to its new value; page.py puts them there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnizip.compressors import COMPRESSORS
from omnizip.engine import ClipHandle
from omnizip.engine.events import Arm
from omnizip.errors import MethodError, OmniZipError
from omnizip.report import fragments
from omnizip.report.decision import CompressionRecord
from omnizip.report.report import RunReport
from omnizip.settings import Settings
from omnizip.types import Turn

from . import markup, words

Update = dict[str, Any]
FULL, COMPRESSED = 0, 1  # the two arms, in the order they run
Turns = tuple[tuple[Turn, ...], tuple[Turn, ...]]  # the full model's and the compressed one's


@dataclass(frozen=True, eq=False)
class Chat:
    """A conversation about one clip: what each model was asked and said, and the report of the latest answer.

    It holds the clip, so that a further question or look finds it encoded.
    """

    clip: ClipHandle
    arm: Arm
    turns: Turns
    report: RunReport

    @property
    def path(self) -> str:
        """The clip's file."""
        return str(self.clip.path)


@dataclass(frozen=True, eq=False)
class ClipDecision:
    """What the map shows: a decision about a clip, whether it was answered with or only tried."""

    clip: ClipHandle
    record: CompressionRecord
    label: str  # the method's, for people


def arm_of(method: str, retention: str | float, options: Mapping[str, Any]) -> Arm:
    """The compressed arm as a person chose it: a preset or a share sets the rates, "custom" leaves them among the options."""
    if retention == words.CUSTOM:
        return Arm(method, None, dict(options))
    share = words.PRESETS.get(retention, retention) if isinstance(retention, str) else retention
    try:
        share = float(share)
    except (TypeError, ValueError):
        raise MethodError(words.BAD_RETENTION.format(given=retention)) from None
    kind = COMPRESSORS.get(method)
    rates = {item.name for item in kind.options() if item.is_rate} if kind else set()
    return Arm(method, share, {name: value for name, value in options.items() if name not in rates})


def check_question(question: str, settings: Settings, turns: Sequence[Turn] = ()) -> None:
    """Raise OmniZipError for a question, or a conversation, that is too long to be read for one visitor."""
    if len(question) > settings.question_chars:
        raise OmniZipError(words.QUESTION_LONG.format(given=len(question), most=settings.question_chars))
    if len(turns) >= settings.questions_per_chat:
        raise OmniZipError(words.CHAT_LONG.format(given=len(turns)))


def empty_page() -> Update:
    """The page as it was before the first answer; clip and settings stay."""
    return {
        "chat": None,
        "kept": None,
        "talking": False,
        "status": "",
        "follow_up": "",
        "origin": "",
        "headline": markup.invitation(),
        "answer_full": fragments.answer(COMPRESSORS["full"].label, (), None, empty=words.FULL_EMPTY),
        "answer_compressed": fragments.answer(COMPRESSORS["omnizip"].label, (), None, empty=words.COMPRESSED_EMPTY),
        "difference": "",
        "sounded": False,
        "costs": "",
        "clip_notes": "",
        "video": None,
        "video_status": "",
        "chart": None,
        "reasons": "",
    }
