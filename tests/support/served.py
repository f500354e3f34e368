"""The page as people start it: `app.py` in a process of its own."""

import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(folder, environment, *flags, address, harmless=None, program="app.py"):
    """Yields `address` once it answers; no traceback may stand in the server's log in the end, save what the pattern `harmless` allows.

    Args:
        program: what is started, from the root of the repository: the app, or one that starts it otherwise.
    """
    log = (folder / "server.log").open("w+")
    server = subprocess.Popen([sys.executable, program, *flags], cwd=ROOT, env=environment, stdout=log, stderr=log)
    told = lambda: Path(log.name).read_text()  # noqa: E731
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}config", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, told()
                time.sleep(0.5)
        yield address
        assert "Traceback" not in (harmless.sub("", told()) if harmless else told())
    finally:
        server.terminate()
        server.wait(20)
        log.close()
