"""OmniZip.official reproduces the reference implementation's decisions on every stored vector."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from omnizip import OmniZip, TokenStream

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
