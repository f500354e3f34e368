"""What a report says, against counts made by hand, brute force over tokens, and published numbers."""

import csv
import io
import json
import pickle

import numpy as np
import pytest
import torch
from streams import make_stream

from omnizip import COMPRESSORS, Compression, Full, OmniZip, Reason, TokenStream
from omnizip.report.report import (
    ClipRecord,
    CompressionRecord,
    CountedFlops,
    Run,
    RunReport,
    decode_flops,
    differing_words,
    kv_cache_bytes,
    paper_flops,
    prefill_flops,
)
from omnizip.types import Answer, Conditions, ModelShape, Sampling, Timing

SHAPE_7B = ModelShape(layers=28, width=3584, heads=28, kv_heads=4, head_dim=128, ffn=18944, vocabulary=152064, kv_bytes=2)
SHAPE_3B = ModelShape(layers=36, width=2048, heads=16, kv_heads=2, head_dim=128, ffn=11008, vocabulary=151936, kv_bytes=2)
TINY = ModelShape(layers=2, width=6, heads=4, kv_heads=2, head_dim=3, ffn=5, vocabulary=7, kv_bytes=4)
CONDITIONS = Conditions("tiny", True, 1000, "cpu", "float32", "sdpa", 1, "2.13", "5.23", "Linux")


def record(method=None, stream=None, duration_s=6.0):
    method = method or OmniZip(rho_audio=0.3, rho_video=0.6)
    return CompressionRecord.of(method.compress(stream or make_stream()), duration_s, method.needs)


def make_run(method, compression, text="A dog barks.", prefill_ms=40.0, cached=None):
    prompt = compression.tokens["total"]
    cached = cached or prompt + 3
    media = compression.tokens["audio"] + compression.tokens["video"]
    timing = Timing(10.0, 20.0, 1.0, 3.0, prefill_ms, 0.5, prefill_ms + 3.5, 100.0, None)
    return Run(
        method=method.name,
        label=method.label,
        parameters=method.parameters,
        retention_target=None,
        answer=Answer(text, (1, 2, 3), "end of turn"),
        compression=compression,
        timing=timing,
        peak_memory_bytes=None,
        kv_cache_bytes=kv_cache_bytes(TINY, cached),
        flops_paper=paper_flops(TINY, media),
        flops_counted=CountedFlops.of(TINY, prompt, cached),
    )


def make_report(stream=None, name="clip.mp4", duration_s=6.0):
    stream = stream or make_stream()
    methods = Full(), OmniZip(rho_audio=0.3, rho_video=0.6)
    runs = tuple(make_run(m, record(m, stream, duration_s), prefill_ms=t) for m, t in zip(methods, (40.0, 10.0), strict=True))
    clip = ClipRecord(name, duration_s, 12, 2.0, stream.n_windows, 320, 240, stream.grid, stream.n_audio > 0, ("A warning.",))
    return RunReport(CONDITIONS, TINY, Sampling(seed=7), {"fps": 2.0}, {"torch": "2.13"}, "What is heard?", clip, runs)


def strict(report):
    """Through strict JSON and back."""
    return json.loads(json.dumps(report.to_json(), allow_nan=False))


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
    np.testing.assert_array_equal(record(OmniZip(**fields), stream).saliency, getattr(stream, column).numpy())


@pytest.mark.parametrize("kind", ["uniform", "embedding norm", "given", "attention"])
def test_a_stand_in_for_attention_is_told(kind):
    base = make_stream()
    stream = TokenStream(base.embeds, base.positions, base.modality, base.window, base.grid, base.saliency, base.saliency, kind)
    official = OmniZip.official()
    assert bool(record(official, stream).notes) == (kind != "attention")
    assert len(record(OmniZip(), stream).notes) == (kind != "attention")
    assert record(Full(), stream).notes == ()
    assert make_run(official, record(official, stream)).to_json()["saliency_kind"] == kind


def test_the_papers_count_gives_its_published_table():
    """Table 2: 73.2 T for 7B; the same n must give the 3B row of 37.4 T, which was not fitted."""
    n = min(range(9_000, 11_000), key=lambda n: abs(paper_flops(SHAPE_7B, n) - 73.2e12))
    assert n == pytest.approx(10_060, rel=0.01)
    assert paper_flops(SHAPE_3B, n) / 1e12 == pytest.approx(37.4, rel=0.02)


def test_the_papers_count_term_by_term():
    t, n, d, m, r = 2, 11, 6, 5, 3
    by_hand = t * (4 * n * d**2 + 2 * n**2 * d + 2 * n * d * m) + t * r * ((4 * d**2 + 2 * d * m) + 2 * (d * n + d * (r + 1) / 2))
    assert paper_flops(TINY, n, r) == by_hand


def test_the_truthful_count_per_token():
    """13.05 GFLOP a token for 7B before attention and vocabulary."""
    vocabulary = 2 * SHAPE_7B.width * SHAPE_7B.vocabulary
    attention = SHAPE_7B.layers * 4 * SHAPE_7B.width
    assert (prefill_flops(SHAPE_7B, 1) - vocabulary - attention) / 1e9 == pytest.approx(13.05, abs=0.01)


@pytest.mark.parametrize("tokens", [1, 2, 17])
def test_the_truthful_count_equals_matrix_by_matrix(tokens):
    """Two operations per multiply-add of every matrix product of the model, attention only where it is causal."""

    def product(rows, inner, columns):
        return 2 * rows * inner * columns

    d, q, kv, m = TINY.width, TINY.heads * TINY.head_dim, TINY.kv_heads * TINY.head_dim, TINY.ffn
    total = product(1, d, TINY.vocabulary)
    for _ in range(TINY.layers):
        total += product(tokens, d, q) + 2 * product(tokens, d, kv) + product(tokens, q, d)
        total += 2 * product(tokens, d, m) + product(tokens, m, d)
        for seen in range(1, tokens + 1):
            total += TINY.heads * (product(1, TINY.head_dim, seen) + product(1, seen, TINY.head_dim))
    assert prefill_flops(TINY, tokens) == total
    step = prefill_flops(TINY, tokens + 1) - prefill_flops(TINY, tokens) + product(1, d, TINY.vocabulary)
    assert decode_flops(TINY, tokens + 1) == step


def test_decoding_counts_the_tokens_that_were_fed_back():
    counted = CountedFlops.of(TINY, prompt=10, cached=13)
    assert counted.decode == decode_flops(TINY, 11) + decode_flops(TINY, 12) + decode_flops(TINY, 13)
    assert counted.decode_per_token == decode_flops(TINY, 11)
    assert CountedFlops.of(TINY, prompt=10, cached=10).decode == 0


def test_cache_bytes():
    assert kv_cache_bytes(SHAPE_7B, 1) == 57_344  # 28 layers x keys and values x 512 x 2 bytes
    cache = [(torch.zeros(1, 2, 9, 3), torch.zeros(1, 2, 9, 3)) for _ in range(2)]
    assert kv_cache_bytes(TINY, 9) == sum(t.nbytes for layer in cache for t in layer)


def test_json_has_the_promised_names_and_is_strict():
    plain = strict(make_report(make_stream(audio=0)))  # without sound there are shares and rates that do not exist
    assert {"model", "clip", "runs", "schema", "conditions", "question"} <= set(plain)
    assert {"duration_s", "frames", "windows", "warnings"} <= set(plain["clip"])
    assert plain["conditions"]["seed"] == 7 and plain["conditions"]["settings"] == {"fps": 2.0}
    full, small = plain["runs"]
    assert (full["method"], small["method"]) == ("full", "omnizip")
    for run in plain["runs"]:
        assert set(run["tokens"]) == {"text", "audio", "video", "total"}
        assert set(run["retained"]) == {"audio", "video", "total"}
        assert {"saliency_ms", "compress_ms", "prefill_ms", "ttft_ms", "decode_ms", "tokens_per_s"} <= set(run["timing"])
        assert {"method", "parameters", "answer", "peak_memory_bytes", "kv_cache_bytes", "windows"} <= set(run)
        assert {"start_s", "end_s", "audio_tokens", "audio_kept", "video_tokens", "video_kept"} <= set(run["windows"][0])
        assert run["retained"]["audio"] is None and run["windows"][0]["audio_retention"] is None
    assert full["retained"]["video"] == 1 and small["parameters"]["rho_video"] == 0.6


def test_json_survives_numbers_that_are_not_finite():
    report = make_report()
    run = report.runs[0]
    broken = Run(**{**vars(run), "parameters": {"a": float("nan"), "b": (float("inf"), 1.5)}})
    assert json.loads(json.dumps(broken.to_json(), allow_nan=False))["parameters"] == {"a": None, "b": [None, 1.5]}


def test_ratios_are_full_over_this():
    report = make_report()
    full, small = report.runs
    ratios = strict(report)["runs"][1]["ratios"]
    assert ratios["prefill"] == 4
    assert ratios["ttft"] == pytest.approx(43.5 / 13.5)
    assert ratios["tokens"] == full.tokens["total"] / small.tokens["total"] > 1.5
    assert ratios["kv_cache"] == full.kv_cache_bytes / small.kv_cache_bytes
    assert ratios["flops"] == full.flops_counted.prefill / small.flops_counted.prefill > ratios["tokens"] > 1
    assert set(strict(report)["runs"][0]["ratios"].values()) == {1}
    nothing = make_report(make_stream(steps=0, audio=0), duration_s=0.0)
    assert strict(nothing)["runs"][1]["retained"] == {"audio": None, "video": None, "total": None}


def test_csv_has_one_row_per_window_and_run():
    report = make_report()
    rows = list(csv.DictReader(io.StringIO(report.windows_csv())))
    assert len(rows) == 2 * len(report.runs[0].windows) == 6
    assert [r["method"] for r in rows] == ["full"] * 3 + ["omnizip"] * 3
    assert [int(r["video_kept"]) for r in rows[3:]] == [w.video_kept for w in report.runs[1].windows]
    assert rows[0]["audio_retention"] == "" and float(rows[3]["audio_retention"]) > 0


def test_a_report_pickles():
    report = make_report()
    report.to_json()
    again = pickle.loads(pickle.dumps(report))
    assert again.to_json() == report.to_json()


@pytest.mark.parametrize(
    ("a", "b", "only_a", "only_b"),
    [
        ("A dog barks.", "A dog barks.", [], []),
        ("A dog barks.", "A cat barks.", ["dog"], ["cat"]),
        ("A dog barks.", "A dog barks loudly.", [], ["loudly"]),
        ("A very big dog.", "A dog!", ["very big", "."], ["!"]),
        ("", "Yes", [], ["Yes"]),
        ("", "", [], []),
        ("他在弹吉他", "他在弹钢琴", ["吉他"], ["钢琴"]),
        ("café  au\nlait", "café au lait", [], []),
    ],
)
def test_differing_words(a, b, only_a, only_b):
    spans_a, spans_b = differing_words(a, b)
    assert [a[start:end] for start, end in spans_a] == only_a
    assert [b[start:end] for start, end in spans_b] == only_b


def test_what_does_not_differ_is_equal():
    """Removing the differing spans leaves the same words in both, for any pair of answers."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        a, b = (" ".join(generator.choice(["a", "dog", "barks,", "loud", "it's"], generator.integers(0, 12))) for _ in range(2))
        left = []
        for text, spans in zip((a, b), differing_words(a, b), strict=True):
            for start, end in reversed(spans):
                text = text[:start] + " " + text[end:]
            left.append(text.replace(",", " ,").split())
        assert left[0] == left[1]
