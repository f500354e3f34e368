"""Fetches from the Hugging Face hub what the thinker of a checkpoint needs, and goes on where a download was cut.

The index says which files hold tensors of the thinker; those with the talker and the vocoder alone stay on the hub. All goes into
the hub's own cache by its layout, so that other programs share the files. Finding, locking and linking them is huggingface_hub's
work, as is the transfer of what the hub keeps in Xet where hf_xet is installed. What it has not is a file that outlives a broken
connection or the end of the program, which costs up to five gigabytes each time: large files over plain HTTP are therefore
appended to a file beside the others until they are whole. Where the hub cannot be had, a checkpoint in the cache serves.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from logging import getLogger
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi, constants, get_hf_file_metadata, get_session, hf_hub_download, hf_hub_url
from huggingface_hub.utils import WeakFileLock, build_hf_headers, hf_raise_for_status
from huggingface_hub.utils import tqdm as hub_bar
from transformers.utils import logging

from ..errors import ModelError
from .families import FAMILIES, NAMES
from .load_errors import came_from_network, is_offline, status_of
from .memory import UNREAD

CONFIG, WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
SMALL = (".json", ".txt", ".jinja")  # all that a thinker has beside its weights: config, tokenizer, sizes of the input
SHA256 = 64  # digits of an etag that is the digest of the file's content
WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # between attempts that brought nothing
AGAIN_S = (1.0,)  # the same for what huggingface_hub already tries several times, if not all that can be tried
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may be well a little later
NO_ROOM, NO_RIGHTS = (errno.ENOSPC, errno.EDQUOT), (errno.EROFS, errno.EACCES, errno.EPERM)

Report = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Stored:
    """A file as the hub lists it."""

    size: int
    digest: str  # its name in the cache

    def to_come(self, blobs: Path) -> int:
        """Bytes that are not in the cache's folder yet."""
        if (blobs / self.digest).exists():
            return 0
        part = _part(blobs / self.digest)
        return max(0, self.size - (part.stat().st_size if part.exists() else 0))


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint of the hub as the cache has it: all its small files, and those weights that are not `missing`."""

    name: str
    commit: str
    folder: Path
    missing: Mapping[str, Stored]  # files of weights


def find(name: str) -> Snapshot:
    """The newest commit of a checkpoint, its small files fetched; one in the cache where the hub cannot be had.

    Raises:
        ModelError: the cache cannot be written to, in one sentence.
        Exception: what huggingface_hub raises where there is neither; `as_model_errors` has its sentence.
    """
    cached = complete_snapshot(name)
    if cached is not None and constants.HF_HUB_OFFLINE:
        return cached
    try:
        return _find(name, () if cached else WAITS_S)
    except Exception as error:
        return _instead(cached, error)


def _find(name: str, waits: Collection[float]) -> Snapshot:
    asked = partial(HfApi().model_info, name, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    info = _persistently(asked, waits, unless=lambda error: status_of(error) is None)  # no way to the hub is told at once
    listed = {file.rfilename: Stored(file.size or 0, file.lfs.sha256 if file.lfs else file.blob_id or "") for file in info.siblings}
    folder = _storage(name) / "snapshots" / info.sha
    with _cache_explained(name):
        for file, stored in listed.items():  # what the cache has of another commit is linked, which fetches nothing
            at_hand = (file.endswith(SMALL) and "/" not in file) or (folder.parents[1] / "blobs" / stored.digest).exists()
            if at_hand and not (folder / file).exists():
                _persistently(partial(hf_hub_download, name, file, revision=info.sha), AGAIN_S if waits else ())
    wanted = weight_files(listed, folder)
    if not wanted:
        raise ModelError(f"The checkpoint {name} has no weights ({WEIGHTS[0]}); give a {NAMES} checkpoint such as {FAMILIES[0].example}.")
    return Snapshot(name, info.sha, folder, {file: listed[file] for file in wanted if not (folder / file).exists()})


def fetch_weights(snapshot: Snapshot, on_progress: Report | None = None) -> Path:
    """Fetch the weights that `snapshot` lacks and return the folder with all files; an older one where that is impossible now.

    Args:
        on_progress: called with "download" and the share of bytes that are there.

    Raises:
        ModelError: the cache has no room or cannot be written to, in one sentence.
        Exception: what huggingface_hub raises where the hub cannot be had.
    """
    if not snapshot.missing:
        return snapshot.folder
    try:
        with _cache_explained(snapshot.name):
            _check_room(snapshot)
            with _Progress(snapshot, on_progress) as progress:
                for file, stored in snapshot.missing.items():
                    _fetch(snapshot, file, stored.size, progress)
        with suppress(Exception):
            hf_hub_download(snapshot.name, CONFIG)  # makes this commit the one the cache calls newest
    except Exception as error:
        return _instead(complete_snapshot(snapshot.name), error).folder
    return snapshot.folder


def complete_snapshot(name: str) -> Snapshot | None:
    """The checkpoint in the cache whose thinker is whole: the one the hub called newest, or the one fetched last."""
    storage = _storage(name)
    try:
        folders = sorted((storage / "snapshots").iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        ref = storage / "refs" / constants.DEFAULT_REVISION
        newest = ref.read_text().strip() if ref.is_file() else None
    except OSError:
        return None
    for folder in sorted(folders, key=lambda folder: folder.name != newest):
        if (folder / CONFIG).is_file() and _is_complete(folder):
            return Snapshot(name, folder.name, folder, {})
    return None


def _is_complete(folder: Path) -> bool:
    try:
        files = weight_files([path.name for path in folder.iterdir()], folder)
    except (OSError, ModelError):
        return False
    return bool(files) and all((folder / file).is_file() for file in files)


def weight_files(names: Collection[str], folder: Path) -> list[str]:
    """Files of a checkpoint that hold the thinker's tensors, by the index in `folder` where there are several; empty without weights."""
    for name in WEIGHTS:
        if name in names:
            return [name]
        if f"{name}.index.json" in names:
            return sorted(set(_thinkers(weight_map(folder / f"{name}.index.json")).values()))
    return []


def weight_map(index: Path) -> dict[str, str]:
    """Tensor -> file, as an index says. Raises ModelError for one that is damaged."""
    try:
        found = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ModelError(f"{index} is not readable as JSON; download the checkpoint again.") from None
    listed = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(listed, dict) or not all(isinstance(name, str) for name in listed.values()):
        raise ModelError(f"{index} does not say where the weights are; download the checkpoint again.")
    return listed


def _thinkers(files: Mapping[str, str]) -> dict[str, str]:
    return {tensor: file for tensor, file in files.items() if not tensor.startswith(UNREAD)}


@contextmanager
def thinker_only(folder: Path) -> Iterator[Path]:
    """A folder to load from whose index speaks of the thinker alone, so that no other file is opened; the same one where that is so."""
    for name in WEIGHTS:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            break
        if not index.is_file():
            continue
        files = weight_map(index)
        if len(wanted := _thinkers(files)) == len(files):
            break
        with TemporaryDirectory(prefix="omnizip-") as place:
            for small in (CONFIG, "generation_config.json"):
                if (folder / small).is_file():
                    shutil.copyfile(folder / small, Path(place) / small)
            absolute = {tensor: str((folder / file).absolute()) for tensor, file in wanted.items()}
            (Path(place) / index.name).write_text(json.dumps({"metadata": {}, "weight_map": absolute}), encoding="utf-8")
            yield Path(place)
        return
    yield folder


def _storage(name: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"


def _instead(cached: Snapshot | None, error: Exception) -> Snapshot:
    """The checkpoint in the cache in place of a newer one that cannot be fetched; raises `error` where there is none to take."""
    if cached is None or not (came_from_network(error) or isinstance(error, (OSError, ModelError))):
        raise error
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    getLogger(__name__).warning("%s is taken from the cache as it is there, since the hub's cannot be had: %s", cached.name, reason)
    return cached


@contextmanager
def _cache_explained(name: str) -> Iterator[None]:
    """Raise what the disk of the cache refuses as a ModelError."""
    try:
        yield
    except OSError as error:
        cure = "set HF_HOME to a folder on another disk"
        if error.errno in NO_ROOM:
            raise ModelError(
                f"No room is left in {constants.HF_HUB_CACHE} for the checkpoint {name}; make room there, or {cure}."
            ) from error
        if error.errno in NO_RIGHTS:
            raise ModelError(
                f"The checkpoint {name} cannot be put into {constants.HF_HUB_CACHE}, which cannot be written to; "
                "let it be written to, or set HF_HOME to a folder that can be."
            ) from error
        raise


def _check_room(snapshot: Snapshot) -> None:
    """Raise ModelError where the disk has less room than the missing files take; what a cut download left is there already."""
    storage = _storage(snapshot.name)
    needed = sum(stored.to_come(storage / "blobs") for stored in snapshot.missing.values())
    free = shutil.disk_usage(storage).free
    if needed > free:
        raise ModelError(
            f"The checkpoint {snapshot.name} takes {needed / 1e9:.3g} GB more in {constants.HF_HUB_CACHE}, "
            f"and {free / 1e9:.3g} GB are free there; make room, or set HF_HOME to a folder on another disk."
        )


class _Progress:
    """Bytes that are there of those that were missing: a bar in the terminal, and a share for whoever listens."""

    def __init__(self, snapshot: Snapshot, on_progress: Report | None) -> None:
        self._total, self._on_progress = max(1, sum(stored.size for stored in snapshot.missing.values())), on_progress
        self._done = 0
        self._bar = logging.tqdm(total=self._total, unit="B", unit_scale=True, desc=snapshot.name)

    def advance(self, count: int) -> None:
        self._done += count
        self._bar.update(count)
        if self._on_progress is not None:
            self._on_progress("download", min(1.0, self._done / self._total))

    def __enter__(self) -> _Progress:
        self.advance(0)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _fetch(snapshot: Snapshot, file: str, size: int, progress: _Progress) -> None:
    """Have one file of weights in the cache."""
    url = hf_hub_url(snapshot.name, file, revision=snapshot.commit)
    told = _persistently(lambda: get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT))
    through_xet = told.xet_file_data is not None and not constants.HF_HUB_DISABLE_XET and find_spec("hf_xet") is not None
    if told.etag is None or through_xet:
        _persistently(partial(hf_hub_download, snapshot.name, file, revision=snapshot.commit, tqdm_class=_counting(progress)), AGAIN_S)
        return
    storage = _storage(snapshot.name)
    blob = storage / "blobs" / told.etag
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock = storage.parent / ".locks" / storage.name / f"{told.etag}.lock"  # huggingface_hub's own
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            progress.advance(size)
        else:
            if _append(url, _part(blob), told.size or size, progress) > 1 and len(told.etag) == SHA256:
                _check_digest(_part(blob), told.etag)
            _part(blob).replace(blob)
    _persistently(partial(hf_hub_download, snapshot.name, file, revision=snapshot.commit), AGAIN_S)  # finds it there and links it


def _part(blob: Path) -> Path:
    """Where a file grows that will be `blob` when it is whole."""
    return blob.with_name(f"{blob.name}.part")


def _append(url: str, part: Path, size: int, progress: _Progress) -> int:
    """Go on with a file until it is `size` bytes long, however often the connection ends. Returns of how many pieces it is."""
    part.touch()
    have = part.stat().st_size
    if have > size:
        part.write_bytes(b"")
        have = 0
    progress.advance(have)
    pieces, failures = int(have > 0), 0
    while have < size:
        problem: Exception | None = None
        try:
            _append_once(url, part, have, progress)
        except Exception as error:
            if not _is_passing(error):
                raise
            problem = error
        before, have = have, part.stat().st_size
        pieces += 1
        failures = 0 if have > before else failures + 1
        if failures > len(WAITS_S):
            raise problem or ConnectionError(f"{url} ends after {have} of {size} bytes")
        if failures:
            time.sleep(WAITS_S[failures - 1])
    return pieces


def _append_once(url: str, part: Path, have: int, progress: _Progress) -> None:
    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with get_session().stream("GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True) as answer:
        hf_raise_for_status(answer)
        with part.open("r+b") as file:
            if answer.status_code != 206:  # the whole file, whatever was asked for
                progress.advance(-have)
                file.truncate(0)
            file.seek(0, 2)
            for block in answer.iter_bytes():
                file.write(block)
                progress.advance(len(block))


def _check_digest(part: Path, etag: str) -> None:
    """Raise ModelError for a file that is not what the hub has, and forget it."""
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != etag:
        part.unlink()
        raise ModelError("A file of the checkpoint came damaged over the network; start the download again.")


def _counting(progress: _Progress) -> type:
    """A bar for huggingface_hub that reports to ours."""

    class Counting(hub_bar):
        def update(self, n: float | None = 1) -> bool | None:
            progress.advance(int(n or 0))
            return super().update(n)

    return Counting


def _persistently(
    ask: Callable[[], Any], waits: Collection[float] | None = None, unless: Callable[[Exception], bool] = lambda error: False
) -> Any:
    """What `ask` returns, asked again where the hub may be well a little later, and not where `unless` says of an error not to."""
    for wait in WAITS_S if waits is None else waits:
        try:
            return ask()
        except Exception as error:
            if unless(error) or not _is_passing(error):
                raise
            time.sleep(wait)
    return ask()


def _is_passing(error: Exception) -> bool:
    """Whether an error may be gone a little later: a connection that broke, a server that is not well."""
    status = status_of(error)
    if status is not None:
        return status in PASSING
    return came_from_network(error) and not is_offline(error)
