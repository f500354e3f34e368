"""`python -m omnizip COMMAND`: the commands, and what becomes of their errors.

Whatever a user can cause or cure ends with status 2 and one line on standard error; anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from ..compressors import COMPRESSORS
from ..compressors.base import Compressor
from ..errors import OmniZipError, UsageError
from . import bench as bench_command
from . import compare as compare_command
from . import evaluate as eval_command
from . import plain_text
from .console import check_target, say, write


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
        _complain(str(error))
        return 2
    except KeyboardInterrupt:
        _complain("stopped.")
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _complain(sentence: str) -> None:
    """One line on standard error, in place of a progress line where one stands."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}omnizip: {' '.join(plain_text.printable(sentence).split())}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m omnizip", description="Token compression for omnimodal models.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    compare = commands.add_parser("compare", help="ask the full and a compressed model the same question", allow_abbrev=False)
    compare.set_defaults(command=compare_command.run)
    compare_command.add_flags(compare)
    methods = commands.add_parser("methods", help="list the methods and their options", allow_abbrev=False)
    methods.set_defaults(command=_methods)
    methods.add_argument("--json", metavar="FILE", help="write the list; - for standard output")
    bench = commands.add_parser("bench", help="measure speed and memory", allow_abbrev=False)
    bench.set_defaults(command=bench_command.run)
    bench_command.add_flags(bench)
    evaluate = commands.add_parser("eval", help="measure answers on clips whose truth is known", allow_abbrev=False)
    evaluate.set_defaults(command=eval_command.run)
    eval_command.add_flags(evaluate)
    return parser


def _methods(arguments: argparse.Namespace) -> None:
    check_target("--json", arguments.json)
    if arguments.json != "-":
        say("\n\n".join(plain_text.method_text(kind) for kind in COMPRESSORS.values()))
    plain = {"methods": [_described(kind) for kind in COMPRESSORS.values()]}
    write(arguments.json, lambda: json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _described(kind: type[Compressor]) -> dict[str, Any]:
    options = [{**vars(option), "kind": option.kind, "choices": list(option.choices)} for option in kind.options()]
    said = {name: getattr(kind, name) for name in ("name", "label", "summary", "fidelity", "source", "later")}
    return {**said, "options": options}
