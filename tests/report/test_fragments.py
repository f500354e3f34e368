"""Pieces of HTML: texts are escaped, numbers are those of the runs, and what is compared says which way it went."""

import dataclasses
import re
from html import unescape

import numpy as np
from reports import CONDITIONS, make_report

from omnizip.report import fragments, wording
from omnizip.stream import Modality, Reason
from omnizip.types import MachineLoad, Turn


def rows(table):
    """The cells of every row, without tags."""
    cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr.*?</tr>", table))
    return [[unescape(re.sub("<small>.*?</small>|<[^>]+>", "", cell)) for cell in row] for row in cells]


def test_texts_are_escaped_and_spans_marked():
    html = fragments.answer("A & B", (), "a <b> c", spans=[(2, 5)])
    assert "A &amp; B" in html and "a <mark>&lt;b&gt;</mark> c" in html
    assert "<script" not in fragments.sentences(["<script>"]) + fragments.hint("<script>") + fragments.heading("<script>", "<script>")


def test_a_conversation_is_told_from_its_beginning():
    html = fragments.answer("Full", (Turn("First?", "One."), Turn("Second?", "")), "Three.", question="Third?")
    texts = re.findall(r'<p class="oz-(?:asked|said)"[^>]*>(.*?)</p>', html)
    assert texts == ["First?", "One.", "Second?", wording.NO_WORDS, "Third?", "Three."]
    assert "oz-empty" in fragments.answer("Full", (), None, empty="Soon.") and "Soon." in fragments.answer("Full", (), None, empty="Soon.")


def test_costs_are_the_runs_own_and_compared():
    report = make_report()
    full, small = report.runs
    table = {row[0]: row[1:] for row in rows(fragments.costs(report.runs, on_cpu=True))}
    assert table["Tokens read"][:2] == [f"{run.tokens['total']:,}" for run in (full, small)]
    assert table["Reading"] == ["40.0 ms", "10.0 ms", "4.0× faster (noise)"], "the operations allow less"
    assert table["First word after"] == ["43.5 ms", "13.5 ms", "3.2× faster (noise)"]
    assert table["Looking and listening"] == ["20.0 ms", "20.0 ms", "the same"]
    assert table["First word, all counted"] == ["63.5 ms", "33.5 ms", "1.9× faster"]
    assert table["Choosing"] == ["–", "3.0 ms", ""], "the full model chooses nothing"
    assert table["Peak memory"] == [wording.NOT_ON_CPU, wording.NOT_ON_CPU, ""]
    assert "of them known already" not in table
    assert wording.NOT_MEASURED in fragments.costs(report.runs, on_cpu=False) and fragments.costs([], on_cpu=True) == ""


def test_a_time_that_gains_more_than_operations_allow_is_called_noise():
    full, small = make_report().runs
    allowed = full.flops_counted.prefill / small.flops_counted.prefill
    assert wording.is_noise(4.0, {"tokens": 2.0, "flops": allowed}) and allowed < 3
    fast = dataclasses.replace(small, timing=small.timing.with_prefill(40 / 20, 5))
    shown = fragments.costs([full, fast], on_cpu=True)
    table = {row[0]: row[1:] for row in rows(shown)}
    assert table["Reading"] == ["40.0 ms", "2.0 ms", "20× faster (noise)"]
    assert "median of 5" in shown and "noise" not in table["Tokens read"][2] and "noise" not in table["Memory to remember it"][2]


def test_how_often_reading_was_timed_and_how_busy_the_machine_was_stand_below():
    full, small = make_report().runs
    often = [dataclasses.replace(run, timing=run.timing.with_prefill(run.timing.prefill_ms, 5)) for run in (full, small)]
    shown = fragments.costs(often, on_cpu=True, load=MachineLoad((3.24, 1.0, 0.5), 2))
    assert f"{wording.TIMED_AGAIN.format(n=5)} Load of the machine meanwhile: 3.2 on 2 cores." in shown
    once = fragments.costs([full, small], on_cpu=True, load=MachineLoad(None, 2))
    assert "timed" not in once.replace(wording.BEYOND_ONCE, "") and "Load of the machine" not in once


def looked(run, *shares):
    return dataclasses.replace(run, first_token_attention=shares)


def test_where_each_first_word_looked_is_drawn_on_one_scale_and_said_in_words():
    full, small = make_report().runs
    assert len(full.windows) == 3
    html = fragments.first_word([looked(full, 0.1, 0.2, 0.05), looked(small, 0.0, 0.4, 0.0)])
    assert re.findall(r"--share:(\d+)%", html) == ["25", "50", "12", "0", "100", "0"]
    assert "Full model: most at 2–4 s (20 %), 0–2 s (10 %); 35 % of all went to the clip" in html
    assert "OmniZip: most at 2–4 s (40 %); 40 % of all went to the clip" in html
    assert '<details class="oz-looks" open>' in html and html in fragments.costs(
        [looked(full, 0.1, 0.2, 0.05), looked(small, 0.0, 0.4, 0.0)], True
    )
    assert "OmniZip: nothing of the clip" in fragments.first_word([looked(full, 0.1, 0.2, 0.05), looked(small, 0.0, 0.0, 0.0)])


def test_on_a_long_clip_it_is_folded_away_and_where_nothing_is_known_there_is_none(monkeypatch):
    full, small = make_report().runs
    assert fragments.first_word([full, small]) == "" and "oz-looks" not in fragments.costs([full, small], on_cpu=True)
    monkeypatch.setattr(fragments, "SHORT_STRIP", 2)
    assert '<details class="oz-looks">' in fragments.first_word([looked(full, 0.1, 0.2, 0.05), looked(small, 0.0, 0.4, 0.0)])


def test_an_encoding_that_was_there_already_is_said_to_be():
    full, small = make_report().runs
    assert wording.ENCODING_REUSED not in fragments.costs([full, small], on_cpu=True)
    reused = dataclasses.replace(small, timing=dataclasses.replace(small.timing, encode_reused=True))
    table = fragments.costs([full, reused], on_cpu=True)
    assert ["Looking and listening", "20.0 ms", "20.0 ms, reused", "the same"] in rows(table) and wording.ENCODING_REUSED in table


def test_a_follow_up_says_what_was_known_already_and_who_chose_anew():
    full, small = make_report().runs
    full, small = dataclasses.replace(full, reused_tokens=1234), dataclasses.replace(small, reused_tokens=7)
    table = fragments.costs([full, small], on_cpu=True)
    assert ["of them known already", "1,234", "7", ""] in rows(table) and "chose anew" not in table
    asking = dataclasses.replace(small, method="fastv", label="FastV")
    assert "FastV looks at the question" in fragments.costs([full, asking], on_cpu=True)


def test_every_token_is_counted_once_in_the_reasons():
    record = make_report().runs[1].compression
    html = fragments.reasons(record)
    counted = [int(row[1].replace(",", "")) for row in rows(html)]
    assert sum(counted) == record.clip_tokens["total"]
    assert f"Sound: {record.clip_tokens['audio']:,} tokens" in html and f"Picture: {record.clip_tokens['video']:,} tokens" in html


def test_what_the_second_of_two_stages_dropped_was_looked_at():
    """Said only where something was not: other methods have looked at everything."""
    record = make_report().runs[1].compression
    assert "looked at" not in fragments.reasons(record)
    index = np.flatnonzero((record.modality == Modality.VIDEO) & (record.reason == Reason.DROPPED))
    reason = record.reason.copy()
    reason[index[:1]] = Reason.UNSEEN
    named = {row[0] for row in rows(fragments.reasons(dataclasses.replace(record, reason=reason)).split("Picture:")[-1])}
    assert {wording.LOOKED_AT[0], wording.REASON_WORDS["unseen"][0]} <= named and wording.REASON_WORDS["dropped"][0] not in named


def test_the_embedded_model_is_told_apart():
    other = dataclasses.replace(CONDITIONS, embedded=False, device="cuda")
    assert "coloured shapes" in fragments.model_notice(CONDITIONS) and "coloured shapes" not in fragments.model_notice(other)
    assert "on CUDA" in fragments.model_notice(other) and fragments.model_notice(other, "9 GB free").endswith(" · 9 GB free</p>")


def test_nothing_known_is_no_headline():
    assert fragments.headline({"tokens": None, "prefill": None}) == ""
    assert "<b>2.0×</b> faster to read" in fragments.headline({"tokens": None, "prefill": 2.0})
