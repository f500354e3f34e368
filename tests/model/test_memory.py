"""Memory: one computation of what a model needs, its factors counted on meta tensors at the released shapes."""

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from transformers import AttentionInterface, DynamicCache

from omnizip.bench import compress, prefill
from omnizip.model import memory
from omnizip.model.caching import with_cache
from omnizip.model.qwen import shape_of
from omnizip.model.qwen2_5_omni import QWEN2_5_OMNI
from omnizip.report.flops import prefill_flops
from omnizip.settings import Settings

NAMES = {"3b": "Qwen/Qwen2.5-Omni-3B", "7b": "Qwen/Qwen2.5-Omni-7B"}
EXPERTS = {"qwen3-30b-a3b": "Qwen/Qwen3-Omni-30B-A3B-Instruct"}
META = compress.Bench(torch.device("meta"), torch.bfloat16)


class LiveBytes(TorchDispatchMode):
    """The most bytes of results that were alive at once; inputs and weights are not counted."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        before = {x.untyped_storage()._cdata for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)}
        made = function(*args, **(kwargs or {}))
        for x in tree_flatten(made)[0]:
            if isinstance(x, torch.Tensor) and x.untyped_storage()._cdata not in before:
                storage = x.untyped_storage()
                self.alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.alive = {key: (ref, n) for key, (ref, n) in self.alive.items() if not ref.expired()}
        self.peak = max(self.peak, sum(n for _, n in self.alive.values()))
        return made


def fused(module, query, key, value, attention_mask, **named):
    """Holds what a fused kernel holds: its output."""
    return torch.empty_like(query).transpose(1, 2), None


AttentionInterface.register("fused-stand-in", fused)


@pytest.fixture(scope="module", params=NAMES | EXPERTS)
def released(request):
    return (NAMES | EXPERTS)[request.param], prefill.build(request.param, META, "sdpa")


def test_the_table_of_released_models_is_that_of_their_modules(released):
    name, parts = released
    assert memory.SHAPES[name] == shape_of(parts)
    assert memory.PARAMETERS[name] == sum(p.numel() for p in parts.thinker.parameters())
    shapes = {key: value.shape for key, value in parts.thinker.state_dict().items()}
    assert memory.has_four_bits(memory.SHAPES[name]) == (name in NAMES.values())
    for four_bit in (False, True)[: 1 + memory.has_four_bits(memory.SHAPES[name])]:
        assert memory.weight_bytes(shapes, 2, four_bit) == pytest.approx(memory.released_weights(name, 2, four_bit), rel=1e-3)
    if not memory.has_four_bits(memory.SHAPES[name]):
        return
    linear = sum(m.weight.numel() for m in parts.language.layers.modules() if isinstance(m, torch.nn.Linear))
    saved = memory.released_weights(name, 2, False) - memory.released_weights(name, 2, True)
    assert saved == pytest.approx(linear * (2 - memory.NF4_BITS / 8), rel=1e-6)


def test_seven_billion_parameters_in_four_bits_need_more_than_eight_gigabytes():
    weights = memory.released_weights(NAMES["7b"], 2, True)
    assert 8.4e9 < weights < 8.6e9


@pytest.mark.parametrize("rows", [2000, 10000])
def test_working_memory_is_what_meta_tensors_take(released, rows):
    """Counted over the first two layers; later ones take the same and free it again."""
    name, parts = released
    language = parts.language
    layers, before = language.layers, language.config._attn_implementation
    language.layers, language.config._attn_implementation = layers[:2], "fused-stand-in"
    try:
        shape, cache = memory.SHAPES[name], DynamicCache()
        embeds = torch.empty(1, rows, shape.width, device="meta", dtype=torch.bfloat16)
        positions = torch.empty(3, 1, rows, device="meta", dtype=torch.int64)
        with torch.inference_mode(), LiveBytes() as live:
            language(inputs_embeds=embeds, position_ids=positions, attention_mask=None, **with_cache(language, cache))
    finally:
        language.layers, language.config._attn_implementation = layers, before
    cached = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers[:2])
    counted = live.peak - cached + embeds.nbytes
    assert memory.working_bytes(shape, rows, 2) == pytest.approx(counted, rel=0.1)


def test_needs_grow_with_clip_and_chats_and_shrink_with_four_bits():
    name, settings = NAMES["7b"], Settings()
    shape, weights = memory.SHAPES[name], memory.released_weights(name, 2, False)
    minute = memory.needs(weights, shape, settings, 2)
    assert minute.total == minute.weights + minute.prompts + minute.working
    assert memory.needs(weights, shape, settings, 2, seconds=10).total < minute.total
    assert memory.needs(weights, shape, settings, 2, chats=2).prompts == 2 * minute.prompts
    assert memory.needs(weights, shape, settings, 4).prompts == 2 * minute.prompts
    assert 19e9 < minute.total < 22e9


def test_blocks_that_torch_holds_for_later_are_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: (100 * (i + 1), 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda i: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda i: 20)
    assert memory.free_by_gpu() == [130, 230] and memory.free_bytes("cuda") == 360


@pytest.mark.parametrize("name", NAMES.values())
@pytest.mark.parametrize("four_bit", [False, True])
def test_table_check_and_offer_agree(name, four_bit, monkeypatch):
    """Where a model just fits it is loaded and offered, a byte below neither; the table's minute has one chat more and nothing else."""
    from docs.tables import from_code
    from omnizip.model import loading
    from ui import model_host

    config = prefill.config_of(name[-2:].lower()).get_text_config()
    settings = Settings(dtype="bfloat16", four_bit=four_bit, device="cuda", prefix_memory_mb=1e6)
    monkeypatch.setattr(loading, "_hub_tensors", lambda snapshot: {})  # as where the headers of the files cannot be had
    checked = loading._needs(name, object(), config, QWEN2_5_OMNI, settings, torch.bfloat16)
    table = from_code.needed(name, settings, four_bit, memory.CLIP_S)
    assert (table.weights, table.working, table.prompts) == (checked.weights, checked.working, 2 * checked.prompts)
    monkeypatch.setattr(memory, "has_cuda", lambda: True)
    for short in (0, 1):
        free = checked.total - short
        monkeypatch.setattr(loading, "free_bytes", lambda device, free=free: free)
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        host = model_host.ModelHost(settings)
        assert (name in host.choices()) == (short == 0)
        if short:
            with pytest.raises(loading.ModelError, match="GB"):
                loading._check_fits(name, checked, "cuda")
        else:
            loading._check_fits(name, checked, "cuda")


def test_three_billion_parameters_read_a_token():
    """Of the thirty billion of the published mixture: all but the experts that a token does not go through, and embeddings."""
    parts = prefill.build("qwen3-30b-a3b", META, "sdpa")
    text = parts.language.config
    every = sum(p.numel() for p in parts.language.layers.parameters())
    experts = sum(p.numel() for name, p in parts.language.layers.named_parameters() if ".experts." in name)
    norms = sum(p.numel() for name, p in parts.language.layers.named_parameters() if "norm" in name)
    active = every - experts + experts * text.num_experts_per_tok // text.num_experts - norms
    shape = memory.SHAPES[EXPERTS["qwen3-30b-a3b"]]
    read = prefill_flops(shape, 1) - 2 * shape.width * shape.vocabulary - 4 * shape.layers * shape.heads * shape.head_dim
    assert read == 2 * active
    assert 3.2e9 < active + 2 * shape.width * shape.vocabulary < 3.5e9


def test_a_mixture_is_not_offered_in_four_bits(monkeypatch):
    from ui import model_host

    monkeypatch.setattr(memory, "has_cuda", lambda: True)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**12)
    name = EXPERTS["qwen3-30b-a3b"]
    for four_bit in (False, True):
        choices = model_host.ModelHost(Settings(dtype="bfloat16", four_bit=four_bit, device="cuda")).choices()
        assert (name in choices) == (not four_bit) and NAMES["7b"] in choices
