"""What a record says of a decision, against a walk over the tokens."""

import numpy as np
import pytest
import torch
from reports import make_record, make_run
from streams import make_stream

from omnizip import COMPRESSORS, Compression, Full, OmniZip, Reason, TokenStream
from omnizip.report.decision import CompressionRecord


@pytest.mark.parametrize("name", ["full", "random", "omnizip", "omnizip-official"])
@pytest.mark.parametrize("layout", [{}, {"audio": 0}, {"steps": 0}, {"steps": 7, "audio": 420}, {"steps": 1, "audio": 20}])
def test_counts_equal_a_walk_over_the_tokens(name, layout):
    stream = make_stream(**layout)
    method = COMPRESSORS[name].at_retention(0.4, stream)
    decided = method.compress(stream)
    mine = CompressionRecord.of(decided, 100.0, method.needs)
    rows = list(zip(stream.modality.tolist(), stream.window.tolist(), decided.keep.tolist(), decided.reason.tolist(), strict=True))
    for modality, key in ((0, "text"), (1, "audio"), (2, "video")):
        assert mine.tokens[key] == sum(kept for m, _, kept, _ in rows if m == modality)
    assert mine.tokens["total"] == stream.prompt(decided).embeds.shape[0]
    for modality, key in ((1, "audio"), (2, "video")):
        went = mine.reasons[key]
        assert went == {r.name.lower(): n for r in Reason if (n := sum(m == modality and w == r for m, _, _, w in rows))}
        total = sum(m == modality for m, _, _, _ in rows)
        assert mine.clip_tokens[key] == total
        assert mine.retained[key] == (mine.tokens[key] / total if total else None)
    assert len(mine.windows) == stream.n_windows
    for i, window in enumerate(mine.windows):
        assert window.audio_tokens == sum(m == 1 and w == i for m, w, _, _ in rows)
        assert window.audio_kept == sum(m == 1 and w == i and k for m, w, k, _ in rows)
        assert window.video_tokens == sum(m == 2 and w == i for m, w, _, _ in rows)
        assert window.video_kept == sum(m == 2 and w == i and k for m, w, k, _ in rows)


def test_windows_carry_what_was_allocated():
    stream = make_stream(steps=7, audio=150)  # the last of four windows has no sound
    decided = OmniZip(rho_audio=0.3, rho_video=0.6).compress(stream)
    windows = CompressionRecord.of(decided, 7.0).windows
    assert [w.start_s for w in windows] == [0, 2, 4, 6]
    assert [w.end_s for w in windows] == [2, 4, 6, 7.0]
    assert windows[3].audio_retention is None
    assert [w.audio_retention for w in windows[:3]] == pytest.approx(decided.audio_retention[:3].tolist())
    assert [w.video_pruning_rate for w in windows] == pytest.approx(decided.video_pruning_rate.tolist())


def test_a_method_whose_windows_are_not_the_clips_has_no_allocation_per_window():
    stream = make_stream(steps=7, audio=150)
    decided = Full().compress(stream)
    other = Compression.of(stream, decided.reason, audio_retention=torch.ones(9), video_pruning_rate=torch.full((4,), torch.nan))
    windows = CompressionRecord.of(other, 7.0).windows
    assert {w.audio_retention for w in windows} == {None}
    assert {w.video_pruning_rate for w in windows} == {None}


def test_a_record_holds_copies():
    stream = make_stream()
    decided = Full().compress(stream)
    mine = CompressionRecord.of(decided, 6.0)
    decided.keep[:] = False
    stream.modality[:] = 0
    assert mine.keep.all() and (mine.modality > 0).any()


@pytest.mark.parametrize(
    ("fields", "column"), [({"saliency_scope": "clip"}, "saliency"), ({"saliency_scope": "window"}, "saliency_windowed")]
)
def test_the_saliency_recorded_is_the_one_the_method_ranks_by(fields, column):
    base = make_stream()
    stream = TokenStream(base.embeds, base.positions, base.modality, base.window, base.grid, base.saliency, base.saliency * 3)
    np.testing.assert_array_equal(make_record(OmniZip(**fields), stream).saliency, getattr(stream, column).numpy())


@pytest.mark.parametrize("kind", ["uniform", "embedding norm", "given", "attention"])
def test_a_stand_in_for_attention_is_told(kind):
    base = make_stream()
    stream = TokenStream(base.embeds, base.positions, base.modality, base.window, base.grid, base.saliency, base.saliency, kind)
    official = OmniZip.official()
    assert bool(make_record(official, stream).notes) == (kind != "attention")
    assert len(make_record(OmniZip(), stream).notes) == (kind != "attention")
    assert make_record(Full(), stream).notes == ()
    assert make_run(official, make_record(official, stream)).to_json()["saliency_kind"] == kind
