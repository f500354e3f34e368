"""`python -m omnizip eval WHAT`: the synthetic world, one of the public benchmarks, or a list of them."""

from __future__ import annotations

import argparse

from . import benchmark, evaluate


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` one command for each thing that can be measured."""
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    text = "the synthetic world that the embedded model knows"
    nano = commands.add_parser("nano", help=text, allow_abbrev=False)
    evaluate.add_flags(nano)
    nano.set_defaults(measure=evaluate.run)
    listed = commands.add_parser("list", help="the benchmarks, where to get them, and the papers' protocols", allow_abbrev=False)
    listed.set_defaults(measure=benchmark.list_all)
    for name, label in benchmark.NAMES.items():
        one = commands.add_parser(name, help=label, allow_abbrev=False)
        benchmark.add_flags(one)
        one.set_defaults(measure=benchmark.run, benchmark=name)


def run(arguments: argparse.Namespace) -> None:
    """Measure what was named. Raises OmniZipError for what a user can cause or cure."""
    arguments.measure(arguments)
