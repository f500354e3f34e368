"""OmniZip.official reproduces the reference implementation's decisions on every stored vector."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from streams import make_stream

from omnizip import OmniZip, Reason, TokenStream

FILES = sorted((Path(__file__).parents[1] / "golden" / "omnizip").glob("*.npz"))


def test_vectors_are_there():
    assert len(FILES) >= 24


@pytest.mark.independent("omnizip-official")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_official_decides_as_the_reference(path):
    data = np.load(path)
    meta = json.loads(str(data["meta"]))
    stream = TokenStream.from_ids(
        torch.from_numpy(data["input_ids"]),
        torch.from_numpy(data["embeds"]),
        audio_token_id=meta["audio_token_id"],
        video_token_id=meta["video_token_id"],
        grid_thw=meta["grid_thw"],
        audio_saliency=torch.from_numpy(data["audio_scores"]),
    )
    method = OmniZip.official(
        rho_audio=meta["rho_audio"], rho_video=meta["rho_video"], anchor_ratio=meta["contextual_ratio"], merge_size=meta["g"]
    )
    result = method.compress(stream)
    keep = torch.from_numpy(data["keep"])
    assert torch.equal(result.keep, keep)
    torch.testing.assert_close(result.embeds[keep], torch.from_numpy(data["embeds_out"])[keep], atol=1e-5, rtol=0)


def test_the_ports_preset_ranks_within_the_encoders_blocks():
    """Its defaults and its ranking are those of the published port to Qwen3-Omni; all else is as the published code decides."""
    stream = make_stream()
    drawn = torch.rand(stream.n_tokens, generator=torch.Generator().manual_seed(1))
    windowed = torch.where(stream.saliency.isnan(), torch.nan, drawn)
    stream = dataclasses.replace(stream, saliency_windowed=windowed)
    port = OmniZip.official_qwen3()
    assert (port.rho_audio, port.rho_video, port.needs) == (0.4, 0.7, {"saliency_windowed"})
    found = port.compress(stream)
    count = stream.n_audio
    best = stream.audio_index[windowed[stream.audio_index].argsort(descending=True)[: round(0.6 * count)]]
    assert set((found.reason == Reason.SALIENT).nonzero().flatten().tolist()) == set(best.tolist())
    twin = dataclasses.replace(stream, saliency=windowed)
    assert torch.equal(found.keep, OmniZip.official(0.4, 0.7).compress(twin).keep)
