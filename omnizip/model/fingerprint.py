"""Tells loaded weights apart, without their files: a folder may have been written anew, and a name says little."""

from __future__ import annotations

from hashlib import sha256

import torch
from torch import nn

PLACES = 64  # values of each parameter that are looked at, spread evenly over it


@torch.no_grad()
def weights_digest(model: nn.Module) -> str:
    """Digest of every parameter's name, shape, type and of some of its values: training changes nearly all of them."""
    digest = sha256()
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        flat = parameter.detach().flatten()
        if parameter.is_meta or not flat.numel():
            continue
        places = torch.linspace(0, flat.numel() - 1, min(PLACES, flat.numel()), dtype=torch.float64).round().long()
        digest.update(flat[places.to(flat.device)].cpu().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
