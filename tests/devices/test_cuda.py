"""The same on a real CUDA device: answers are the CPU's, folding gives the same bits, waits are counted by torch itself.

Needs no decoder and no page: `python -m pytest -m gpu tests/devices/test_cuda.py`.
"""

import copy

import pytest
import tiny
import torch
from devices import LAYERS, converse, model_of

from omnizip.bench import compress, prefill
from omnizip.compressors import COMPRESSORS
from omnizip.compressors.layer_pruner import LayerPruner, Rows
from omnizip.engine.out_of_memory import SecondTry
from omnizip.errors import ModelError
from omnizip.model.generate import LanguageModel
from omnizip.model.prefix_cache import Prefix, Prefixes
from omnizip.types import Sampling, Turn

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
ALIKE = 0.995  # share of tokens decided alike; the two devices round differently, which may turn a tie


@pytest.fixture(scope="module")
def host():
    return tiny.deep_model(LAYERS)


@pytest.fixture(scope="module")
def encoded(host):
    return host.encode(tiny.clip())


@pytest.fixture(scope="module")
def device(host):
    return model_of(copy.deepcopy(host.parts.thinker).to("cuda"), host.settings)


@pytest.fixture
def bench():
    return compress.Bench(torch.device("cuda"), torch.float32, 1)


@pytest.mark.parametrize("name", list(COMPRESSORS))
def test_every_method_in_two_turns_is_the_cpus(name, host, device, encoded):
    wanted = converse(host, name, encoded)
    for turn, (one, other) in enumerate(zip(converse(device, name, encoded), wanted, strict=True)):
        alike = float((one.keep == other.keep).float().mean())
        assert alike >= ALIKE, f"turn {turn}: {alike:.4f} of the tokens are decided alike"
        if alike == 1:
            torch.testing.assert_close(one.embeds, other.embeds, atol=1e-4, rtol=1e-4)
            assert one.ids == other.ids and one.left == other.left and one.reused == other.reused


def test_encoding_is_the_cpus(device, encoded, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    found = device.encode(tiny.clip())
    for one, other in ((found.video, encoded.video), (found.audio, encoded.audio), (found.saliency, encoded.saliency)):
        assert one.device.type == "cpu" and one.isfinite().all()
        torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", list(COMPRESSORS))
def test_a_clip_is_folded_to_the_same_bits_in_every_run(name, bench):
    stream = compress.stream_of(30, bench, 512)
    method = COMPRESSORS[name].at_retention(0.35, stream)
    first, *others = [method.compress(stream) for _ in range(5)]
    for other in others:
        for field in ("keep", "source", "reason", "folded", "folded_embeds"):
            assert torch.equal(getattr(first, field), getattr(other, field)), field


def test_folding_over_time_gives_the_same_bits(bench):
    stream = compress.stream_of(60, compress.Bench(bench.device, torch.bfloat16, 1))
    method = COMPRESSORS["omnizip"].at_retention(0.35, stream, temporal="fold")
    first, *others = [method.compress(stream) for _ in range(5)]
    assert first.folded.numel() and all(torch.equal(first.folded_embeds, other.folded_embeds) for other in others)


class TestWaits:
    """As torch's own debug mode tells them."""

    def test_torch_tells(self, bench):
        x = torch.arange(6, device="cuda")
        assert compress.synchronisations(bench, lambda: x + 1) == 0
        assert compress.synchronisations(bench, lambda: [x[x > 2], int(x[0]), x.cpu()]) >= 3

    @pytest.mark.parametrize("name", list(COMPRESSORS))
    def test_compressing(self, name, bench):
        found = []
        for seconds in (6, 30):
            stream = compress.stream_of(seconds, bench, 64)
            method = COMPRESSORS[name].at_retention(0.45, stream)
            stream.__dict__.pop("_host_layout", None)  # fetched once a stream, which belongs to it
            found.append(compress.synchronisations(bench, lambda method=method, stream=stream: method.compress(stream)))
        assert found[0] == found[1] and found[1] <= (4 if name == "omnizip" else 8)  # torch tells of a `nonzero` twice

    def test_reading_waits_for_nothing(self, device, encoded, bench):
        stream = device.stream(encoded, [Turn("What is it?")])
        prompt = stream.prompt(COMPRESSORS["full"]().compress(stream))
        device.language_model.prefill(prompt)
        assert compress.synchronisations(bench, lambda: device.language_model.prefill(prompt)) == 0

    @pytest.mark.parametrize("sampling", [{}, {"temperature": 0.8, "top_p": 0.9}], ids=["greedy", "drawn"])
    def test_a_token_waits_once(self, sampling, device, encoded, bench):
        stream = device.stream(encoded, [Turn("What is it?")])
        prefilled = device.prefill(stream.prompt(COMPRESSORS["omnizip"].at_retention(0.4, stream).compress(stream)))
        ids = []
        found = compress.synchronisations(bench, lambda: ids.extend(device.decode(prefilled, Sampling(max_new_tokens=8, **sampling))))
        assert ids and found <= len(ids) + 1

    @pytest.mark.parametrize("name", sorted(tiny.INSIDE))
    def test_a_layer_that_prunes_waits_once(self, name, device, encoded, bench):
        stream = device.stream(encoded, [Turn("What is it?")])
        method = COMPRESSORS[name].at_retention(0.4, stream)
        assert isinstance(method, LayerPruner)
        prompt = stream.prompt(method.compress(stream))
        media, rows = stream.n_audio + stream.n_video, Rows.of(stream, prompt.index)
        cuts = {cut.layer for cut in method.cuts(LAYERS, rows.media.numel() / media)}
        fresh = Rows.of(stream, prompt.index)
        assert (
            compress.synchronisations(bench, lambda: device.language_model.prefill(prompt, method, fresh, media)) <= 2 * len(cuts) + 1
        )  # likewise


def test_what_is_drawn_is_what_multinomial_draws():
    shares = torch.rand(1, 1000, device="cuda").softmax(-1)
    drawn = [torch.multinomial(shares, 1, generator=torch.Generator("cuda").manual_seed(seed)) for seed in range(20)]
    for seed, wanted in enumerate(drawn):
        noise = torch.empty_like(shares).exponential_(1, generator=torch.Generator("cuda").manual_seed(seed))
        assert int((shares / noise).argmax()) == int(wanted)


def test_memory_that_runs_out_is_tried_again_and_then_told(device):
    prefixes = Prefixes()
    rows = torch.zeros(4, 2, device="cuda")
    prefixes.put("a", Prefix(type("Cache", (), {"layers": ()})(), rows, rows))
    memory, tries = SecondTry(device, prefixes, (32, 224, 224, 3)), []

    def work(fails):
        tries.append(len(prefixes))
        return torch.empty(1 << 42 if len(tries) <= fails else 8, dtype=torch.uint8, device="cuda")

    assert memory.run(lambda: work(1)).numel() == 8 and tries == [1, 0]
    with pytest.raises(ModelError, match="--max-frames 16.*--tokens-per-step.*--four-bit"):
        memory.run(lambda: work(99))
    assert torch.ones(3, device="cuda").sum() == 3, "the device is usable"


def test_the_stock_forward_says_what_ours_says(bench):
    parts = prefill.build("tiny", bench, "sdpa")
    stream = compress.stream_of(4, bench, 64)
    timer = prefill.ArmTimer(bench, parts, stream, 0.0, 0.0, 1)
    prompt = timer._prompt("full", None)
    ours = LanguageModel(parts, torch.empty(0, dtype=torch.int64), frozenset()).prefill(prompt)
    torch.testing.assert_close(timer._stock(prompt).logits, ours.logits, atol=1e-4, rtol=1e-4)
