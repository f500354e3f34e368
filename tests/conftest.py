"""Shared by all tests: one thread, since small models on a busy machine are many times slower on two; a browser is slow."""

import pytest
import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.slow)
