"""`python -m omnizip compare`: one question to the full model and to compressed ones.

Flags of methods come from the methods' own fields, flags of settings from `Settings`. With `--json -` or `--csv -` the report
is all that standard output gets.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from .. import media
from ..compressors import COMPRESSORS
from ..compressors.base import Option
from ..engine.events import Arm, ArmDone, Finished, Piece, Stage
from ..errors import UsageError
from ..report.wording import STAGES
from ..settings import Settings
from . import plain_text
from .console import LiveOutput, check_targets, say, write

if TYPE_CHECKING:
    from ..report.report import RunReport

DEFAULT_RETENTION = 0.45
SETTINGS = Settings.names("model", "clip", "part", "answer")
OWN_FLAGS = ("retention",)  # of the command, where a method may have an option of the same name


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flags of `compare`."""
    parser.add_argument("clip", metavar="CLIP", help="a video file")
    parser.add_argument("--question", required=True, help="what to ask about the clip")
    parser.add_argument("--method", action="append", metavar="NAME", help=f"one of {', '.join(COMPRESSORS)}; may be repeated")
    parser.add_argument("--retention", type=float, help=f"share of the clip's tokens to keep (default: {DEFAULT_RETENTION})")
    parser.add_argument("--json", metavar="FILE", help="write the report; - for standard output")
    parser.add_argument("--csv", metavar="FILE", help="write the windows of every run; - for standard output")
    parser.add_argument("--report", metavar="FILE", help="write a page that plays the clip and shows what was kept; opens without a server")
    parser.add_argument("--quiet", action="store_true", help="answers and costs only: no progress, no streaming")
    _add_method_flags(parser.add_argument_group("options of methods"))
    Settings.add_flags(parser.add_argument_group("settings"), SETTINGS)


def _options() -> dict[str, list[tuple[str, Option]]]:
    """Every option of any method with the methods that have it, but for those that a flag or a setting of the command sets."""
    options: dict[str, list[tuple[str, Option]]] = {}
    for name, kind in COMPRESSORS.items():
        for option in kind.options():
            if option.name not in (*OWN_FLAGS, *SETTINGS):
                options.setdefault(option.name, []).append((name, option))
    return options


def _add_method_flags(group: Any) -> None:
    kinds = {"integer": int, "number": float, "choice": str}
    for name, owners in _options().items():
        option = owners[0][1]
        text = f"{option.help} {plain_text.bounds(option)} ({', '.join(owner for owner, _ in owners)})".replace("%", "%%")
        flag, dest = plain_text.flag(option), f"option_{name}"
        if option.kind == "switch":
            group.add_argument(flag, dest=dest, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            group.add_argument(flag, dest=dest, type=kinds[option.kind], default=None, help=text, metavar="VALUE")


def _arms(arguments: argparse.Namespace) -> list[Arm]:
    """The runs beside the full model's. Raises OmniZipError for what the methods do not take."""
    given = {name: value for name in _options() if (value := getattr(arguments, f"option_{name}")) is not None}
    names = list(dict.fromkeys(arguments.method or ["omnizip"]))
    kinds = {name: Arm(name).method_class() for name in names}
    rates = [name for name in given if any(option.is_rate for _, option in _options()[name])]
    for name in given:
        lacking = [method for method, kind in kinds.items() if name not in {o.name for o in kind.options()}]
        if lacking and (name in rates or len(lacking) == len(kinds)):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is no option of {lacking[0]}; it belongs to {', '.join(m for m, _ in _options()[name])}.")
    if rates and arguments.retention is not None:
        raise UsageError(f"--retention and --{rates[0].replace('_', '-')} exclude each other; give one of them.")
    retention = None if rates else DEFAULT_RETENTION if arguments.retention is None else arguments.retention
    arms = []
    for name, kind in kinds.items():
        own = {option.name for option in kind.options()}
        arms.append(Arm(name, retention, {key: value for key, value in given.items() if key in own}))
        arms[-1].method_class()
    return [arm for arm in arms if arm.method != "full"]


def run(arguments: argparse.Namespace) -> None:
    """Compare, show and write. Raises OmniZipError for what a user can cause or cure, before the long work where possible."""
    settings = Settings.from_environment(os.environ).override(arguments)
    arms = _arms(arguments)
    if arguments.json == "-" and arguments.csv == "-":
        raise UsageError("--json - and --csv - exclude each other; write one of them to a file.")
    check_targets({"--json": arguments.json, "--csv": arguments.csv, "--report": arguments.report}, arguments.clip)
    if arguments.report == "-":
        raise UsageError("--report writes a page; give a file's name, such as report.html.")
    if not arguments.question.strip():
        raise UsageError("--question is empty; ask something about the clip.")
    media.digest(arguments.clip, settings)  # a file that is not there is an error before the model is loaded
    _silence_libraries()
    from ..engine import Engine  # takes seconds to import

    bare = "-" in (arguments.json, arguments.csv)  # standard output is for a program
    live = not (arguments.quiet or bare)
    output = LiveOutput(answers=live, progress=live and sys.stderr.isatty())
    output.show_progress("Loading the model")
    engine = Engine.open(settings)
    report = _compare(engine, arguments, arms, output)
    if not bare:
        _say_report(report, answers=arguments.quiet, remarks=not arguments.quiet)
    write(arguments.json, lambda: json.dumps(report.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write(arguments.csv, report.windows_csv)
    write(arguments.report, lambda: _html_report(engine, arguments.clip, report))


def _compare(engine: Any, arguments: argparse.Namespace, arms: list[Arm], output: LiveOutput) -> RunReport:
    """Run the comparison and show its events."""
    labels = [plain_text.heading(COMPRESSORS[arm.method].label, arm.retention) for arm in (Arm("full"), *arms)]
    for event in engine.compare(arguments.clip, arguments.question, arms):
        match event:
            case Stage():
                output.show_progress(_progress_text(event, labels))
                if event.name == "answer":
                    output.begin_answer(labels[event.arm])
            case Piece():
                output.extend_answer(event.text)
            case ArmDone():
                output.end_answer()
            case Finished():
                output.show_progress("")
                return event.report
    raise AssertionError("a comparison that nobody stops ends with its report")


def _html_report(engine: Any, path: str, report: RunReport) -> str:
    from ..report.standalone import html_report

    encoded = engine.encode(path)
    return html_report(report, encoded.clip, encoded.second_per_step, engine.settings)


def _progress_text(stage: Stage, labels: list[str]) -> str:
    done = "" if stage.fraction is None else f" {100 * stage.fraction:.0f} %"
    return f"{STAGES[stage.name]}{done}" + ("" if stage.arm is None else f" ({labels[stage.arm]})")


def _say_report(report: RunReport, answers: bool, remarks: bool) -> None:
    """Write what was measured, after the answers where they were not shown as they came."""
    if answers:
        for run in report.runs:
            say(f"{plain_text.heading(run.label, run.retention_target)}\n{plain_text.indent(run.answer.text)}\n")
    say(plain_text.clip_line(report))
    say(plain_text.cost_table(report))
    for line in plain_text.ratio_lines(report):
        say(line)
    if remarks:
        for line in plain_text.remarks(report):
            say(line)


def _silence_libraries() -> None:
    """Keep the libraries' own messages off the terminal; what a user has to know is a warning of the report."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for name in ("transformers", "torch", "accelerate", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
