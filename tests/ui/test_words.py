"""Numbers as people read them: rounded once, with their unit, and never claiming a gain that is none."""

import re

import pytest

from omnizip.report.report import differing_words
from omnizip.settings import Settings
from omnizip.stream import Reason
from omnizip.types import Conditions
from ui import words


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0, "0.0 ms"),
        (0.421, "0.42 ms"),
        (0.96, "1.0 ms"),
        (12.34, "12.3 ms"),
        (99.6, "100 ms"),
        (345.6, "346 ms"),
        (1234, "1.23 s"),
        (12_340, "12.3 s"),
    ],
)
def test_durations(ms, text):
    assert words.duration(ms) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1_500, "1.50 kB"),
        (999_999, "1.00 MB"),
        (15_500_000, "15.5 MB"),
        (6_700_000_000, "6.70 GB"),
    ],
)
def test_sizes(n, text):
    assert words.size(n) == text


def test_operations_reach_their_largest_unit():
    assert words.operations(2_500_000_000_000) == "2.50 TFLOPs"
    assert words.operations(10**23) == "100000 EFLOPs"


@pytest.mark.parametrize(("x", "text"), [(None, "–"), (0.0, "0 %"), (0.0345, "3.5 %"), (0.099, "9.9 %"), (0.352, "35 %"), (1.0, "100 %")])
def test_shares(x, text):
    assert words.share(x) == text


def test_gain_is_only_claimed_where_there_is_one():
    assert words.gain(2.93, "faster", "slower") == ("2.9×", "faster")
    assert words.gain(0.5, "faster", "slower") == ("2.0×", "slower")
    assert words.gain(1.02, "faster", "slower", "as fast") == ("1.0×", "as fast")
    assert words.gain(14.2, "faster", "slower")[0] == "14×"
    assert words.gain(None, "faster", "slower") is None


def test_headline_reads_in_order_and_skips_the_unknown():
    line = words.headline({"tokens": 1 / 0.35, "prefill": 2.9, "ttft": 0.8, "kv_cache": None, "flops": 3.0})
    assert line == [
        ("35 %", "of the tokens read"),
        ("2.9×", "faster to read"),
        ("1.2×", "later to the first word"),
    ]


def test_every_reason_and_stage_has_words():
    assert {r.name.lower() for r in Reason} == set(words.REASON_WORDS)
    assert list(words.STAGES) == ["decode", "encode", "compress", "warm up", "answer"]


def test_sameness_of_answers_follows_the_words():
    first, second = "The bell rings twice.", "The bell rings once."
    spans, others = differing_words(first, second)
    assert [first[a:b] for a, b in spans] == ["twice"] and [second[a:b] for a, b in others] == ["once"]
    assert "differ" in words.difference(first, second, bool(spans))
    assert "same" in words.difference(first, first + " ", False)


def test_model_line_names_all_conditions():
    c = Conditions("nano", True, 310_000, "cpu", "float32", "sdpa", 1, "2.13.0", "5.23.0", "Linux")
    line = words.model_line(c)
    for part in ("nano", "built in", "310 thousand parameters", "CPU, 1 thread", "float32", "sdpa"):
        assert part in line


def test_limits_are_those_of_the_settings():
    assert "3 minutes and 64 MB" in words.limits(Settings(max_clip_s=180, max_file_mb=64))
    assert "30 seconds" in words.limits(Settings(max_clip_s=30))


def test_the_page_speaks_plainly():
    jargon = re.compile(r"\b(logits|prefill|TTFT|mRoPE|embedding|checkpoint|bf16|tensor)\b", re.IGNORECASE)
    texts = [value for value in vars(words).values() if isinstance(value, str) and " " in value and value != words.__doc__]
    assert len(texts) > 20
    assert [text for text in texts if jargon.search(text)] == []
