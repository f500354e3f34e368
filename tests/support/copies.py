"""The processes of replicas, found as an administrator would: by their names among the machine's, below the server that has them."""

import os
import signal
import time
from pathlib import Path

NAMED = "ray::ServeReplica:omnizip-"
WORKER = "ray::TaskWorker"


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def is_below(pid, above):
    while pid > 1:
        if pid == above:
            return True
        pid = parent_of(pid)
    return False


def named(prefix, above):
    """Process ids below the process `above` whose names begin so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if name.startswith(prefix) and is_below(int(path.parent.name), above):
            found.append(int(path.parent.name))
    return sorted(found)


def workers_below(cluster):
    """Process ids of a pool's workers on a node; a decoder that one is about to start has its name until it has one of its own."""
    found = named(WORKER, cluster)
    return [pid for pid in found if parent_of(pid) not in found]


def copies_below(server):
    """Process ids of replicas whose cluster the process `server` has started."""
    return named(NAMED, server)


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def wait_for(true, patience_s=180, look_s=0.1):
    """What `true` returns once that is true."""
    deadline = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(look_s)
    return found
