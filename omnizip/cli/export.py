"""`python -m omnizip export FOLDER`: the embedded model, or another thinker alone, as a checkpoint in full layout."""

from __future__ import annotations

import argparse
from pathlib import Path

from .console import say


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `export`."""
    parser.add_argument("folder", metavar="FOLDER", help="where to write it; a folder that does not exist yet, or an empty one")
    parser.add_argument("--model", metavar="FOLDER", default="", help="folder of a thinker alone; empty for the embedded model")


def run(arguments: argparse.Namespace) -> None:
    """Write the checkpoint. Raises ModelError for one that cannot be read, or a folder that cannot be written."""
    from ..model.full_layout import write_full_layout
    from ..model.loading import embedded

    source = Path(arguments.model).expanduser() if arguments.model else embedded()
    say(f"Written to {write_full_layout(source, Path(arguments.folder).expanduser())}.")
