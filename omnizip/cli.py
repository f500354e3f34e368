"""`python -m omnizip compare | methods`: the engine on the command line.

Flags of settings come from `Settings`, flags of methods from the methods' own fields. Whatever a user can cause or cure ends
with status 2 and one line on standard error. `--json -` and `--csv -` write to standard output, and nothing else is then.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import terminal
from .compressors import COMPRESSORS
from .compressors.base import Compressor, Option
from .errors import OmniZipError
from .settings import Settings

if TYPE_CHECKING:
    from .events import Arm, Stage
    from .report import RunReport

DEFAULT_RETENTION = 0.45
SERVER_ONLY = ("host", "port", "queue_size", "cached_clips")
SHARED = ("seed", "retention")  # options that the command's own flags set


class UsageError(OmniZipError):
    """The command line itself is wrong."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UsageError(f"{message}; {self.prog} --help lists what it takes.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode, a name that is no text
    try:
        arguments = _parser().parse_args(argv)
        arguments.command(arguments)
        sys.stdout.flush()
    except OmniZipError as error:
        sys.stderr.write(f"omnizip: {' '.join(terminal.printable(str(error)).split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("omnizip: stopped.\n")
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _say(text: str = "", end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


# ---- what can be asked


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m omnizip", description="Token compression for omnimodal models.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    compare = commands.add_parser("compare", help="ask the full and a compressed model the same question", allow_abbrev=False)
    compare.set_defaults(command=_compare)
    compare.add_argument("clip", metavar="CLIP", help="a video file")
    compare.add_argument("--question", required=True, help="what to ask about the clip")
    compare.add_argument("--method", action="append", metavar="NAME", help=f"one of {', '.join(COMPRESSORS)}; may be repeated")
    compare.add_argument("--retention", type=float, help=f"share of the clip's tokens to keep (default: {DEFAULT_RETENTION})")
    compare.add_argument("--json", metavar="FILE", help="write the report; - for standard output")
    compare.add_argument("--csv", metavar="FILE", help="write the windows of every run; - for standard output")
    compare.add_argument("--quiet", action="store_true", help="answers and costs only: no progress, no streaming")
    _add_method_flags(compare.add_argument_group("options of methods"))
    settings = compare.add_argument_group("settings")
    Settings.add_flags(settings, tuple(n for n in Settings.__dataclass_fields__ if n not in SERVER_ONLY))
    methods = commands.add_parser("methods", help="list the methods and their options", allow_abbrev=False)
    methods.set_defaults(command=_methods)
    methods.add_argument("--json", metavar="FILE", help="write the list; - for standard output")
    return parser


def _options() -> dict[str, list[tuple[str, Option]]]:
    """Every option of any method, with the methods that have it."""
    options: dict[str, list[tuple[str, Option]]] = {}
    for name, kind in COMPRESSORS.items():
        for option in kind.options():
            if option.name not in SHARED:
                options.setdefault(option.name, []).append((name, option))
    return options


def _add_method_flags(group: Any) -> None:
    kinds = {"integer": int, "number": float, "choice": str}
    for name, owners in _options().items():
        option = owners[0][1]
        text = f"{option.help} {terminal.bounds(option)} ({', '.join(owner for owner, _ in owners)})".replace("%", "%%")
        flag, dest = terminal.flag(option), f"option_{name}"
        if option.kind == "switch":
            group.add_argument(flag, dest=dest, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            group.add_argument(flag, dest=dest, type=kinds[option.kind], default=None, help=text, metavar="VALUE")


def _arms(arguments: argparse.Namespace) -> list[Arm]:
    """What to run beside the full model. Raises OmniZipError for what the methods do not take."""
    from .events import Arm

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


# ---- compare


def _compare(arguments: argparse.Namespace) -> None:
    settings = Settings.from_environment(os.environ).override(arguments)
    arms = _arms(arguments)
    if arguments.json == "-" and arguments.csv == "-":
        raise UsageError("--json - and --csv - exclude each other; write one of them to a file.")
    for flag, target in (("--json", arguments.json), ("--csv", arguments.csv)):
        _check_target(flag, target)
    if not arguments.question.strip():
        raise UsageError("--question is empty; ask something about the clip.")
    _hush()
    from . import media
    from .engine import Engine

    media.digest(arguments.clip, settings)  # a file that is not there is told before the model is loaded
    bare = "-" in (arguments.json, arguments.csv)
    shown = _Shown(streams=not (arguments.quiet or bare), progress=not (arguments.quiet or bare) and sys.stderr.isatty())
    shown.stage("Loading the model")
    engine = Engine.open(settings)
    report = _run(engine, arguments, arms, shown)
    if not bare:
        _say_result(report, answers=arguments.quiet, remarks=not arguments.quiet)
    _write(arguments.json, lambda: json.dumps(report.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    _write(arguments.csv, report.windows_csv)


def _run(engine: Any, arguments: argparse.Namespace, arms: list[Arm], shown: _Shown) -> RunReport:
    from .events import ArmDone, Finished, Piece, Stage

    labels = ["Full model", *(f"{COMPRESSORS[arm.method].label}" for arm in arms)]
    for event in engine.compare(arguments.clip, arguments.question, arms):
        match event:
            case Stage():
                shown.stage(_stage_text(event, labels))
                if event.name == "answer":
                    shown.begin(labels[event.arm])
            case Piece():
                shown.piece(event.text)
            case ArmDone():
                shown.end()
            case Finished():
                shown.stage("")
                return event.report
    raise OmniZipError("The comparison was stopped before the first answer; run it again.")


def _stage_text(stage: Stage, labels: list[str]) -> str:
    from ui import words

    done = "" if stage.fraction is None else f" {100 * stage.fraction:.0f} %"
    return f"{words.STAGES[stage.name]}{done}" + ("" if stage.arm is None else f" ({labels[stage.arm]})")


class _Shown:
    """What has been written while the engine works: progress on a terminal's standard error, answers as they come."""

    def __init__(self, streams: bool, progress: bool):
        self._streams, self._progress = streams, progress
        self._text = ""

    def stage(self, text: str) -> None:
        """Show what is being done in one line that the next one replaces; an empty text clears it."""
        if self._progress:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def begin(self, label: str) -> None:
        self.stage("")
        self._text = ""
        if self._streams:
            _say(f"{label}\n  ", end="")

    def piece(self, text: str) -> None:
        if self._streams:
            new = text[len(self._text) :] if text.startswith(self._text) else f"\n{text}"
            _say(terminal.printable(new).replace("\n", "\n  "), end="")
        self._text = text

    def end(self) -> None:
        if self._streams:
            _say("\n")


def _say_result(report: RunReport, answers: bool, remarks: bool) -> None:
    if answers:
        for run in report.runs:
            _say(f"{terminal.title(run)}\n  {terminal.printable(run.answer.text)}\n".replace("\n  \n", "\n  (nothing)\n"))
    _say(terminal.clip_line(report))
    _say(terminal.cost_table(report))
    for line in terminal.ratio_lines(report):
        _say(line)
    if remarks:
        for line in terminal.remarks(report):
            _say(line)


# ---- methods


def _methods(arguments: argparse.Namespace) -> None:
    _check_target("--json", arguments.json)
    if arguments.json != "-":
        _say("\n\n".join(terminal.method_text(kind) for kind in COMPRESSORS.values()))
    plain = {"methods": [_described(kind) for kind in COMPRESSORS.values()]}
    _write(arguments.json, lambda: json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _described(kind: type[Compressor]) -> dict[str, Any]:
    options = [{**vars(option), "kind": option.kind, "choices": list(option.choices)} for option in kind.options()]
    return {"name": kind.name, "label": kind.label, "summary": kind.summary, "source": kind.source, "options": options}


# ---- files and noise


def _check_target(flag: str, target: str | None) -> None:
    """Raise before the long work if `target` could not be written afterwards."""
    if target in (None, "-"):
        return
    path = Path(target)
    if path.is_dir():
        raise UsageError(f"{flag} {target} is a folder; give a file's name.")
    if not path.parent.is_dir():
        raise UsageError(f"{flag}: there is no folder {path.parent}; create it first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{flag}: {target} cannot be written; choose another place.")


def _write(target: str | None, make: Any) -> None:
    if target == "-":
        _say(make(), end="")
    elif target is not None:
        try:
            Path(target).write_text(make(), encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OmniZipError(f"{target} could not be written ({error.strerror}); choose another place.") from None


def _hush() -> None:
    """Keep the libraries' own messages off the terminal; what a user has to know comes as a warning of the report."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for name in ("transformers", "torch", "accelerate", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
