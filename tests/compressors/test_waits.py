"""No method waits for the device more often on a longer clip, and each only as often as it must."""

import dataclasses
import sys

import pytest
import torch
from streams import make_stream

from omnizip import COMPRESSORS, OmniZip
from omnizip.bench.emulated_gpu import emulated
from omnizip.compressors.layer_pruner import Glance, LayerPruner, Rows
from omnizip.compressors.ops import blocks

MOST = 6  # of any method; the stream's own layout, fetched once a stream, is one of them


def compressed(method, stream):
    """What was waited for on a GPU; the decision is the host's."""
    expected = method.compress(stream)
    with emulated() as gpus:
        fields = {f.name: gpus.put(v) for f in dataclasses.fields(stream) if isinstance(v := getattr(stream, f.name), torch.Tensor)}
        found = method.compress(dataclasses.replace(stream, **fields))
        waits = list(gpus.waits)
    for name in ("keep", "source", "reason"):
        assert torch.equal(getattr(found, name).values, getattr(expected, name)), name
    return waits


@pytest.mark.parametrize("name", list(COMPRESSORS))
def test_waits_do_not_grow_with_the_clip(name, monkeypatch):
    for module in [m for m in list(sys.modules.values()) if getattr(m, "block_bytes", None) is blocks.block_bytes]:
        monkeypatch.setattr(module, "block_bytes", lambda device: 8 << 10)  # many blocks, so that one wait each would show
    waits = []
    for steps in (6, 30):
        stream = make_stream(steps=steps, rows=3, columns=4, audio=25 * steps)
        waits.append(compressed(COMPRESSORS[name].at_retention(0.45, stream), stream))
    assert waits[0] == waits[1]
    assert len(waits[1]) <= MOST, waits[1]


@pytest.mark.parametrize(
    "fields, most",
    [({}, 3), ({"similarity_scope": "clip"}, 3), ({"temporal": "fold"}, 4), ({"video_selector": "dycoke"}, 4), ({"anchors": False}, 2)],
)
@pytest.mark.parametrize("seconds_per_step", [0.5, 1.0, 1.7])
def test_omnizip_waits_three_times(fields, most, seconds_per_step):
    """Layout, salient counts, what anchors absorb; steps at no even distance in the prompt cost no more."""
    stream = make_stream(steps=14, audio=350, seconds_per_step=seconds_per_step)
    waits = compressed(OmniZip.at_retention(0.45, stream, **fields), stream)
    assert len(waits) <= most, waits


def test_the_count_sees_what_waits():
    with emulated() as gpus:
        x = gpus.put(torch.arange(6.0))
        y = x + 1
        assert not gpus.waits
        assert float(y.sum()) == 21 and bool((y >= 6).any())
        y[y > 3].sum()
        y.cpu()
        (y > 3).nonzero()
        torch.zeros(3).to(x.device)
        y[torch.tensor([1, 2])].sum()
        assert len(gpus.waits) == 7, gpus.waits
        torch.rand(1, 4, device=x.device).multinomial(1)
        torch.tensor([1], device=x.device)
        assert len(gpus.waits) == 10, gpus.waits


def test_choosing_inside_the_model_waits_for_the_layout_only():
    """Which rows hold the clip, which the model knows beforehand; nothing of what was looked at."""
    stream = make_stream(steps=6, audio=150)
    logits = torch.randn(4, stream.n_tokens, generator=torch.Generator().manual_seed(0))
    for name, kind in COMPRESSORS.items():
        if not issubclass(kind, LayerPruner):
            continue
        method = kind.at_retention(0.45, stream)
        cut = method.cuts(28, 1.0)[0]
        expected = method.select(cut, Rows(stream.modality, stream.window), Glance(logits), 90)
        with emulated() as gpus:
            found = method.select(cut, Rows(gpus.put(stream.modality), gpus.put(stream.window)), Glance(gpus.put(logits)), 90)
            waits = list(gpus.waits)
        assert torch.equal(found.values, expected) and int(expected.sum()) == 90 + int((stream.modality == 0).sum())
        assert len(waits) <= 1, f"{name}: {waits}"
