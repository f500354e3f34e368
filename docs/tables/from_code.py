"""What code alone knows: the methods, what their budgets come to, the settings, and the memory that models need."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

import torch

from omnizip import COMPRESSORS, TokenStream
from omnizip.cli import benchmark, compare, evaluate
from omnizip.engine.zerogpu import TOKENS_PER_S_OF_SOUND
from omnizip.model import memory
from omnizip.settings import Settings

SHARES = (0.45, 0.35, 0.25)
AUDIO, VIDEO = 151646, 151656  # placeholders of Qwen2.5-Omni


def methods_in_short() -> str:
    """One row per method: its name, what it keeps, where it comes from."""
    lines = ["| method | what it does | source |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| `{name}` | {m.summary} | {m.source} |" for name, m in COMPRESSORS.items())])


def methods() -> str:
    """One row per method, with how faithful it is."""
    lines = ["| method | keeps | fidelity | source |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| `{name}` | {m.summary} | {m.fidelity} | {m.source} |" for name, m in COMPRESSORS.items())])


def later() -> str:
    """What the answer, and a further question, can still see, by method."""
    sentences: dict[str, list[str]] = {}
    for name, method in COMPRESSORS.items():
        if name != "full":
            sentences.setdefault(method.later, []).append(f"`{name}`")
    return "\n".join(f"- {', '.join(names)}: {sentence}" for sentence, names in sentences.items())


LENGTHS_OF_BUDGET_S = (2, 4, 8, 16, 32, 64)
PATCHES = 6  # of a side of a picture, after the 2 x 2 merge


def budget() -> str:
    """What the two readings of OmniZip keep of clips of noise, beside what they were asked to keep."""
    asked = [(name, share) for name in ("omnizip", "omnizip-official") for share in SHARES]
    lines = [f"| clip | {' | '.join(f'`{name}` at {share:.0%}' for name, share in asked)} |", f"| ---: |{' ---: |' * len(asked)}"]
    for seconds in LENGTHS_OF_BUDGET_S:
        stream = noise(seconds)
        kept = (COMPRESSORS[name].at_retention(share, stream).compress(stream).keep.float().mean() for name, share in asked)
        lines.append(f"| {seconds} s | {' | '.join(f'{100 * share:.0f}' for share in kept)} |")
    return "\n".join(lines)


def noise(seconds: int) -> TokenStream:
    """A clip of noise as the processor lays it out: per two seconds two steps of patches, then the sound."""
    ids = torch.tensor(([VIDEO] * 2 * PATCHES**2 + [AUDIO] * 2 * TOKENS_PER_S_OF_SOUND) * (seconds // 2))
    embeds = torch.randn(len(ids), 64, generator=torch.Generator().manual_seed(0))
    grid = (seconds, 2 * PATCHES, 2 * PATCHES)
    return TokenStream.from_ids(ids, embeds, audio_token_id=AUDIO, video_token_id=VIDEO, grid_thw=grid)


COMMANDS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "`app.py`": Settings.add_flags,
    "`compare`": compare.add_flags,
    "`eval nano`": evaluate.add_flags,
    "`eval BENCHMARK`": benchmark.add_flags,
}


def settings() -> str:
    """One row per setting, with the commands that take it as a flag."""
    taken = {command: _flags(add) for command, add in COMMANDS.items()}
    lines = ["| flag | default | what it sets | taken by |", "| --- | --- | --- | --- |"]
    for field in dataclasses.fields(Settings):
        default = "" if field.default == "" else f"`{field.default}`"
        told = field.metadata["help"]
        commands = ", ".join(command for command, flags in taken.items() if flags.get(field.name, "").startswith(told))
        lines.append(f"| `--{field.name.replace('_', '-')}` | {default} | {told} | {commands} |")
    return "\n".join(lines)


def _flags(add: Callable[[argparse.ArgumentParser], None]) -> dict[str, str]:
    """Per flag of a command what its help says: a flag of a setting says what the setting says."""
    parser = argparse.ArgumentParser()
    add(parser)
    return {action.dest: action.help or "" for action in parser._actions}


LENGTHS_S = (10, 30, 60, 300, 600)  # of clips
CHATS = 2  # whose keys and values are kept for a further question


def sizes() -> str:
    """Memory by model and length of the clip: weights, the caches that are kept of prompts, and the work of reading one."""
    s = Settings()
    lines = [f"| model | weights | {' | '.join(f'{n} s' for n in LENGTHS_S)} |", f"| --- | ---: |{' ---: |' * len(LENGTHS_S)}"]
    for name in memory.PARAMETERS:
        for kind, four_bit in (("bfloat16", False), ("4 bits", True)):
            if four_bit and not memory.has_four_bits(memory.SHAPES[name]):
                lines.append(f"| {name.rpartition('/')[2]}, {kind} | {' | '.join(['refused'] + ['–'] * len(LENGTHS_S))} |")
                continue
            found = [needed(name, s, four_bit, seconds) for seconds in LENGTHS_S]
            cells = " | ".join(f"{of.total / 1e9:.1f} GB" for of in found)
            lines.append(f"| {name.rpartition('/')[2]}, {kind} | {found[0].weights / 1e9:.1f} GB | {cells} |")
    told = f"A compressed prompt has {memory.COMPRESSED:.0%} of the clip. "
    told += f"Default settings, under which a clip beyond {s.max_frames / s.fps:.0f} seconds has no more pictures, only more sound, "
    told += f"and prompts are kept up to {s.prefix_memory_mb / 1e3:.0f} GB."
    return "\n".join([*lines, "", told])


def needed(name: str, settings: Settings, four_bit: bool, seconds: float) -> memory.Needs:
    """What a released model takes with the prompts of CHATS chats, by the computation that loading and the page go by."""
    weights = memory.released_weights(name, 2, four_bit)
    limit = 1e6 * settings.prefix_memory_mb
    return memory.needs(weights, memory.SHAPES[name], settings, 2, seconds, chats=CHATS, limit=limit)
