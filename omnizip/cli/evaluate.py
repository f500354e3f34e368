"""`python -m omnizip eval nano`: accuracy of methods on held-out clips of the synthetic world, as tables and as JSON.

Without --methods and --arm it makes the paper's table: all tokens, random choice, OmniZip in both readings and with parts
taken away, at 45, 35 and 25 %. The published results lie in docs/results: `eval nano --json docs/results/nano.json`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compressors import COMPRESSORS
from ..errors import UsageError
from ..settings import Settings
from .command_line import spell
from .console import check_targets, say, write

if TYPE_CHECKING:
    from ..evaluation.arms import Entry
    from ..evaluation.examiner import Job
    from ..evaluation.runner import Record
    from ..model.qwen import QwenOmni

SHARES, SECONDS = "0.45,0.35,0.25", "8"
CLIPS_FROM = 1_000_000_000  # of the world's held-out clips
SETTINGS = Settings.names("model")
WHERE_RESULTS_GO = ("json", "markdown", "state", "workers")  # flags that change no number


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flags of `eval nano`."""
    text = "methods at every --retention; all for every method (default, without --arm: the paper's table)"
    parser.add_argument("--methods", metavar="NAME,NAME", help=text)
    parser.add_argument("--retention", default=SHARES, metavar="R,R", help="shares to keep (default: %(default)s)")
    text = "one more line, such as omnizip@0.35:dynamic=false,anchors=false; without @ at every --retention; may be repeated"
    parser.add_argument("--arm", action="append", default=[], metavar="METHOD@R:OPTION=VALUE", help=text)
    parser.add_argument("--seeds", type=int, default=5, help="seeds of random choice, pooled (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=200, metavar="CLIPS", help="held-out clips per length (default: %(default)s)")
    parser.add_argument("--seconds", default=SECONDS, metavar="S,S", help="clip lengths, 2 to 24 (default: %(default)s)")
    parser.add_argument("--ambient", metavar="NAME", help="only clips with silence, hiss, hum or music under the events")
    parser.add_argument("--pattern", metavar="NAME", help="only clips with a plain, striped, dotted or checked backdrop")
    text = "first seed of the clips: 1000000000 on, where methods are tuned, or 2000000000 on, kept for tables (default: %(default)s)"
    parser.add_argument("--clips-from", type=int, default=CLIPS_FROM, metavar="SEED", help=text)
    text = "drawn, or filmed: the same events before textures and highlights, by a camera that pans and shakes (default: %(default)s)"
    parser.add_argument("--footage", default="drawn", metavar="NAME", help=text)
    parser.add_argument("--per-clip", type=int, default=10, metavar="N", help="questions per clip, at most (default: %(default)s)")
    text = "of so many clips one is described, 0 for none (default: %(default)s)"
    parser.add_argument("--describe-every", type=int, default=1, metavar="N", help=text)
    parser.add_argument("--by-time", action="store_true", help="also ask what is at which second, apart from the listed kinds")
    parser.add_argument("--controls", action="store_true", help="also: media blanked, and sound and picture of different clips")
    parser.add_argument("--density", action="store_true", help="also: how well OmniZip's S_a follows what happens")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of questions (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each (default: %(default)s)")
    parser.add_argument("--state", metavar="FOLDER", help="remember each clip there; the same command goes on after a stop")
    parser.add_argument("--json", metavar="FILE", help="write the results; - for standard output")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there (default: standard output)")
    Settings.add_flags(parser.add_argument_group("settings"), SETTINGS)


def run(arguments: argparse.Namespace) -> None:
    """Measure, show and write. Raises OmniZipError for what a user can cause or cure, before the long work where possible."""
    check_targets({"--json": arguments.json, "--markdown": arguments.markdown})
    _check_flags(arguments)
    job = _job(arguments)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")

    from ..evaluation import runner, tables
    from ..model.qwen import QwenOmni

    model = QwenOmni.load(job.settings)
    weights = runner.digest(model)
    store = runner.RecordStore(Path(arguments.state) if arguments.state else None, runner.identity(job, weights))
    records = runner.run(job, model, job.tasks(arguments.limit), store, arguments.workers, sys.stderr)
    result = _result(arguments, job, records, _conditions(arguments, job, records, model, weights))
    write(arguments.json, lambda: as_json(result))
    if arguments.markdown is not None:
        write(arguments.markdown, lambda: tables.markdown(result))
    elif arguments.json != "-":
        say(tables.markdown(result), end="")


def _result(arguments: argparse.Namespace, job: Job, records: Sequence[Record], conditions: dict[str, Any]) -> dict[str, Any]:
    from ..evaluation import controls, summary

    result = {"conditions": conditions, "results": summary.results(records, job.entries)}
    if arguments.controls:
        result["controls"] = controls.measure(records)
    if arguments.density:
        result["density"] = summary.densities(records)
    return result


def as_json(result: dict[str, Any]) -> str:
    """A result as JSON; numbers have five digits, more than any of them is good for, and a list of plain values takes one line."""
    text = json.dumps(_rounded(result), indent=1, ensure_ascii=False, allow_nan=False)
    return re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _job(arguments: argparse.Namespace) -> Job:
    from ..evaluation.dataset import Choice
    from ..evaluation.examiner import Job

    shares = parse_shares(arguments.retention)
    lengths = _parse_numbers("--seconds", arguments.seconds, 1.0, 24.0, "whole seconds from 2 to 24 such as 8,16", whole=True)
    settings = replace(Settings.from_environment(os.environ).override(arguments), temperature=0.0)
    choice = Choice(
        per_clip=arguments.per_clip,
        describe_every=arguments.describe_every,
        auxiliary=arguments.by_time,
        ambient=arguments.ambient,
        pattern=arguments.pattern,
        footage=arguments.footage,
        clips_from=arguments.clips_from,
        seed=arguments.seed,
    )
    choices = tuple(replace(choice, seconds=seconds) for seconds in lengths)
    return Job(settings, _entries(arguments, shares), choices, arguments.controls, shares if arguments.density else ())


def _entries(arguments: argparse.Namespace, shares: tuple[float, ...]) -> tuple[Entry, ...]:
    from ..evaluation import arms

    if not arguments.methods and not arguments.arm:
        return arms.with_full(arms.paper_table(shares, arguments.seeds))
    names = list(COMPRESSORS) if arguments.methods == "all" else (arguments.methods or "full").split(",")
    found = arms.method_entries(names, shares, arguments.seeds)
    for text in arguments.arm:
        found += arms.parse_arm(text, shares, arguments.seeds)
    return arms.with_full(found)


def parse_shares(text: str) -> tuple[float, ...]:
    """The shares that --retention names. Raises UsageError for anything else."""
    return _parse_numbers("--retention", text, 0.0, 1.0, "shares above 0 and up to 1 such as 0.45,0.35")


def _parse_numbers(flag: str, text: str, above: float, most: float, wanted: str, whole: bool = False) -> tuple[float, ...]:
    try:
        values = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        values = ()
    if not values or not all(above < value <= most and not (whole and value % 1) for value in values):
        raise UsageError(f"{flag} is {text!r}; give {wanted}.")
    return values


def _check_flags(arguments: argparse.Namespace) -> None:
    from ..evaluation.dataset import PARTNERS
    from ..evaluation.world.scene import FOOTAGE, HELD_OUT_SEEDS, PATTERNS, REPORT_SEEDS
    from ..evaluation.world.sounds import AMBIENTS

    if min(arguments.limit, arguments.seeds, arguments.per_clip, arguments.workers) < 1:
        raise UsageError("--limit, --seeds, --per-clip and --workers are whole numbers from 1 on.")
    if arguments.limit > 1_000_000:
        raise UsageError("--limit is at most 1000000 clips.")
    if min(arguments.describe_every, arguments.seed) < 0:
        raise UsageError("--describe-every and --seed are whole numbers from 0 on.")
    reached = PARTNERS * arguments.controls + arguments.limit  # the clips that controls are made with lie further on
    if not any(arguments.clips_from in seeds and arguments.clips_from + reached <= seeds.stop for seeds in (HELD_OUT_SEEDS, REPORT_SEEDS)):
        ranges = " or ".join(f"{seeds.start} to {seeds.stop - reached}" for seeds in (HELD_OUT_SEEDS, REPORT_SEEDS))
        raise UsageError(f"--clips-from is {arguments.clips_from}; for so many clips give a seed from {ranges}.")
    for flag, known in (("ambient", tuple(AMBIENTS)), ("pattern", PATTERNS), ("footage", FOOTAGE)):
        value = getattr(arguments, flag)
        if value is not None and value not in known:
            raise UsageError(f"--{flag} is {value!r}; choose of {', '.join(known)}.")
    if arguments.json == "-" and arguments.markdown == "-":
        raise UsageError("--json - and --markdown - exclude each other; write one of them to a file.")
    if arguments.state and Path(arguments.state).exists() and not Path(arguments.state).is_dir():
        raise UsageError(f"--state {arguments.state} is a file; give a folder's name.")


def _conditions(arguments: argparse.Namespace, job: Job, records: Sequence[Record], model: QwenOmni, weights: str) -> dict[str, Any]:
    from ..model.conditions import machine_conditions

    return {
        **machine_conditions(model.parts.device),
        **asdict(model.conditions),
        "weights": weights,
        "threads": 1 if arguments.workers > 1 else model.conditions.threads,
        "workers": arguments.workers,
        "seconds": [choice.seconds for choice in job.choices],
        "clips": arguments.limit,
        "first_seed": min(record["seed"] for record in records),
        "last_seed": max(record["seed"] for record in records),
        "questions": sum(len(record["questions"]) for record in records),
        "questions_per_clip": arguments.per_clip,
        "describe_every": arguments.describe_every,
        "seed": arguments.seed,
        "seeds_of_random": arguments.seeds,
        "ambient": arguments.ambient,
        "pattern": arguments.pattern,
        "footage": arguments.footage,
        "headline": "all: mean of the accuracies of the listed kinds; descriptions apart",
        "interval": "95 %, bootstrap over clips",
        "command": spell("python -m omnizip eval nano", add_flags, arguments, skipped=WHERE_RESULTS_GO),
    }
