"""The cache has the name that the installed transformers gives it, and nothing warns of the other one."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from omnizip.model.caching import cache_of, with_cache

TESTS = Path(__file__).resolve().parents[1]


class Older(nn.Module):
    def forward(self, inputs_embeds, past_key_values=None, use_cache=None):
        return {"past_key_values": past_key_values}


class Newer(nn.Module):
    def forward(self, inputs_embeds, cache=None, use_cache=None, **more):
        assert "past_key_values" not in more
        return {"cache": cache}


@pytest.mark.parametrize("model", [Older(), Newer()], ids=lambda model: type(model).__name__)
def test_either_name_is_passed_and_read(model):
    cache = object()
    assert cache_of(model, model(None, **with_cache(model, cache))) is cache


@pytest.mark.slow
def test_reading_and_answering_warn_of_nothing():
    """In a process of its own, since transformers warns once a process."""
    code = (
        "import tiny; from omnizip.types import Sampling, Turn\n"
        "model = tiny.deep_model(2); stream = model.stream(model.encode(tiny.clip(frames=2, sound_s=1.0)), [Turn('?')])\n"
        "from omnizip.compressors import COMPRESSORS\n"
        "prompt = stream.prompt(COMPRESSORS['full']().compress(stream)); read = model.prefill(prompt)\n"
        "ids = list(model.decode(read, Sampling(max_new_tokens=3))); model.score(read, [1, 2])"
    )
    paths = f"import sys; sys.path[:0] = [{str(TESTS / 'support')!r}, {str(TESTS.parent)!r}]\n"
    done = subprocess.run([sys.executable, "-c", paths + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "past_key_values" not in done.stderr and "deprecated" not in done.stderr
