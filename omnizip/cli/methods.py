"""`python -m omnizip methods`: every method with its options, as text and as JSON."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..compressors import COMPRESSORS
from ..compressors.base import Compressor
from . import plain_text
from .console import check_target, say, write


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flags of `methods`."""
    parser.add_argument("--json", metavar="FILE", help="write the list; - for standard output")


def run(arguments: argparse.Namespace) -> None:
    """List the methods. Raises UsageError for a file that cannot be written."""
    check_target("--json", arguments.json)
    if arguments.json != "-":
        say("\n\n".join(plain_text.method_text(kind) for kind in COMPRESSORS.values()))
    listed = {"methods": [plain_data(kind) for kind in COMPRESSORS.values()]}
    write(arguments.json, lambda: json.dumps(listed, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain_data(kind: type[Compressor]) -> dict[str, Any]:
    """A method and its options as plain data."""
    options = [{**vars(option), "kind": option.kind, "choices": list(option.choices)} for option in kind.options()]
    return {**{name: getattr(kind, name) for name in ("name", "label", "summary", "fidelity", "source", "later")}, "options": options}
