"""What every registered method owes its user, over one small model, so that methods before and inside it stand side by side."""

from pathlib import Path

import pytest
import tiny
import tiny_qwen3
import torch
from contract import CLIPS, check_decisions, check_description, check_no_two_alike, independent_checks
from tiny import deep_model

from omnizip import COMPRESSORS, Modality
from omnizip.compressors.layer_pruner import LayerPruner
from omnizip.compressors.random import Random
from omnizip.types import Turn

FAMILIES = {"Qwen2.5-Omni": deep_model, "Qwen3-Omni": lambda: tiny_qwen3.opened(3, layers=tiny.DEEP)}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return FAMILIES[request.param]()


@pytest.fixture(scope="module")
def streams(model):
    return {name: model.stream(model.encode(tiny.clip(**clip)), [Turn("What is loud?")]) for name, clip in CLIPS.items()}


@pytest.mark.parametrize("clip", list(CLIPS))
@pytest.mark.parametrize("name", list(COMPRESSORS))
def test_every_method_on_every_kind_of_clip(model, streams, name, clip):
    check_decisions(model, streams[clip], COMPRESSORS[name])


@pytest.mark.parametrize("name", list(COMPRESSORS))
def test_every_method_says_what_it_is(name):
    check_description(name, COMPRESSORS[name])


def test_no_two_methods_keep_the_same(model, streams):
    check_no_two_alike(model, streams["mostly picture"], COMPRESSORS)


@pytest.mark.parametrize("name", list(COMPRESSORS))
def test_every_method_has_an_independent_check(name):
    assert name in independent_checks(Path(__file__).parents[1]), (
        f'no test is marked @pytest.mark.independent("{name}"); compare {name} with something that does not come from its own code'
    )


def test_independent_checks_are_of_methods_that_exist():
    assert set(independent_checks(Path(__file__).parents[1])) <= set(COMPRESSORS)


@pytest.mark.independent("random")
def test_random_draws_every_token_alike_and_keeps_its_shares(streams):
    """Over many seeds a token is kept as often as any other; counts per group are what the scope promises."""
    stream, seeds, share = streams["even"], 200, 0.4
    media = (stream.modality != Modality.TEXT).nonzero().flatten()
    groups = {"clip": torch.zeros_like(media), "modality": stream.modality[media].long(), "window": stream.window[media]}
    for scope, group in groups.items():
        often = torch.zeros(media.numel())
        for seed in range(seeds):
            keep = Random(retention=share, scope=scope, seed=seed).compress(stream).keep[media]
            assert int(keep.sum()) == round(share * media.numel())
            for kind in group.unique():
                own = keep[group == kind]
                assert abs(int(own.sum()) - share * own.numel()) <= 1
            often += keep
        spread = (seeds * share * (1 - share)) ** 0.5
        assert float((often - seeds * share).abs().max()) < 5 * spread, f"{scope}: some tokens are favoured"
        assert 0.7 * spread < float((often - seeds * share).std()) < 1.3 * spread, f"{scope}: draws depend on each other"
    assert torch.equal(Random(seed=3).compress(stream).keep, Random(seed=3).compress(stream).keep)
    assert not torch.equal(Random(seed=3).compress(stream).keep, Random(seed=4).compress(stream).keep)


@pytest.mark.parametrize("name", [name for name in COMPRESSORS if issubclass(COMPRESSORS[name], LayerPruner)])
def test_what_a_further_question_can_see_is_stated(model, streams, name):
    """And true: what the last layer's cache holds of the clip is what the answer can still look at behind the cut."""
    method = COMPRESSORS[name].at_retention(0.45, streams["even"])
    assert method.reads_question and "further question" in method.later and method.later in method.compress(streams["even"]).notes
    prompt = streams["even"].prompt(method.compress(streams["even"]))
    prefilled = model.prefill(prompt, method, streams["even"])
    text = int((streams["even"].modality == Modality.TEXT).sum())
    left = [length - text for length in prefilled.lengths]
    if "nothing of the clip is left" in method.later:
        assert left == [0] * len(left)
    else:
        assert left[0] == prompt.index.numel() - text and left[-1] < left[0], "the first layers keep all of the clip, later ones less"
