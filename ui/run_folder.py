"""The one folder a server writes to: uploads, copies, results. It is swept by age, emptied at the end, and by the next server after a kill.

Every run of a server has a folder of its own, locked as long as it lives; the lock goes with the process, however that ends. No gradio.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import time

LOCK = "lock"
SHOWN, WORK = "shown", "work"  # apart: gradio copies what a page shows unless it lies in its own folder, and what is at work is removed
NAME = "omnizip-run-"


class RunFolder:
    """A folder for what this server keeps for a while; open it before anything of gradio is built."""

    def __init__(self, keep_s: float, parent: Path | None = None) -> None:
        """
        Args:
            keep_s: age at which files are removed; swept as often, at least once a minute, so none becomes twice as old.
            parent: where folders of runs are; the system's temporary folder, or gradio's where the environment names one.
        """
        self._keep_s = keep_s
        self._parent = parent or Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
        self._parent.mkdir(parents=True, exist_ok=True)
        remove_left(self._parent)
        self.path = Path(tempfile.mkdtemp(prefix=NAME, dir=self._parent)).resolve()
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._kept: set[Path] = set()
        self._over = Flag()

    def use(self) -> None:
        """Have gradio and every temporary file of this process go here."""
        for name in (SHOWN, WORK):
            (self.path / name).mkdir(exist_ok=True)
        os.environ["GRADIO_TEMP_DIR"] = str(self.path / SHOWN)
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.path / WORK)

    def start(self) -> None:
        """Keep what is here by now, which the page itself shows, and sweep the rest from now on."""
        self._kept = {path for path in self.path.rglob("*") if path.is_file()}
        Thread(target=self._sweep_on, name="sweep", daemon=True).start()

    def _sweep_on(self) -> None:
        while not self._over.wait(min(60.0, self._keep_s / 2)):
            self.sweep()

    def sweep(self) -> None:
        """Remove what is older than it may be, by the time it came here, and folders left empty."""
        before = time() - self._keep_s
        for folder, folders, files in os.walk(self.path, topdown=False):
            for path in (Path(folder) / name for name in files):
                if path not in self._kept and path.name != LOCK and _came(path) < before:
                    path.unlink(missing_ok=True)
            for path in (Path(folder) / name for name in folders):
                if _came(path) < before and path not in (self.path / SHOWN, self.path / WORK):
                    _remove_if_empty(path)

    def close(self) -> None:
        """Remove all of it."""
        self._over.set()
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def shown_folder() -> str:
    """Where gradio takes what a page shows from, and puts uploads while they arrive; without a `RunFolder`, gradio's own place."""
    return os.environ.get("GRADIO_TEMP_DIR") or str(Path(tempfile.gettempdir()) / "gradio")


def remove_left(parent: Path) -> None:
    """Remove the folders of servers that no longer run."""
    for folder in parent.glob(f"{NAME}*"):
        try:
            lock = os.open(folder / LOCK, os.O_RDWR)
        except FileNotFoundError:
            if time() - _came(folder) > 60:  # a younger one may be about to be locked
                shutil.rmtree(folder, ignore_errors=True)
            continue
        except OSError:
            continue  # somebody else's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its server runs
        finally:
            os.close(lock)


def _came(path: Path) -> float:
    """When a file came to be or was written last, in seconds; copies keep the time of their original, but not this one."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return time()


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # it is not
