"""Serve the page: settings from flags and environment, one engine, one page."""

import argparse
import os
import sys

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio, hence spaces, is imported

import spaces  # noqa: E402, F401  ZeroGPU needs it before torch; elsewhere it does nothing

from omnizip.engine import Engine  # noqa: E402
from omnizip.errors import OmniZipError  # noqa: E402
from omnizip.settings import Settings  # noqa: E402
from ui.page import build_page, launch_options  # noqa: E402


def main() -> int:
    """Launch the page; 2 with one sentence where the settings or the model make that impossible."""
    parser = argparse.ArgumentParser(prog="app.py", description=__doc__)
    Settings.add_flags(parser)
    try:
        settings = Settings.from_environment(os.environ).override(parser.parse_args())
        engine = Engine.open(settings)
    except OmniZipError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    build_page(engine).launch(**launch_options(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
