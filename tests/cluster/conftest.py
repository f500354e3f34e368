"""The page on Ray Serve, as people start it; skipped where Ray is not installed, which the project's own environment leaves out."""

import importlib.util
import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("ray") is None and not os.environ.get("OMNIZIP_REQUIRE_RAY"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="Ray is not installed"))
