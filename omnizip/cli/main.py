"""`python -m omnizip COMMAND`: the commands, and what becomes of their errors.

Whatever a user can cause or cure ends with status 2 and one line on standard error; anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import OmniZipError
from . import bench, compare, evaluations, export, methods
from .command_line import OneLineParser
from .console import report_error

COMMANDS = {
    "compare": (compare, "ask the full and a compressed model the same question"),
    "methods": (methods, "list the methods and their options"),
    "bench": (bench, "measure speed and memory"),
    "eval": (evaluations, "measure answers on clips whose truth is known"),
    "export": (export, "write the embedded model as a checkpoint in full layout, for other engines"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode, a name that is no text
    try:
        arguments = build_parser().parse_args(argv)
        arguments.run(arguments)
        sys.stdout.flush()
    except OmniZipError as error:
        report_error(str(error))
        return 2
    except KeyboardInterrupt:
        report_error("stopped.")
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, one subparser a command."""
    parser = OneLineParser(prog="python -m omnizip", description="Token compression for omnimodal models.", allow_abbrev=False)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=OneLineParser)
    for name, (command, help) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help, allow_abbrev=False)
        subparser.set_defaults(run=command.run)
        command.add_flags(subparser)
    return parser
