"""Sentences about a comparison: never claiming a gain that is none, never leaving a condition out."""

from types import SimpleNamespace

import pytest

from omnizip.report import wording
from omnizip.report.report import differing_words
from omnizip.stream import Modality, Reason
from omnizip.types import Agreement, Conditions


def test_gain_is_only_claimed_where_there_is_one():
    assert wording.gain(2.93, "faster", "slower") == ("2.9×", "faster")
    assert wording.gain(0.5, "faster", "slower") == ("2.0×", "slower")
    assert wording.gain(1.02, "faster", "slower", "as fast") == ("1.0×", "as fast")
    assert wording.gain(14.2, "faster", "slower")[0] == "14×"
    assert wording.gain(None, "faster", "slower") is None


def test_savings_read_in_order_and_skip_the_unknown():
    line = wording.savings({"tokens": 1 / 0.35, "prefill": 2.9, "ttft": 0.8, "kv_cache": None, "flops": 3.0})
    assert line == [
        ("35 %", "of the tokens read"),
        ("2.9×", "faster to read"),
        ("1.2×", "later to the first word"),
    ]


def test_the_headline_gives_the_first_word_with_and_without_encoders():
    line = [" ".join(part) for part in wording.savings({"ttft": 4.6, "ttft_encoded": 1.4})]
    assert line == ["4.6× sooner to the first word", "1.4× sooner with looking and listening counted"]


def test_versus_says_which_way_and_nothing_of_the_unknown():
    assert wording.versus(200, 50, "faster", "slower") == "4.0× faster"
    assert wording.versus(50, 200, "faster", "slower") == "4.0× slower"
    assert wording.versus(50, 50, "faster", "slower") == "the same"
    assert wording.versus(None, 50, "faster", "slower") == wording.versus(50, None, "faster", "slower") == ""


def test_times_beyond_what_the_operations_allow_are_noise_and_no_headline():
    line = wording.savings({"tokens": 2.0, "prefill": 5.2, "ttft": 2.3, "ttft_encoded": 0.5, "kv_cache": 2.0, "flops": 2.4})
    assert line == [
        ("50 %", "of the tokens read"),
        ("2.3×", "sooner to the first word"),
        ("2.0×", "later with looking and listening counted"),
        ("2.0×", "less memory"),
    ]
    assert "noise" in wording.speed_up(5.2, 2.4) and "noise" not in wording.speed_up(2.6, 2.4)


def test_speed_up_stands_beside_what_could_be_had():
    assert wording.speed_up(2.29, 2.42) == "Reading was 2.3× faster; by the operations counted it could be 2.4× faster."
    assert wording.speed_up(1.0, 2.42).startswith("Reading was as fast;")
    assert "once" in wording.speed_up(5.2, 2.4) and "median of 5" in wording.speed_up(5.2, 2.4, 5)
    assert wording.speed_up(None, 2.42) == wording.speed_up(2.0, None) == ""


def test_every_reason_and_modality_has_words():
    assert {r.name.lower() for r in Reason} == set(wording.REASON_WORDS)
    assert {m.name.lower() for m in Modality if m != Modality.TEXT} == set(wording.MODALITY_TOKENS)


def test_sameness_of_answers_follows_the_words():
    first, second = "The bell rings twice.", "The bell rings once."
    spans, others = differing_words(first, second)
    assert [first[a:b] for a, b in spans] == ["twice"] and [second[a:b] for a, b in others] == ["once"]
    assert "differ" in wording.difference(first, second, bool(spans))
    assert "same" in wording.difference(first, first + " ", False)
    assert "spaces" in wording.difference("a b", "a  b", False)


@pytest.mark.parametrize(
    ("n", "text"),
    [(8_930_000_000, "8.93 billion"), (310_000, "310 thousand"), (1_000, "1 thousand"), (999, "999"), (1, "1"), (0, "0")],
)
def test_parameters(n, text):
    assert wording.parameters(n) == f"{text} parameters"


def test_model_line_names_all_conditions():
    c = Conditions("nano", True, 310_000, "cpu", "float32", "sdpa", 1, "2.13.0", "5.23.0", "Linux")
    line = wording.model_line(c)
    for part in ("nano", "built in", "310 thousand parameters", "CPU, 1 thread", "float32", "sdpa"):
        assert part in line
    lent = Conditions("Qwen2.5-Omni-7B", False, 8_930_000_000, "cuda", "bfloat16", "sdpa", 4, "2.13.0", "5.23.0", "Linux")
    assert wording.model_line(lent) == "Qwen2.5-Omni-7B · 8.93 billion parameters · on CUDA · bfloat16 · attention by sdpa"


def test_agreement_is_a_number_and_a_place():
    assert wording.agreement(Agreement(-0.2149, 1, 5)) == "−0.21, 1st"
    assert wording.agreement(Agreement(-0.0001, 1234, 5)) == "0.00, place 1,234"
    assert wording.agreement(None) == "–"


def test_a_run_is_named_with_what_it_was_asked_to_keep():
    full, small = SimpleNamespace(label="A", retention_target=None), SimpleNamespace(label="B", retention_target=0.45)
    assert [wording.run_name(run) for run in (full, small)] == ["A", "B 45 %"]
    assert wording.asked_title("A", None) == "A" and wording.asked_title("B", 0.45) == "B, asked to keep 45 %"
