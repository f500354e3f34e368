"""How often reading and writing wait for the device: at most once a token, and at most once a layer that prunes."""

import pytest
import tiny
import torch
from syncs import Synchronisations

from omnizip.compressors import COMPRESSORS
from omnizip.stream import Modality
from omnizip.types import Sampling, Turn


@pytest.fixture(scope="module")
def deep():
    return tiny.deep_model()


@pytest.fixture(scope="module")
def stream(deep):
    return deep.stream(deep.encode(tiny.clip()), [Turn("What is it?")])


def test_the_counter_counts():
    x = torch.arange(6)
    with Synchronisations() as waits:
        x + 1
        x.index_select(0, x[:2])
    assert waits.names == []
    with Synchronisations() as waits:
        x[x > 2], int(x[0]), bool(x[1]), x.nonzero(), x.repeat_interleave(x)
    assert waits.count >= 5


@pytest.mark.parametrize("sampling", [Sampling(max_new_tokens=12), Sampling(max_new_tokens=12, temperature=0.8, top_p=0.9)])
def test_a_token_waits_once(deep, stream, sampling):
    prompt = stream.prompt(COMPRESSORS["full"]().compress(stream))
    prefilled = deep.prefill(prompt)
    with Synchronisations() as waits:
        ids = list(deep.decode(prefilled, sampling))
    assert ids and waits.count <= len(ids) + 1, "one for each token, and one for the end of the turn"


def test_prefill_waits_for_nothing(deep, stream):
    prompt = stream.prompt(COMPRESSORS["full"]().compress(stream))
    with Synchronisations() as waits:
        deep.language_model.prefill(prompt)
    assert waits.names == []


@pytest.mark.parametrize("name", sorted(tiny.INSIDE - {"seats"}))
def test_a_layer_that_prunes_waits_once(deep, stream, name):
    """Beyond that, once before the first layer, to know where the clip's rows stand; counting afterwards is not part of it."""
    from omnizip.compressors.layer_pruner import Rows

    method = COMPRESSORS[name].at_retention(0.4, stream)
    compression = method.compress(stream)
    prompt = stream.prompt(compression)
    media = int((stream.modality != Modality.TEXT).sum())
    rows = Rows.of(stream, prompt.index)
    read = rows.media.numel() / media
    with Synchronisations() as waits:
        deep.language_model.prefill(prompt, method, rows, media)
    cuts = {cut.layer for cut in method.cuts(len(deep.parts.language.layers), read)}
    assert waits.count <= len(cuts) + 1, waits.names
