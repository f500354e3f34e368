"""What was lost or changed while a clip was read, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NOTICEABLE_S = 0.1  # shorter shifts of sound and picture go unmentioned


@dataclass(frozen=True)
class Outcome:
    """What became of the decoder's facts."""

    frames: int
    fps: float  # sampled
    wanted_fps: float
    has_sound: bool
    silent: bool
    alone_s: float  # of sound in which one channel was taken alone
    audio_track: str = "main"  # what was asked for: main, none or a number


def sentences(facts: dict[str, Any], outcome: Outcome) -> Iterator[str]:
    """Everything a reader of the answer should know, the picture first."""
    yield from _of_picture(facts, outcome)
    yield from _of_sound(facts, outcome)


def _of_picture(facts: dict[str, Any], outcome: Outcome) -> Iterator[str]:
    lost, patched = facts["damaged_packets"], facts["damaged_pictures"]
    damage = [f"{_count(lost, 'packet')} could not be decoded"] * (lost > 0)
    damage += [f"{_count(patched, 'picture')} had to be patched up"] * (patched > 0)
    if damage:
        yield f"The picture is damaged: {' and '.join(damage)}."
    if facts["unread_start_s"] > NOTICEABLE_S:
        yield f"The first {facts['unread_start_s']:.1f} s of the picture cannot be decoded; the clip begins at its first whole picture."
    read_s = max(facts["picture_s"], facts["sound_s"])
    if facts["announced_s"] is not None and facts["announced_s"] - read_s > 0.5:
        yield f"The file announces {facts['announced_s']:.1f} s but ends after {read_s:.1f} s; the rest is missing."
    if facts["restarts"]:
        yield f"The file's clock jumps {_times(facts['restarts'])}; what follows was put right after what came before."
    if facts["misplaced_pictures"]:
        yield f"{_count(facts['misplaced_pictures'], 'picture')} with impossible time stamps had to be left out."
    if outcome.fps < outcome.wanted_fps * 0.995:
        yield (
            f"The clip is long, so {outcome.fps:.2g} frames per second are sampled instead of {outcome.wanted_fps:g}, "
            f"{outcome.frames} frames in all."
        )
    if facts["pictures"] == 1:
        yield "The clip has only one picture."
    elif outcome.frames == 1:
        yield "The clip is so short that only one frame was sampled."
    if facts["sound_s"] - facts["picture_s"] > 0.5:
        yield f"The picture ends after {facts['picture_s']:.1f} s; its last frame stays until the sound ends."
    if facts["size_changes"]:
        yield "The picture's size changes within the clip; all frames were scaled to the first one's size."
    if facts["hdr"]:
        yield "The picture is HDR; its colours were not converted and look flatter than they should."
    if facts["alpha"]:
        yield "Parts of the picture are transparent; they were put over black."
    if facts["unread_alpha"]:
        yield "Parts of the picture may be transparent; that was not read, and colours that players hide were."
    if facts["interlaced"]:
        yield "The picture is interlaced; it was deinterlaced."
    if facts["picture_tracks"] > 1:
        yield _choice(facts["picture_tracks"], facts["skipped_picture_tracks"], "video")
    if facts["late_tracks"]:
        yield "Another track begins in the middle of the file; it was not read."


def _of_sound(facts: dict[str, Any], outcome: Outcome) -> Iterator[str]:
    if facts["damaged_sound_packets"]:
        yield f"The sound is damaged: {_count(facts['damaged_sound_packets'], 'packet')} could not be decoded."
    if outcome.audio_track == "none":
        yield "The sound was left out, as chosen, so no sound guides the compression."
        return
    if facts["refused_channels"]:
        yield f"The sound has {facts['refused_channels']} channels, more than can be read, so no sound guides the compression."
    elif not outcome.has_sound and not facts["sound_tracks"]:
        yield "There is no sound track, so no sound guides the compression."
    elif not outcome.has_sound:
        yield "The sound track could not be decoded or is empty, so no sound guides the compression."
    elif outcome.silent:
        yield "The sound track is silent, so no sound guides the compression."
    if facts["late_sound_s"] > NOTICEABLE_S:
        yield f"The sound starts {facts['late_sound_s']:.1f} s after the picture; silence was put before it."
    if facts["early_sound_s"] > NOTICEABLE_S:
        yield f"The sound starts {facts['early_sound_s']:.1f} s before the picture; that part was cut."
    if facts["sound_gaps_s"] > NOTICEABLE_S:
        yield f"The sound has gaps of {facts['sound_gaps_s']:.1f} s in all; they were filled with silence."
    if facts["misplaced_sound_s"] > NOTICEABLE_S:
        yield f"{facts['misplaced_sound_s']:.1f} s of sound with impossible time stamps had to be left out."
    if outcome.alone_s:
        yield f"The sound's channels cancel each other for {outcome.alone_s:.1f} s; there the loudest of them was taken alone."
    if facts["sound_tracks"] > 1 and outcome.audio_track != "main":
        yield f"The file has {facts['sound_tracks']} sound tracks; only number {outcome.audio_track} was read, as chosen."
    elif facts["sound_tracks"] > 1:
        yield _choice(facts["sound_tracks"], facts["skipped_sound_tracks"], "sound")


def _choice(tracks: int, skipped: int, kind: str) -> str:
    if skipped:
        return f"The file has {tracks} {kind} tracks; the main one cannot be decoded, so another was read."
    return f"The file has {tracks} {kind} tracks; only the main one was read."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
