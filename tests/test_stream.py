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


def test_windows_at_another_rate_of_positions_are_two_seconds_too():
    """Thirteen positions a second, in fractions: steps of 0.7 s among thirteen tokens of sound a second."""
    steps = torch.arange(9) * torch.tensor(0.7) * 13
    sound = torch.arange(78).float()
    time, kind = torch.cat([steps - 1e-3, sound]), torch.cat([torch.full((9,), VIDEO), torch.full((78,), AUDIO)])
    order = time.argsort(stable=True)
    positions = (torch.cat([steps, sound]) + 17)[order].expand(3, -1)
    given = {"audio_token_id": AUDIO, "video_token_id": VIDEO, "grid_thw": (9, 2, 2), "positions_per_second": 13}
    stream = TokenStream.from_ids(kind[order], torch.zeros(87, 4), positions, **given)
    assert stream.structure.step_window.tolist() == [int(7 * k // 20) for k in range(9)]
    assert stream.structure.audio_window.tolist() == [k // 26 for k in range(78)]
    counted = TokenStream.from_ids(kind[order], torch.zeros(87, 4), **given)
    assert torch.equal(counted.structure.audio_window, stream.structure.audio_window)


def test_deepstack_rows_need_one_for_every_video_token():
    ids = torch.tensor([VIDEO] * 8 + [AUDIO] * 50)
    given = {"audio_token_id": AUDIO, "video_token_id": VIDEO, "grid_thw": (2, 4, 4)}
    stream = TokenStream.from_ids(ids, torch.zeros(58, 4), deepstack=torch.arange(96.0).view(3, 8, 4), **given)
    keep = torch.zeros_like(stream.modality)
    keep[2:58] = Reason.METHOD_SCORE
    keep[:2] = Reason.DROPPED
    prompt = stream.prompt(Compression.of(stream, keep))
    assert torch.equal(prompt.deepstack, stream.deepstack[:, 2:]) and prompt.video_rows.tolist() == list(range(6))
    behind, rows = prompt.deepstack_from(4)
    assert torch.equal(behind, stream.deepstack[:, 6:]) and rows.tolist() == [0, 1]
    with pytest.raises(MethodError, match="deepstack"):
        TokenStream.from_ids(ids, torch.zeros(58, 4), deepstack=torch.zeros(3, 7, 4), **given)


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
