"""A Ray cluster that somebody else has started on this machine."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from copies import wait_for
from served import ROOT, free_port

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}


@contextmanager
def head(folder, **environment):
    """(address, process id) of a cluster with two cores; paths of sockets lie below `folder`, so its name has to be short."""
    port, log = free_port(), folder / "head.log"
    flags = ["--head", "--port", str(port), "--num-cpus", "2", "--include-dashboard", "false", "--temp-dir", str(folder / "ray")]
    with _node(log, flags, environment) as node:
        yield re.search(rf"[\d.]+:{port}\b", log.read_text())[0], node.pid


@contextmanager
def further(folder, address, **environment):
    """The process id of a further node of the cluster at `address`, with one core."""
    with _node(folder / "further.log", ["--address", address, "--num-cpus", "1"], environment) as node:
        yield node.pid


@contextmanager
def _node(log, flags, environment):
    command = [Path(sys.executable).with_name("ray"), "start", "--block", "--object-store-memory", "300000000", "--disable-usage-stats"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | environment
    with log.open("w") as told:
        node = subprocess.Popen([*command, *flags], env={**inherited, "PYTHONPATH": str(ROOT)}, stdout=told, stderr=told)
        try:
            wait_for(lambda: "Ray runtime started" in log.read_text() or node.poll() is not None)
            assert node.poll() is None, log.read_text()
            yield node
        finally:
            node.terminate()
            node.wait(60)
