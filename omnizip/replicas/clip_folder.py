"""A folder of clips by the digest of their bytes: where a replica keeps those it was sent, and where a page lays those it shares.

A clip that nobody has asked about for a while is removed; asking makes it young again.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import time

from .. import media
from ..errors import MediaError
from ..settings import Settings


class ClipFolder:
    """Files at digest/name below a folder. Safe to use from several processes: a file appears whole or not at all."""

    def __init__(self, path: str | Path, settings: Settings, clock: Callable[[], float] = time) -> None:
        """
        Args:
            settings: how large a file may be, and after how many seconds without a question `sweep` removes it.
        """
        self.path, self._settings, self._clock = Path(path), settings, clock

    @classmethod
    def of_this_machine(cls, settings: Settings) -> ClipFolder:
        """The folder that all replicas of this user share on a machine; what one leaves behind when it is killed, the others sweep."""
        path = Path(tempfile.gettempdir()) / f"omnizip-replicas-{os.geteuid()}"
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:  # laid by somebody else
            path = Path(tempfile.mkdtemp(prefix=f"{path.name}-"))
        return cls(path, settings)

    def find(self, digest: str, name: str) -> Path | None:
        """The file, younger from now on; None where it is not there."""
        path = self._place(digest, name)
        try:
            os.utime(path, (self._clock(),) * 2)
        except OSError:
            return None
        return path

    def write(self, digest: str, name: str, content: bytes) -> Path:
        """Lay down a file's bytes. Raises MediaError where they are not those of that digest: the file has changed meanwhile."""
        return self._lay(digest, name, lambda part: part.write_bytes(content))

    def copy(self, digest: str, source: Path) -> Path:
        """Lay down a copy of a file, unless it is there. Raises as `write` does."""
        return self.find(digest, source.name) or self._lay(digest, source.name, lambda part: shutil.copyfile(source, part))

    def sweep(self) -> None:
        """Remove what nobody has asked about for long."""
        before = self._clock() - self._settings.keep_files_s
        for path in self.path.glob("*/*"):
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    path.parent.rmdir()
            except OSError:  # asked about by another process meanwhile, or not empty
                continue

    def _place(self, digest: str, name: str) -> Path:
        return self.path / digest / Path(name).name

    def _lay(self, digest: str, name: str, fill: Callable[[Path], object]) -> Path:
        path = self._place(digest, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        number, part = tempfile.mkstemp(dir=path.parent)
        os.close(number)
        try:
            fill(Path(part))
            if media.digest(part, self._settings) != digest:
                raise MediaError(f"{path.name} has changed since it was opened; open it again.")
            os.utime(part, (self._clock(),) * 2)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        return path
