"""The shared words: shapes are checked, windows follow time, the prompt keeps positions."""

from dataclasses import replace

import pytest
import torch
from streams import AUDIO, VIDEO, make_stream

from omnizip import Compression, Modality, OmniZip, Reason, TokenStream
from omnizip.errors import MethodError
from omnizip.windows import window_of


def test_windows_follow_the_time_of_the_first_medium():
    time = torch.tensor([0, 1, 2, 3, 52, 53, 102, 103, 4000])
    media = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 0], dtype=torch.bool)
    assert window_of(time, media).tolist() == [-1, -1, -1, 0, 0, 1, 1, 2, -1]


def test_windows_without_positions_count_tokens():
    with_positions, without = make_stream(), make_stream(with_positions=False)
    assert torch.equal(with_positions.window, without.window)
    assert without.n_windows == 3 and without.grid == (6, 4, 5)


def test_the_prompt_keeps_the_unpruned_positions_and_text():
    stream = make_stream()
    result = OmniZip().compress(stream)
    prompt = stream.prompt(result)
    assert torch.equal(prompt.positions, stream.positions[:, result.keep])
    assert torch.equal(prompt.index, result.keep.nonzero().flatten())
    assert prompt.next_position == int(stream.positions[:, -1].max()) + 1
    assert bool(result.keep[stream.modality == Modality.TEXT].all())


def test_without_attention_the_norm_ranks_and_the_stream_says_so():
    ids = torch.tensor([9] + [VIDEO] * 8 + [AUDIO] * 50 + [9])
    embeds = torch.ones(60, 4)
    embeds[20] = 100.0
    stream = TokenStream.from_ids(ids, embeds, audio_token_id=AUDIO, video_token_id=VIDEO, grid_thw=torch.tensor([[2, 4, 4]]))
    assert stream.saliency_kind == "embedding norm"
    result = OmniZip(rho_audio=0.95, anchors=False).compress(stream)
    assert bool(result.keep[20]) and "norm" in result.notes[0]


@pytest.mark.parametrize(
    "change",
    [{"embeds": torch.zeros(3, 4)}, {"grid_thw": (4, 4, 4)}, {"audio_saliency": torch.zeros(7)}],
)
def test_shapes_that_do_not_fit_are_refused(change):
    ids = torch.tensor([VIDEO] * 8 + [AUDIO] * 50)
    given = {"embeds": torch.zeros(58, 4), "grid_thw": (2, 4, 4), "audio_saliency": torch.zeros(50)} | change
    with pytest.raises(MethodError, match=r"\d"):
        TokenStream.from_ids(ids, given.pop("embeds"), audio_token_id=AUDIO, video_token_id=VIDEO, **given)


def test_reasons_complete_a_compression():
    stream = make_stream(steps=0, audio=50)
    reason = torch.zeros_like(stream.modality)
    reason[5:55] = Reason.DROPPED
    reason[5] = Reason.SALIENT
    reason[6] = Reason.FOLDED
    result = Compression.of(stream, reason, source=torch.full((stream.n_tokens,), 5))
    assert result.source[5] == 5 and result.source[6] == 5 and result.source[7] == -1
    assert not result.keep[6] and result.keep[0]


def test_video_that_was_never_encoded_has_a_reason_of_its_own():
    stream = make_stream(steps=2, audio=50)
    seen = torch.ones(2, stream.tokens_per_step, dtype=torch.bool)
    seen[1, 3] = False
    reason = torch.full_like(stream.modality, Reason.METHOD_SCORE)
    result = Compression.of(replace(stream, seen=seen), reason)
    unseen = stream.step_places[1, 3]
    assert result.reason[unseen] == Reason.UNSEEN and result.source[unseen] == -1 and not result.keep[unseen]
    assert int((~result.keep).sum()) == 1 and reason[unseen] == Reason.METHOD_SCORE, "what was given is not written to"
    with pytest.raises(MethodError, match="seen"):
        replace(stream, seen=seen[:1])
