"""In sixteen bits: as many tokens, at positions that are exact though they travel in the model's precision, and the same answer."""

import pytest
import torch
from vllm_engine import EXAMPLES, Product, Served, example


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    return Served(Product("bfloat16"), tmp_path_factory.mktemp("nano") / "full", dtype="bfloat16", max_num_batched_tokens=4096)


@pytest.mark.parametrize("name", EXAMPLES)
def test_bfloat16(name, served):
    clip, question = example(name), "What is seen last?"
    whole = served.product.read(clip, question, "full")
    _, embeds, positions = served.read(served.request(clip, question, {"method": "full"}))
    assert torch.equal(positions, whole.prompt.positions)  # rounding would move most of them: 257 is not a number of bfloat16
    close = torch.cosine_similarity(embeds.float(), whole.prompt.embeds.float(), dim=1)
    assert float(close.min()) > 0.99
    known = {tuple(place) for place in whole.prompt.positions.T.tolist()}
    for method in ("omnizip", "glance", "omnisift"):
        truth = served.product.read(clip, question, method)
        result, embeds, positions = served.read(served.request(clip, question, {"method": method}))
        read, wanted = ({tuple(place) for place in part.T.tolist()} for part in (positions, truth.prompt.positions))
        assert embeds.dtype == torch.bfloat16 and embeds.shape == truth.prompt.embeds.shape
        assert read <= known and len(read & wanted) > 0.8 * len(wanted)
        assert served.answer(result) == truth.answer
