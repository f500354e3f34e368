"""The optimizer's orthogonal factor against a singular value decomposition, and its steps against their definition."""

import pytest
import torch

from training.muon import STEP, Muon, orthogonal


@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16)])
def test_every_direction_gets_about_the_same_length(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(-0.4, 0.4, shape[1]))
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    assert sizes[0] > 5 * sizes[-1]
    found = orthogonal(matrix)
    lengths = (left.T @ found @ right.T).diagonal()  # along the matrix's own directions
    assert lengths.min() > 0.4 and lengths.max() < 1.3
    assert torch.dist(found, left @ torch.diag(lengths) @ right) < 0.05 * found.norm()


def test_a_step_is_the_factor_of_the_averaged_gradient_ahead_of_time():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 10))
    first, second, before = torch.randn(6, 10), torch.randn(6, 10), weight.detach().clone()
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    weight.grad = first.clone()
    optimizer.step()
    expected = before * 0.95 - 0.1 * STEP * 10**0.5 * orthogonal(0.1 * first + 0.9 * 0.1 * first)
    assert torch.allclose(weight, expected, atol=1e-6)
    weight.grad = second.clone()
    optimizer.step()
    velocity = 0.9 * 0.1 * first + 0.1 * second
    assert torch.allclose(weight, expected * 0.95 - 0.1 * STEP * 10**0.5 * orthogonal(0.1 * second + 0.9 * velocity), atol=1e-6)


def test_it_finds_the_bottom_of_a_bowl():
    torch.manual_seed(0)
    target, weight = torch.randn(8, 8), torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([weight], lr=0.02, weight_decay=0.0)
    start = (weight - target).norm().item()
    for _ in range(300):
        loss = (weight - target).pow(2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (weight - target).norm() < 0.1 * start
