"""Every method, two turns, on devices that are not here: decisions and answers are the CPU's."""

from types import SimpleNamespace

import pytest
import tiny
import torch
from devices import LAYERS, QUESTIONS, assert_alike, converse, flash_attn, in_precision, model_of, on_one, on_two

from omnizip.bench.emulated_gpu import OnGpu, emulated
from omnizip.compressors import COMPRESSORS
from omnizip.compressors.ops.merging import sum_by_group
from omnizip.model.conditions import capability_note
from omnizip.model.loading import _with_host_rows, attention_for, dtype_for
from omnizip.types import Sampling

METHODS = list(COMPRESSORS)
DTYPES = {"one": torch.float32, "two": torch.float32, "flash": torch.bfloat16, "old": torch.float16}


@pytest.fixture(scope="module")
def clip():
    return tiny.clip(frames=8, sound_s=4.0)


@pytest.fixture(scope="module")
def host():
    """The same model on the CPU, by precision."""
    float32 = tiny.deep_model(LAYERS)
    return {torch.float32: float32} | {dtype: in_precision(float32, dtype) for dtype in (torch.bfloat16, torch.float16)}


@pytest.fixture(scope="module")
def encoded(host, clip):
    """As each precision encodes it on the CPU, so that all that is compared comes after."""
    return {dtype: model.encode(clip) for dtype, model in host.items()}


@pytest.fixture(scope="module")
def expected(host, encoded):
    made = {}

    def of(name, dtype):
        if (name, dtype) not in made:
            made[name, dtype] = converse(host[dtype], name, encoded[dtype])
        return made[name, dtype]

    return of


def put(gpus, kind, host):
    if kind == "two":
        return on_two(gpus, host[torch.float32])
    if kind == "flash":
        return on_one(gpus, in_precision(host[torch.float32], torch.bfloat16, "flash_attention_2"))
    return on_one(gpus, host[DTYPES[kind]])


KINDS = {"one": {}, "two": {"count": 2}, "flash": {}, "old": {"capability": (7, 5)}}


@pytest.mark.parametrize("kind", [kind if kind == "one" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS])
def test_every_method_in_two_turns(kind, host, encoded, expected):
    """One GPU, two of them under accelerate, flash-attn in bfloat16, a card before Ampere in float16."""
    dtype = DTYPES[kind]
    wanted = {name: expected(name, dtype) for name in METHODS}
    with emulated(**KINDS[kind]) as gpus, flash_attn():
        model = put(gpus, kind, host)
        assert len(model.parts.gpus) == gpus.count
        for name in METHODS:
            found = converse(model, name, encoded[dtype])
            assert_alike(found, wanted[name], torch.finfo(dtype).eps * 16)


@pytest.mark.parametrize("kind", KINDS)
def test_encoding_is_the_hosts(kind, host, encoded, clip):
    """Features lie complete on the host, though they are copied while the device goes on."""
    dtype = DTYPES[kind]
    with emulated(**KINDS[kind]) as gpus, flash_attn():
        found = put(gpus, kind, host).encode(clip)
    for one, other in ((found.video, encoded[dtype].video), (found.audio, encoded[dtype].audio)):
        assert not isinstance(one, OnGpu) and one.isfinite().all()
        torch.testing.assert_close(one.float(), other.float(), atol=0.05 if dtype != torch.float32 else 1e-5, rtol=0.05)
    torch.testing.assert_close(found.saliency, encoded[dtype].saliency, atol=1e-4, rtol=0.05)


def test_sampling_draws_what_the_host_draws(host, encoded):
    sampling = Sampling(max_new_tokens=4, temperature=0.9, top_p=0.9, seed=3)
    wanted = converse(host[torch.float32], "omnizip", encoded[torch.float32], sampling=sampling)
    with emulated() as gpus:
        assert_alike(converse(on_one(gpus, host[torch.float32]), "omnizip", encoded[torch.float32], sampling=sampling), wanted, 1e-5)


def test_a_card_before_ampere_is_given_float16_and_no_flash_attn():
    with emulated(capability=(7, 5)), flash_attn():
        assert dtype_for("auto", "cuda") == "float16" and attention_for("auto", "cuda", "float16") == "sdpa"
        assert "older than Ampere" in capability_note()
    with emulated():
        assert dtype_for("auto", "cuda") == "bfloat16" and capability_note() == ""


def test_memory_that_runs_out_at_any_allocation_leaves_the_model_usable(host, encoded):
    """At a sixth of two turns' allocations after another, and at the last: hooks are gone, nothing half read is used."""
    from omnizip.engine.out_of_memory import is_out_of_memory

    name = "pyramiddrop"
    with emulated() as gpus:
        model = on_one(gpus, host[torch.float32])
        converse(model, name, encoded[torch.float32])  # what is made once
        gpus.allocations = 0
        wanted = converse(model, name, encoded[torch.float32])
        total = gpus.allocations
        for nth in [*range(1, total, max(1, total // 6)), total]:
            gpus.allocations, gpus.failed, gpus.fail_at = 0, 0, nth
            with pytest.raises(torch.OutOfMemoryError) as raised:
                converse(model, name, encoded[torch.float32])
            assert is_out_of_memory(raised.value) and gpus.failed == 1
            hooks = sum(len(module._forward_pre_hooks) for module in model.parts.thinker.modules())
            assert hooks == 0, f"after allocation {nth}"
        gpus.fail_at = 0
        assert_alike(converse(model, name, encoded[torch.float32]), wanted, 0)


class TestTheEmulation:
    """It refuses what CUDA refuses, and its values are real."""

    def test_devices_are_not_mixed(self):
        with emulated(count=2) as gpus:
            x, y, z = gpus.put(torch.ones(3)), gpus.put(torch.ones(3), 1), torch.ones(3)
            for other in (y, z):
                with pytest.raises(RuntimeError, match="same device"):
                    x + other
                with pytest.raises(RuntimeError, match="same device"):
                    torch.cat([x, other])
            with pytest.raises(RuntimeError, match="same device"):
                x[gpus.put(torch.tensor([0]), 1)]
            assert (x + torch.tensor(2.0)).sum().item() == 9, "a single number of the host is let through"
            assert (x + y.to(x.device)).tolist() == [2, 2, 2]
            assert x[torch.tensor([0, 2])].sum().item() == 2, "rows of the host may index"

    def test_what_is_on_the_device_is_not_read_from_the_host(self):
        with emulated() as gpus, pytest.raises(TypeError, match="numpy"):
            gpus.put(torch.ones(3)).numpy()

    def test_a_copy_lands_when_the_device_is_waited_for(self):
        with emulated() as gpus:
            x = gpus.put(torch.arange(3.0))
            target = torch.empty(3, pin_memory=True).copy_(x, non_blocking=True)
            x += 1  # later work of the device does not change what is on its way
            assert target.isnan().all()
            torch.cuda.synchronize()
            assert target.tolist() == [0, 1, 2] and not gpus.waits
            again = x.to("cpu", non_blocking=True)
            assert again.isnan().all() and int(x.sum()) == 6 and again.tolist() == [1, 2, 3]

    def test_values_are_real_also_through_views_and_in_place(self):
        with emulated() as gpus:
            x = gpus.put(torch.zeros(2, 3))
            x[:, 1] = 5.0
            x.view(-1)[0] = 7.0
            assert x.device == torch.device("cuda", 0) and x.is_cuda and not x.is_meta
            assert x.cpu().tolist() == [[7, 5, 0], [0, 5, 0]]

    def test_flash_attn_takes_half_precision_and_int32_only(self):
        from devices import flash_attn_func, flash_attn_varlen_func

        with emulated() as gpus:
            q = gpus.put(torch.randn(1, 2, 4, 8))
            k = gpus.put(torch.randn(1, 5, 2, 8))
            with pytest.raises(RuntimeError, match="fp16"):
                flash_attn_func(q, k, k, causal=True)
            q, k = q.half(), k.half()
            made = flash_attn_func(q, k, k, causal=True)
            first = flash_attn_func(q[:, :1], k[:, :4], k[:, :4])
            torch.testing.assert_close(made[:, :1].cpu(), first.cpu())
            with pytest.raises(RuntimeError, match="int32"):
                edges = gpus.put(torch.tensor([0, 2]))
                flash_attn_varlen_func(q[0], q[0], q[0], edges, edges, 2, 2)


def test_a_model_may_be_put_on_a_gpu_and_left_as_it_was(host):
    with emulated() as gpus:
        moved = model_of(gpus.put(host[torch.float32].parts.thinker), host[torch.float32].settings)
        assert moved.parts.device == torch.device("cuda", 0) and moved.conditions.device == "an emulated GPU"
    assert host[torch.float32].parts.device == torch.device("cpu") and len(QUESTIONS) == 2


def test_embeddings_for_a_lent_gpu_lie_on_the_host_wherever_loading_put_them():
    """Weights in 4 bits go to the GPU as they are read, so that there a plain copy of the table would stay on the card."""
    table = torch.nn.Embedding(6, 4)
    wanted = table.weight.detach().clone()
    with emulated() as gpus:
        table.weight = torch.nn.Parameter(gpus.put(table.weight.detach()), requires_grad=False)
        thinker = SimpleNamespace(get_input_embeddings=lambda: table, to=lambda device: device)
        moved, rows = _with_host_rows(thinker, "cuda")
        gpus.wait()
    assert moved == "cuda" and rows.device.type == "cpu" and not isinstance(rows, OnGpu) and torch.equal(rows, wanted)


def test_what_is_added_atomically_ends_in_no_fixed_order_and_folding_does_not_depend_on_it():
    rows = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * 10.0 ** torch.arange(4000).remainder(7)[:, None]
    group = torch.arange(4000).remainder(5)
    with emulated() as gpus:
        put = gpus.put(rows), gpus.put(group)
        atomic = [torch.zeros(5, 3, device="cuda").index_add_(0, put[1], put[0]).cpu() for _ in range(5)]
        folded = [sum_by_group(*put, 5).cpu() for _ in range(5)]
    assert any(not torch.equal(atomic[0], other) for other in atomic[1:])
    assert all(torch.equal(folded[0], other) for other in folded[1:])
    exact = torch.zeros(5, 3, dtype=torch.float64).index_add_(0, group, rows.double())
    for found in (*atomic, *folded):
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-1)
