"""A prompt that nobody waits for is not read to its end, and a check that says nothing changes nothing."""

import pytest
import tiny
import torch

from omnizip.model.layer_pruning import checked
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
from omnizip.stream import Prompt


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return QwenOmni.load(Settings(model=tiny.save(tmp_path_factory.mktemp("models") / "tiny")))


def prompt_of(model, rows=12):
    ids = torch.arange(rows) + 5
    index = torch.arange(rows)
    return Prompt(model.parts.thinker.get_input_embeddings()(ids).detach(), index.expand(3, -1), index, rows)


def test_what_is_raised_before_a_layer_ends_the_reading_there(model):
    language, passed = model.parts.language, []
    watched = [layer.register_forward_hook(lambda *_: passed.append(1)) for layer in language.layers]

    def check():
        if passed:
            raise InterruptedError

    try:
        with pytest.raises(InterruptedError), checked(language, check):
            model.prefill(prompt_of(model))
    finally:
        for handle in watched:
            handle.remove()
    assert len(language.layers) > 1 and len(passed) == 1, "the first layer alone was passed"
    assert not any(layer._forward_pre_hooks for layer in language.layers)


def test_a_check_that_says_nothing_changes_nothing(model):
    whole = model.prefill(prompt_of(model)).logits
    asked = []
    with checked(model.parts.language, lambda: asked.append(1)):
        again = model.prefill(prompt_of(model)).logits
    assert torch.equal(whole, again) and len(asked) == len(model.parts.language.layers)
