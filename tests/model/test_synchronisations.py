"""How often reading and writing wait for the device: at most once a token, and at most once a layer that prunes."""

import pytest
import tiny
import torch
from devices import LAYERS, on_one

from omnizip.bench.emulated_gpu import emulated
from omnizip.compressors import COMPRESSORS
from omnizip.compressors.layer_pruner import Rows
from omnizip.types import Sampling, Turn


@pytest.fixture(scope="module")
def host():
    return tiny.deep_model(LAYERS)


@pytest.fixture(scope="module")
def encoded(host):
    return host.encode(tiny.clip())


@pytest.fixture
def gpus(host):
    with emulated() as made:
        made.model = on_one(made, host)
        yield made


def counted(gpus, work):
    gpus.waits.clear()
    work()
    return gpus.waits


def full_prompt(model, encoded):
    stream = model.stream(encoded, [Turn("What is it?")])
    return stream.prompt(COMPRESSORS["full"]().compress(stream))


@pytest.mark.parametrize("sampling", [Sampling(max_new_tokens=8), Sampling(max_new_tokens=8, temperature=0.8, top_p=0.9)])
def test_a_token_waits_once(gpus, encoded, sampling):
    prefilled = gpus.model.prefill(full_prompt(gpus.model, encoded))
    ids = []
    waits = counted(gpus, lambda: ids.extend(gpus.model.decode(prefilled, sampling)))
    assert ids and len(waits) <= len(ids) + 1, "one for each token, and one for the end of the turn"


def test_reading_waits_for_nothing(gpus, encoded):
    prompt = full_prompt(gpus.model, encoded)
    assert counted(gpus, lambda: gpus.model.language_model.prefill(prompt)) == []


@pytest.mark.parametrize("name", sorted(tiny.INSIDE))
def test_a_layer_that_prunes_waits_once(gpus, encoded, name):
    """Beyond that, once before the first layer, to know where the clip's rows stand; counting afterwards is not part of it."""
    model = gpus.model
    stream = model.stream(encoded, [Turn("What is it?")])
    method = COMPRESSORS[name].at_retention(0.4, stream)
    prompt = stream.prompt(method.compress(stream))
    media, read = stream.n_audio + stream.n_video, Rows.of(stream, prompt.index).media.numel()
    cuts = {cut.layer for cut in method.cuts(LAYERS, read / media)}
    waits = counted(gpus, lambda: model.language_model.prefill(prompt, method, Rows.of(stream, prompt.index), media))
    assert cuts and len(waits) <= len(cuts) + 1, waits


def test_what_is_drawn_is_what_multinomial_draws():
    """The draw is written out, since torch's own looks at the shares twice."""
    model = tiny.deep_model(2).language_model
    logits = torch.randn(model.parts.thinker.lm_head.out_features, generator=torch.Generator().manual_seed(1))
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        choose = model._sampler(Sampling(temperature=1.3, top_p=1.0, seed=seed))
        shares = (logits.index_fill(0, model.suppressed_ids, -torch.inf) / 1.3).softmax(-1)
        for _ in range(5):
            assert choose(logits) == int(torch.multinomial(shares[None], 1, generator=generator))
