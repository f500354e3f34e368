"""Serve the page: settings from flags and environment, one model at a time, one page."""

import argparse
import os
import sys

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio, hence spaces, is imported

import spaces  # noqa: E402  ZeroGPU needs it before torch; elsewhere it does nothing

from omnizip.errors import OmniZipError  # noqa: E402
from omnizip.settings import Settings  # noqa: E402
from ui.model_host import ModelHost  # noqa: E402
from ui.page import build_page, launch_options  # noqa: E402


def main() -> int:
    """Launch the page; 2 with one sentence where the settings make that impossible."""
    parser = argparse.ArgumentParser(prog="app.py", description=__doc__)
    Settings.add_flags(parser)
    try:
        settings = Settings.from_environment(os.environ).override(parser.parse_args())
        options = launch_options(settings)
    except OmniZipError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    if os.environ.get("SPACES_ZERO_GPU"):
        host = ModelHost(settings, spaces.GPU)
        host.load(settings.model)  # the GPU is lent only to what was there when the page was launched
    else:
        host = ModelHost(settings)
        host.start()
    build_page(host).launch(**options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
