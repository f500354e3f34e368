"""Folding: the same bits in whatever order members come, and in segments what one addition after the other makes."""

import ast
from pathlib import Path

import pytest
import torch

from omnizip.compressors.ops.merging import absorb, add_weighted, average, sum_by_group, sum_segments

ROOT = Path(__file__).resolve().parents[3] / "omnizip" / "compressors"


def clip(seed):
    """Rows of very different sizes, so that another order of adding shows in the last bits."""
    generator = torch.Generator().manual_seed(seed)
    embeds = torch.randn(120, 16, generator=generator) * torch.logspace(-3, 3, 120)[torch.randperm(120, generator=generator), None]
    member = torch.randperm(100, generator=generator)[:70]
    return embeds, member, torch.randint(0, 9, (70,), generator=generator), torch.rand(70, generator=generator), generator


@pytest.mark.parametrize("fold", [absorb, add_weighted])
@pytest.mark.parametrize("seed", range(5))
def test_anchors_do_not_depend_on_the_order_of_their_members(fold, seed):
    embeds, member, anchor_of, weight, generator = clip(seed)
    anchors = embeds[100:110]
    expected = fold(anchors, embeds, member, anchor_of, weight)
    for _ in range(4):
        order = torch.randperm(70, generator=generator)
        assert torch.equal(fold(anchors, embeds, member[order], anchor_of[order], weight[order]), expected)
    for slot in range(10):
        mine = anchor_of == slot
        rows, own, w = embeds[member[mine]].double(), anchors[slot].double(), weight[mine].double()
        slow = (own + (w.softmax(0)[:, None] * rows).sum(0)) / 2 if fold is absorb else (own + (w[:, None] * rows).sum(0)) / (1 + w.sum())
        torch.testing.assert_close(expected[slot].double(), slow if mine.any() else own, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_averages_do_not_depend_on_the_order_of_tokens(seed, monkeypatch):
    embeds, member, slot, _, generator = clip(seed)
    survivor = 100 + 2 * slot
    folded, expected = average(embeds, member, survivor)
    for row, place in zip(expected, folded.tolist(), strict=True):
        group = torch.cat([embeds[place][None], embeds[member[survivor == place]]]).double()
        torch.testing.assert_close(row.double(), group.mean(0), rtol=1e-4, atol=1e-3)
    for size in (1, 200, 5000, 1 << 20):  # and not on the blocks it is worked out in
        monkeypatch.setattr("omnizip.compressors.ops.merging.block_bytes", lambda device, size=size: size)
        order = torch.randperm(70, generator=generator)
        places, means = average(embeds, member[order], survivor[order])
        assert torch.equal(places, folded) and torch.equal(means, expected)


def test_whole_numbers_are_summed_too():
    """How many stand for a token is counted so, and torch has segments of floats only."""
    group = torch.tensor([3, 0, 3, 3])
    found = sum_segments(torch.ones_like(group), group, 5)
    assert found.dtype == torch.int64 and found.tolist() == [1, 0, 0, 3, 0]


@pytest.mark.parametrize("shape", [(70, 16), (70,), (0, 16)])
def test_segments_add_one_row_after_the_other(shape):
    """What an accelerator does, bit for bit what the CPU does, and that a loop."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(shape, generator=generator) * 10 ** torch.randint(-3, 4, shape, generator=generator)
    group = torch.randint(0, 12, shape[:1], generator=generator)
    slow = torch.zeros(14, *shape[1:])
    for row, slot in zip(rows, group.tolist(), strict=True):
        slow[slot] += row
    assert torch.equal(sum_segments(rows, group, 14), slow) and torch.equal(sum_by_group(rows, group, 14), slow)


def test_nothing_else_adds_in_no_order():
    """index_add_ and its kind add atomically on an accelerator; one function alone calls it, on a CPU."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {"index_add", "index_add_", "scatter_add", "scatter_add_", "index_reduce"}:
                assert path.name == "merging.py", f"{path.name} adds in no fixed order; use sum_by_group"
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "").startswith("scatter_reduce"):
                assert ast.unparse(node.args[-1]) in ("'amax'", "'amin'"), f"{path.name} adds in no fixed order"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_folds_to_the_same_bits_every_time():
    embeds, member, anchor_of, weight, _ = (x.cuda() if isinstance(x, torch.Tensor) else x for x in clip(0))
    runs = [absorb(embeds[100:110], embeds, member, anchor_of, weight) for _ in range(20)]
    assert all(torch.equal(run, runs[0]) for run in runs)
