"""`python -m omnizip`."""

import sys

from .cli import missing


def run() -> int:
    """Run the command line; where the package was installed without what a command needs, say so in one line."""
    try:
        from .cli.main import main

        return main()
    except ModuleNotFoundError as problem:
        sentence = missing.sentence(problem)
        if sentence is None:
            raise
        sys.stderr.write(f"omnizip: {sentence}\n")
        return 2


if __name__ == "__main__":
    sys.exit(run())
