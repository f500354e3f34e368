"""Clips by their digest: whole or not there, only the right bytes, gone after a while."""

import os

import pytest

from omnizip import media
from omnizip.errors import MediaError
from omnizip.replicas.clip_folder import ClipFolder
from omnizip.settings import Settings


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"some bytes")
    return path, media.digest(path, Settings())


def test_a_clip_is_found_by_digest_and_name(tmp_path, clip):
    path, digest = clip
    folder = ClipFolder(tmp_path / "shared", Settings())
    assert folder.find(digest, "clip.mp4") is None
    assert folder.copy(digest, path).read_bytes() == path.read_bytes()
    path.unlink()
    assert folder.copy(digest, path).read_bytes() == b"some bytes", "it is there already"
    assert folder.write(digest, "../other.mp4", b"some bytes") == folder.path / digest / "other.mp4", "no name leads out of it"


def test_other_bytes_than_the_digests_are_refused_and_leave_nothing(tmp_path, clip):
    path, digest = clip
    folder = ClipFolder(tmp_path / "shared", Settings())
    with pytest.raises(MediaError, match="^clip.mp4 has changed since it was opened"):
        folder.write(digest, "clip.mp4", b"other bytes")
    path.write_bytes(b"changed")
    with pytest.raises(MediaError, match="has changed"):
        folder.copy(digest, path)
    assert [*folder.path.glob("*/*")] == []


def test_what_nobody_asks_about_is_removed(tmp_path, clip):
    path, digest = clip
    now = [1000.0]
    folder = ClipFolder(tmp_path / "shared", Settings(keep_files_s=60), lambda: now[0])
    laid = folder.copy(digest, path)
    now[0] += 50
    assert folder.find(digest, "clip.mp4") == laid
    now[0] += 50
    folder.sweep()
    assert laid.exists(), "it was asked about meanwhile"
    now[0] += 20
    folder.sweep()
    assert not laid.parent.exists()


def test_the_folder_of_a_machine_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = ClipFolder.of_this_machine(Settings())
    assert ClipFolder.of_this_machine(Settings()).path == first.path and first.path.stat().st_mode & 0o777 == 0o700
    first.path.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.symlink(elsewhere, first.path)
    assert ClipFolder.of_this_machine(Settings()).path not in (first.path, elsewhere), "somebody else has laid that there"
