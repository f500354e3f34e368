"""What a report says: the promised names, strict JSON, ratios, CSV, and where two answers differ."""

import csv
import io
import json
import pickle

import numpy as np
import pytest
from reports import make_report
from streams import make_stream

from omnizip.report.report import Run, differing_words


def strict(report):
    """Through strict JSON and back."""
    return json.loads(json.dumps(report.to_json(), allow_nan=False))


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
