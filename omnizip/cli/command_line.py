"""The command line itself: mistakes in one sentence, and a command spelled out so that it can be run again."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Collection
from typing import NoReturn

from ..errors import UsageError


class OneLineParser(argparse.ArgumentParser):
    """An argument parser that raises UsageError instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} --help lists what it takes.")


def spell(
    command: str, add_flags: Callable[[argparse.ArgumentParser], None], arguments: argparse.Namespace, skipped: Collection[str] = ()
) -> str:
    """The command line that gives `arguments`, without what was left at its default.

    Args:
        command: how it begins, such as "python -m omnizip eval".
        add_flags: gives a parser what the command takes.
        skipped: arguments that change nothing but where results go.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_flags(parser)
    words = [command]
    for action in parser._actions:
        value = getattr(arguments, action.dest, None)
        if action.dest in skipped or value == action.default:
            continue
        if not action.option_strings:
            words.append(shlex.quote(str(value)))
        elif isinstance(value, bool):
            words.append(action.option_strings[0 if value else -1])
        else:
            values = value if isinstance(value, list) else [value]
            words += [f"{action.option_strings[-1]} {shlex.quote(str(part))}" for part in values]
    return " ".join(words)
