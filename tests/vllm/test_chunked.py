"""A prompt that is read in pieces, whose cuts fall anywhere in a clip, is the prompt that is read at once."""

import pytest
from vllm_engine import EXAMPLES, Served, example

PIECE = 100  # tokens of a step of the scheduler


@pytest.fixture(scope="module")
def served(product, tmp_path_factory):
    return Served(product, tmp_path_factory.mktemp("nano") / "full", max_num_batched_tokens=PIECE)


@pytest.mark.parametrize("name", EXAMPLES)
def test_pieces_make_the_whole(name, served):
    for method, retention in (("omnizip", 0.35), ("full", 1.0)):
        result, _ = served.check(example(name), "What is seen last?", method, retention)
        assert len(result.prompt_token_ids) > 3 * PIECE


def test_pieces_of_many_requests_mix(product, served):
    clips = {name: example(name) for name in EXAMPLES}
    asked = [(name, share) for share in (0.25, 0.5) for name in EXAMPLES]
    served.llm.reset_prefix_cache()
    results = served.generate([served.request(clips[name], "What is heard?", {"retention": share}) for name, share in asked])
    for (name, share), result in zip(asked, results, strict=True):
        assert served.answer(result) == product.read(clips[name], "What is heard?", retention=share).answer, (name, share)
