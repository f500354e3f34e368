"""The page about the architecture names rooms and files that are there, and every room."""

import inspect
import re
from pathlib import Path

import pytest

from omnizip.compressors.base import Compressor
from omnizip.compressors.layer_pruner import LayerPruner

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`((?:omnizip|ui|tests|training|assets)/[\w./-]*)`", TEXT)))
ROOMS = sorted(path.parent.relative_to(ROOT).as_posix() for top in ("omnizip", "ui") for path in (ROOT / top).glob("*/__init__.py"))


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_named(room):
    top, _, name = room.partition("/")
    assert f"`{room}/`" in TEXT or (top == "ui" and f"`{name}/`" in TEXT)


def test_the_contract_is_that_of_the_code():
    calls = dict(re.findall(r"`(\w+)\(([^)]*)\)`", TEXT))
    for kind, name in ((Compressor, "compress"), (LayerPruner, "cuts"), (LayerPruner, "select")):
        assert calls[name] == ", ".join(list(inspect.signature(getattr(kind, name)).parameters)[1:])


def test_there_are_rooms_to_look_for():
    assert len(ROOMS) > 8 and len(PATHS) > 15
