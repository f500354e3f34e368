"""Serve the page: settings from flags and environment, one model at a time, one page, until it is told to stop."""

import argparse
import os
import signal
import sys
from time import sleep

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio, hence spaces, is imported

import spaces  # noqa: E402  ZeroGPU needs it before torch; elsewhere it does nothing

from omnizip.errors import OmniZipError  # noqa: E402
from omnizip.settings import Settings  # noqa: E402
from ui.gate import Door  # noqa: E402
from ui.model_host import ModelHost  # noqa: E402
from ui.page import build_page, launch_options  # noqa: E402
from ui.run_folder import RunFolder  # noqa: E402
from ui.serving import check_port, exit_now, launch, stop_serving  # noqa: E402
from ui.stops import Stops  # noqa: E402

LOOK_S = 0.2  # how often a wish to stop is looked for; an Event must not be set by a signal that interrupts its wait


def main() -> int:
    """Serve the page until SIGTERM or SIGINT; 2 with one sentence where the settings or the machine make that impossible."""
    parser = argparse.ArgumentParser(prog="app.py", description=__doc__)
    Settings.add_flags(parser)
    door, stops, told = Door(), Stops(), []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, lambda number, _: told.append(number)
        )  # by hand, since a container's first process ignores what it does not handle
    folder = copies = None
    try:
        settings = Settings.from_environment(os.environ).override(parser.parse_args())
        options = launch_options(settings, door)
        options["server_port"] = check_port(options["server_name"], settings.port)
        if settings.replicas or settings.ray:
            from omnizip.replicas.ray_cluster import RayCluster

            copies = RayCluster(settings, lambda sentence: sys.stderr.write(f"{sentence}\n"))  # before temporary files go elsewhere
        folder = RunFolder(settings.keep_files_s)
        folder.use()
        if os.environ.get("SPACES_ZERO_GPU"):
            host = ModelHost(settings, spaces.GPU)
            host.load(settings.model)  # the GPU is lent only to what was there when the page was launched
        else:
            host = ModelHost(settings, copies=copies)
        page = build_page(host, stops)
        launch(page, options)
        if host.state.loading:
            host.start()  # torch and the model come while people look at the page
    except OmniZipError as problem:
        for opened in (folder, copies):
            if opened is not None:
                opened.close()
        sys.stderr.write(f"{problem}\n")
        return 2
    folder.start()
    while not told:
        sleep(LOOK_S)
    stop_serving(page, door, stops, folder)
    if copies is not None:
        copies.close()
    return 0


if __name__ == "__main__":
    exit_now(main())
