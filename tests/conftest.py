"""Shared by all tests: one thread, since small models on a busy machine are many times slower on two.

What drives a browser or downloads from a server on this machine is slow: it waits more than it works.
"""

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("browser") or "rehearsal" in item.path.parts:
            item.add_marker(pytest.mark.slow)
