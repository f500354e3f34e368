"""What is read of a clip where a single call says so: a part of it, another sound. The rest is as the settings have it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..settings import Settings


@dataclass(frozen=True)
class Part:
    """Chosen for one call; None leaves it to the settings. Seconds count from the first picture."""

    start: float | None = None
    end: float | None = None  # 0 for the clip's own end
    audio_track: str | None = None  # "main", "none" or a number from 1

    def of(self, settings: Settings) -> Settings:
        """The settings with what is chosen here. Raises OmniZipError in one sentence for what cannot be chosen."""
        chosen = {name: value for name, value in vars(self).items() if value is not None}
        return replace(settings, **chosen) if chosen else settings


AS_SET = Part()
