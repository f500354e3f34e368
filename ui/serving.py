"""Launching the page, and stopping it so that nobody is left without a word and nothing is left on the disk."""

from __future__ import annotations

import os
import socket
import sys
from threading import Thread
from time import sleep
from typing import Any, NoReturn

import gradio as gr

from omnizip.errors import OmniZipError

from . import words
from .gate import Door
from .run_folder import RunFolder
from .stops import Stops

ENDING_S = 3.0  # for answers that are being written
HEARING_S = 0.5  # for their last words to reach the browsers
CLOSING_S = 3.0  # for the server to let its connections go


def check_port(host: str, port: int) -> int:
    """The port to listen on: the one given, for 0 one that is free. Raises OmniZipError where nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), port))
            return probe.getsockname()[1]
    except OSError as failure:
        raise OmniZipError(words.NO_PORT.format(host=host, port=port, why=failure.strerror or failure)) from None


def launch(page: gr.Blocks, options: dict[str, Any]) -> None:
    """Launch the page and return; raises OmniZipError where its port was taken meanwhile."""
    try:
        page.launch(**options, prevent_thread_lock=True)
    except OSError as failure:
        raise OmniZipError(
            words.NO_PORT.format(host=options["server_name"], port=options["server_port"], why=words.PORT_TAKEN)
        ) from failure


def stop_serving(page: gr.Blocks, door: Door, stops: Stops, folder: RunFolder) -> None:
    """Take no visitors any more, end answers with a sentence, let go of connections, remove files; in less than ten seconds."""
    door.shut = True
    stops.close(ENDING_S)
    sleep(HEARING_S)
    closing = Thread(target=page.close, kwargs={"verbose": False}, daemon=True)
    closing.start()
    closing.join(CLOSING_S)
    folder.close()


def exit_now(status: int) -> NoReturn:
    """End the process without waiting for threads, which may read a model or write to a client that is gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
