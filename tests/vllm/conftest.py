"""Tests that run inside vLLM: `.ci/vllm` builds their environment. Elsewhere they are not collected."""

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]


@pytest.fixture(scope="session")
def product():
    from vllm_engine import Product

    return Product()
