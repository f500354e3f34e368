"""One run: limits first, then the job, then one message about how it ended."""

from __future__ import annotations

import errno
import math
import os
import resource
import signal
import sys
import threading

from .frames import send_frames
from .joining import write_joined
from .listing import send_tracks
from .messages import Sink, Unreadable
from .preview import write_preview

GRACE_S = 5  # between the processor limit's signal, which tells the caller why, and the kernel's kill
ALL_BUT_USED_UP = 0.9  # of it; an allocation that failed then was of an ordinary size
MODES = {"frames": send_frames, "preview": write_preview, "join": write_joined, "tracks": send_tracks}
OUT_OF_MEMORY = {"kind": "memory"}
USED_UP = 0.5  # of the memory allowed; a request refused earlier was for an absurd size


def main(job: dict) -> int:
    """Run one job and return the exit status; the answer is what was sent."""
    sink = Sink(os.dup(1))
    os.dup2(2, 1)  # what a library prints must not end up between the messages
    failure = None
    try:
        limit_resources(job)
        end_with_caller()
        MODES[job["mode"]](job, sink)
    except Unreadable as unreadable:  # what a library does not say to be for want of memory may be so all the same
        failure = OUT_OF_MEMORY if peak_memory() > ALL_BUT_USED_UP * memory_limit() else unreadable.report
    except MemoryError:
        failure = OUT_OF_MEMORY if peak_memory() > USED_UP * memory_limit() else {"kind": "absurd size"}
    except RuntimeError as error:  # a thread needs address space, too
        failure = OUT_OF_MEMORY if "start new thread" in str(error) else {"kind": "broken", "error": "RuntimeError"}
    except BrokenPipeError:
        return 1  # nobody listens any more
    except OSError as error:
        kinds = {errno.EFBIG: "large copy", errno.ENOSPC: "full disk", errno.EDQUOT: "full disk"}
        failure = {"kind": kinds.get(error.errno, "broken"), "error": type(error).__name__}
    except Exception as error:  # the sentence is the caller's; the name is for whoever reports a bug
        failure = {"kind": "broken", "error": type(error).__name__}
    if failure is OUT_OF_MEMORY:
        failure = {**failure, "less": memory_limit() < job["memory_bytes"]}  # this machine has fewer than were allowed
    if failure is not None:
        sink.send_json(b"FAIL", failure)
    return int(failure is not None)


def limit_resources(job: dict) -> None:
    """Limit memory, processor time and written files before the file is touched; write no core dump."""
    cpu_s = math.ceil(job["cpu_s"])
    for which, soft, hard in (
        (resource.RLIMIT_AS, job["memory_bytes"], job["memory_bytes"]),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + GRACE_S),
        (resource.RLIMIT_FSIZE, *[job.get("target_bytes", 0)] * 2),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        _, allowed = resource.getrlimit(which)
        if allowed != resource.RLIM_INFINITY:
            soft, hard = min(soft, allowed), min(hard, allowed)
        resource.setrlimit(which, (soft, hard))


def memory_limit() -> float:
    """Bytes of address space this process may have, whoever set it."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return float("inf") if allowed == resource.RLIM_INFINITY else allowed


def end_with_caller() -> None:
    """End this program, and what it started, once the caller's end of standard input closes: when the caller is killed, too."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL) if os.getpgrp() == os.getpid() else os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def peak_memory() -> int:
    """The most address space this process ever had, bytes; where the system does not say, the most memory."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmPeak"))
    except (OSError, StopIteration):
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024
