"""What every registered method owes its user, over one small model, so that methods before and inside it stand side by side."""

import ast
import dataclasses
import itertools
from pathlib import Path

import pytest
import tiny
import torch
from tiny import deep_model

from omnizip import COMPRESSORS, Modality
from omnizip.compressors.layer_pruner import LayerPruner
from omnizip.compressors.random import Random
from omnizip.report.decision import CompressionRecord
from omnizip.stream import Reason
from omnizip.types import Turn

CLIPS = {
    "even": {"frames": 12, "sound_s": 6.0},
    "odd frames": {"frames": 7, "sound_s": 3.3},
    "no sound": {"frames": 8, "sound_s": None},
    "silence": {"frames": 8, "sound_s": 4.0, "silent": True},
    "one window": {"frames": 3, "sound_s": 1.4},
    "longer sound": {"frames": 4, "sound_s": 6.0},
    "mostly picture": {"frames": 20, "sound_s": 2.6},
}
INDEPENDENT = {  # method -> the test that compares it with a planted truth, a slow reading of its description, or the reference's output
    "full": "test_omnizip.test_nothing_pruned_is_the_full_model",
    "random": "test_contract.test_random_draws_every_token_alike_and_keeps_its_shares",
    "omnizip": "test_omnizip.test_every_decision_equals_the_slow_reading",
    "omnizip-official": "test_omnizip_golden.test_official_decides_as_the_reference",
    "omnisift": "test_omnisift.test_decides_as_the_reference",
    "dycoke": "test_methods.test_dycoke_keeps_change_within_groups_of_four",
    "vidcom2": "test_methods.test_vidcom2_is_the_published_formula",
    "dtd": "test_methods.test_dtd_drops_what_did_not_change",
    "evs": "test_methods.test_evs_ranks_change_over_the_whole_clip",
    "visionzip": "test_attention_methods.test_visionzip_keeps_what_is_looked_at_and_merges_the_rest",
    "prumerge": "test_attention_methods.test_prumerge_is_its_description",
    "omnirefine": "test_omnirefine.test_blocks_are_the_best_of_all_divisions",
    "echoingpixels": "test_attention_methods.test_echoingpixels_ranks_both_media_together",
    "fastv": "test_layer_pruning.test_choice_and_answer_equal_a_dense_model_with_masks",
    "fastav": "test_layer_pruning.test_choice_and_answer_equal_a_dense_model_with_masks",
    "pyramiddrop": "test_layer_pruning.test_choice_and_answer_equal_a_dense_model_with_masks",
    "seats": "test_layer_pruning.test_seats_forgets_as_a_dense_model_with_masks_does",
}
METHODS = list(COMPRESSORS)


@pytest.fixture(scope="module")
def model():
    return deep_model()


@pytest.fixture(scope="module")
def streams(model):
    return {name: model.stream(model.encode(tiny.clip(**clip)), [Turn("What is loud?")]) for name, clip in CLIPS.items()}


@torch.no_grad()
def decided(model, stream, method, asked=None):
    """The decision as it ended, and its record; a method inside the model reads the prompt for it."""
    compression, layers = method.compress(stream), ()
    if isinstance(method, LayerPruner):
        prompt = stream.prompt(compression)
        kept = model.prefill(prompt, method, stream).kept
        compression, layers = kept.applied_to(compression, prompt.index), kept.layers
    return compression, CompressionRecord.of(compression, 6.0, method.needs, layers, asked)


def tensors(stream):
    return {f.name: v for f in dataclasses.fields(stream) if isinstance(v := getattr(stream, f.name), torch.Tensor)}


@pytest.mark.parametrize("clip", list(CLIPS))
@pytest.mark.parametrize("name", METHODS)
def test_every_method_on_every_kind_of_clip(model, streams, name, clip):
    stream = streams[clip]
    before = {key: value.clone() for key, value in tensors(stream).items()}
    media = stream.modality != Modality.TEXT
    for retention in (0.05, 0.25, 0.45, 1.0):
        method = COMPRESSORS[name].at_retention(retention, stream)
        found, record = decided(model, stream, method, retention)
        assert bool(found.keep[~media].all()), "text is kept"
        budget_met_or_told(record, retention, int(media.sum()))
        traceable(found, media)
        again, _ = decided(model, stream, COMPRESSORS[name].at_retention(retention, stream), retention)
        for field in ("keep", "source", "reason", "embeds"):
            assert torch.equal(getattr(found, field), getattr(again, field)), f"{field} differs between two runs"
    for key, value in before.items():
        torch.testing.assert_close(tensors(stream)[key], value, rtol=0, atol=0, equal_nan=True, msg=f"{name} wrote to {key}")


def budget_met_or_told(record, asked, total):
    """Exact before the model, to a token of the average inside it; otherwise one sentence, in the record and so on the page."""
    missed = abs(record.retained["total"] * total - asked * total)
    told = [note for note in record.notes if note.endswith("asked.")]
    if missed <= (1 if record.layers else 0.5 + 1e-6):
        assert not told, f"nothing was missed, yet it says {told}"
    else:
        assert len(told) == 1, f"kept {record.retained['total']:.1%} of {asked:.0%} without a word"


def traceable(found, media):
    """Every token says where it went: kept ones live in themselves, folded ones in a kept token, dropped ones nowhere."""
    place = torch.arange(media.shape[0])
    folded, dropped = found.reason == Reason.FOLDED, found.reason == Reason.DROPPED
    assert torch.equal(found.keep, ~(folded | dropped))
    assert torch.equal(found.source[found.keep], place[found.keep])
    assert bool((found.source[dropped] == -1).all()) and bool(found.keep[found.source[folded]].all())


def test_no_two_methods_keep_the_same(model, streams):
    stream, kept = streams["mostly picture"], {}
    for name in METHODS:
        kept[name] = decided(model, stream, COMPRESSORS[name].at_retention(0.6, stream))[0].keep
    for a, b in itertools.combinations(kept, 2):
        assert not torch.equal(kept[a], kept[b]), f"{a} and {b} keep the same"


def test_every_method_has_an_independent_check():
    assert set(INDEPENDENT) == set(COMPRESSORS)
    for name, place in INDEPENDENT.items():
        module, test = place.split(".")
        (path,) = Path(__file__).parents[1].rglob(f"{module}.py")
        assert any(getattr(node, "name", None) == test for node in ast.parse(path.read_text()).body), f"{name}: there is no {place}"


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


@pytest.mark.parametrize("name", [name for name in METHODS if issubclass(COMPRESSORS[name], LayerPruner)])
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
