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
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--port", str(port), "--num-cpus", "2"]
    command += ["--include-dashboard", "false", "--temp-dir", str(folder / "ray"), "--object-store-memory", "300000000"]
    command += ["--disable-usage-stats"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | environment
    with log.open("w") as told:
        node = subprocess.Popen(command, env={**inherited, "PYTHONPATH": str(ROOT)}, stdout=told, stderr=told)
        try:
            wait_for(lambda: "Ray runtime started" in log.read_text() or node.poll() is not None)
            assert node.poll() is None, log.read_text()
            yield re.search(rf"[\d.]+:{port}\b", log.read_text())[0], node.pid
        finally:
            node.terminate()
            node.wait(60)
