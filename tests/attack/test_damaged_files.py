"""Damaged files of every container: each becomes a clip or one sentence, and nothing is left behind.

The short form is part of the normal suite; the long one runs with `pytest -m long tests/attack`.
"""

import os
from pathlib import Path

import pytest
from damage import DAMAGES, attack, damaged_files, make_sources

from omnizip.media.decoder.container import CONTAINERS


def assert_survived(table, files):
    assert table.files == files
    assert table.clips + table.sentences == files and table.escaped == [] and table.hangs == []
    assert (table.leaked_processes, table.leaked_descriptors, table.leaked_files) == (0, 0, 0)
    assert table.clips and table.sentences, "some are readable, some are not"


@pytest.mark.slow
def test_a_few_damaged_files_of_every_container(tmp_path):
    assert_survived(attack(69, 1, tmp_path), 69)


@pytest.mark.slow  # so that -m "not slow", which replaces the usual choice, leaves it out, too
@pytest.mark.long
def test_damaged_files_of_every_container(tmp_path):
    """Twenty minutes or more on two cores."""
    count = int(os.environ.get("OMNIZIP_ATTACK_FILES", "1656"))
    assert_survived(attack(count, 0, tmp_path), count)


def test_the_same_seed_gives_the_same_files():
    sources = {"a": bytes(range(256)) * 8, "b": b"OggS" * 300}
    first, second, other = (list(damaged_files(sources, 40, seed)) for seed in (5, 5, 6))
    assert first == second != other
    assert {damage for _, damage, _ in first} == {damage.__name__ for damage in DAMAGES}


@pytest.mark.slow
def test_no_container_of_the_reader_is_left_out(tmp_path):
    """Every container that may be opened is attacked, under the name that ffmpeg's reader has for it."""
    import av

    seen = set()
    for name, data in make_sources(tmp_path).items():
        (tmp_path / name).write_bytes(data)
        with av.open(Path(tmp_path / name)) as container:
            seen |= set(container.format.name.split(","))
    assert set(CONTAINERS.split(",")) <= seen
