"""The row of attention that a first token is chosen from, against the stock model's own eager attention."""

import pytest
import tiny
import torch
from tiny import deep_model

from omnizip.compressors.fastv import FastV
from omnizip.compressors.full import Full
from omnizip.compressors.omnizip import OmniZip
from omnizip.engine import Arm, Engine, Finished
from omnizip.model.first_token import noting_last_row
from omnizip.settings import Settings
from omnizip.stream import Modality
from omnizip.types import Sampling, Turn

TURNS = [Turn("What is loud?")]


@pytest.fixture(scope="module", params=["tiny", "embedded"])
def model(request):
    return deep_model() if request.param == "tiny" else Engine.open(Settings(device="cpu")).model


@pytest.fixture(scope="module")
def stream(model):
    return model.stream(model.encode(tiny.clip(frames=13, sound_s=6.6, seed=3)), TURNS)


def eager_rows(model, prompt):
    """Per layer (N,) what the stock model's eager attention gives from the last row, averaged over heads."""
    config = model.parts.language.config
    before, config._attn_implementation = config._attn_implementation, "eager"
    try:
        with torch.inference_mode():
            made = model.parts.language(
                inputs_embeds=prompt.embeds[None], position_ids=prompt.positions[:, None], output_attentions=True, use_cache=True
            )
    finally:
        config._attn_implementation = before
    return [weights[0, :, -1].mean(0) for weights in made.attentions]


@pytest.mark.parametrize("method", [Full(), OmniZip(rho_audio=0.3, rho_video=0.6)], ids=lambda method: method.name)
def test_it_is_the_last_row_of_the_last_layer_of_the_stock_model(model, stream, method):
    prompt = stream.prompt(method.compress(stream))
    prefilled = model.prefill(prompt, method, stream)
    expected = eager_rows(model, prompt)
    found = prefilled.first_token_attention
    torch.testing.assert_close(found, expected[-1], atol=1e-5, rtol=1e-3)
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(found, expected[-2], atol=1e-3), "layers differ, so the right one was taken"


def test_what_is_decoded_behind_it_changes_nothing(model, stream):
    prompt = stream.prompt(Full().compress(stream))
    prefilled = model.prefill(prompt)
    before = prefilled.first_token_attention.clone()
    list(model.decode(prefilled, Sampling(max_new_tokens=4)))
    torch.testing.assert_close(prefilled.first_token_attention, before)


def test_shares_by_window_are_sums_over_the_rows_that_stand_in_them(model, stream):
    method = OmniZip(rho_audio=0.3, rho_video=0.6)
    prompt = stream.prompt(method.compress(stream))
    prefilled = model.prefill(prompt, method, stream)
    row, shares = eager_rows(model, prompt)[-1].tolist(), model.first_token_attention(prefilled, prompt, stream)
    slow = [0.0] * stream.n_windows
    text = 0.0
    for weight, place in zip(row, prompt.index.tolist(), strict=True):
        if stream.modality[place] == Modality.TEXT:
            text += weight
        else:
            slow[int(stream.window[place])] += weight
    assert shares == pytest.approx(slow, abs=1e-5) and sum(shares) + text == pytest.approx(1, abs=1e-4)
    assert len(shares) == stream.n_windows > 2


def test_a_method_inside_the_model_is_told_of_the_rows_its_last_layer_read():
    model = deep_model(attention="eager")
    stream = model.stream(model.encode(tiny.clip(frames=13, sound_s=6.6, seed=3)), TURNS)
    method = FastV.at_retention(0.5, stream)
    prompt = stream.prompt(method.compress(stream))
    prefilled = model.prefill(prompt, method, stream)
    seen = []
    attention = model.parts.language.layers[-1].self_attn
    hook = attention.register_forward_hook(lambda module, args, output: seen.append(output[1][0, :, -1].mean(0)))
    try:
        model.prefill(prompt, method, stream)
    finally:
        hook.remove()
    torch.testing.assert_close(prefilled.first_token_attention, seen[0], atol=1e-5, rtol=1e-3)
    kept = prefilled.kept.read[-1]
    assert len(seen[0]) == kept.numel() < prompt.embeds.shape[0]
    places = prompt.index[kept]
    inside = [float(seen[0][stream.window[places] == window].sum()) for window in range(stream.n_windows)]
    assert model.first_token_attention(prefilled, prompt, stream) == pytest.approx(inside, abs=1e-5)


def test_a_further_question_is_looked_at_over_all_that_was_read(model, stream):
    method = Full()
    prompt = stream.prompt(method.compress(stream))
    prefilled = model.prefill(prompt, method, stream)
    ids = list(model.decode(prefilled, Sampling(max_new_tokens=3)))
    known = model.prefix(prefilled, prompt, ids)
    encoded = model.encode(tiny.clip(frames=13, sound_s=6.6, seed=3))
    longer = model.stream(encoded, [Turn(TURNS[0].question, model.text(ids)), Turn("And then?")])
    after = longer.prompt(method.compress(longer))
    resumed = model.resume(known, after)
    assert resumed.reused > 0
    torch.testing.assert_close(resumed.first_token_attention, eager_rows(model, after)[-1], atol=1e-4, rtol=1e-2)


def test_the_hook_is_gone_whatever_happens(model):
    layer = model.parts.language.layers[-1]
    before = len(layer._forward_pre_hooks)
    with pytest.raises(ZeroDivisionError), noting_last_row(model.parts.language):
        assert len(layer._forward_pre_hooks) == before + 1
        raise ZeroDivisionError
    assert len(layer._forward_pre_hooks) == before


def test_a_report_has_it_for_every_run(tmp_path):
    from clips import make_clip

    engine = Engine.open(Settings(device="cpu", max_new_tokens=2))
    *_, last = engine.compare(make_clip(tmp_path / "clip.mp4", seconds=5), "What is seen?", [Arm("random", 0.5), Arm("fastv", 0.5)])
    assert isinstance(last, Finished)
    for run, plain in zip(last.report.runs, last.report.to_json()["runs"], strict=True):
        assert len(run.first_token_attention) == last.report.clip.windows and 0 < sum(run.first_token_attention) < 1
        assert plain["first_token_attention"] == list(run.first_token_attention)
