"""Accuracy, differences and counts, beside sums done by hand; the unparsed and the failed are in none of them."""

import copy
import csv
import io

import pytest

from omnizip.evaluation.arms import Entry
from omnizip.evaluation.benchmarks import benchmark_tables, results_page, scores
from omnizip.evaluation.benchmarks.published import BENCHMARKS, PROTOCOLS, published, published_captions
from omnizip.evaluation.statistics import mcnemar

FULL, ZIP, RANDOM = Entry("full"), Entry("omnizip", 0.35), Entry("random", 0.35, seeds=2)
R, W, U, F = "right", "wrong", "unparsed", "failed"


def outcome(status):
    if status == F:
        return {"status": F, "reason": "It broke."}
    ms = dict.fromkeys(scores.TIMES, 10.0)
    tokens = {"text": 10, "audio": 20, "video": 70, "total": 100}
    return {"status": status, "text": "", "tokens": tokens, "retained": {"total": 0.35, "audio": 0.5, "video": 0.3}, "ms": ms}


def record(clip, full, zipped, *random):
    groups = [[["task type", "even" if n % 2 == 0 else "odd"], ["audio class", "Event"]] for n in range(len(full))]
    arms = {FULL.name: full, ZIP.name: zipped, **dict(zip(RANDOM.keys, random, strict=True))}
    return {
        "clip": clip,
        "questions": [{"id": f"{clip}/{n}", "answer": "A", "options": 4, "groups": g} for n, g in enumerate(groups)],
        "arms": {key: [outcome(status) for status in found] for key, found in arms.items()},
    }


RECORDS = [
    record("a", [R, R, W, R], [R, W, W, U], [R, W, W, R], [W, W, W, R]),
    record("b", [R, W, R, R], [R, R, F, R], [W, W, R, U], [R, W, R, R]),
    record("c", [W, R], [W, R], [W, R], [W, W]),
]
LOST = {"clip": "d", "questions": RECORDS[2]["questions"], "failed": "The file ends early.", "arms": {}}


def by_name(records):
    return {row["name"]: row for row in scores.summarise(records, [FULL, ZIP, RANDOM])}


def whole(row, kind="all", group="all"):
    return next(found for found in row["accuracy"] if (found["kind"], found["group"]) == (kind, group))


def test_the_unparsed_and_the_failed_are_in_no_accuracy():
    rows = by_name(RECORDS)
    assert whole(rows["full"])["accuracy"] == pytest.approx(7 / 10) and whole(rows["full"])["n"] == 10
    zipped = rows[ZIP.name]
    assert whole(zipped)["n"] == 8 and whole(zipped)["accuracy"] == pytest.approx(5 / 8)
    assert zipped["counts"] == {R: 5, W: 3, U: 1, F: 1} and zipped["floor"] == pytest.approx(5 / 10)
    assert zipped["failed"] == {"It broke.": 1}
    worse = copy.deepcopy(RECORDS)
    for status in (U, F):  # one more that does not count leaves the share of the others alone
        worse.append(record(f"more {status}", [R], [status], [R], [R]))
    assert whole(by_name(worse)[ZIP.name])["accuracy"] == pytest.approx(5 / 8)


def test_a_bad_file_costs_its_own_questions_only():
    before, after = by_name(RECORDS), by_name([*RECORDS, LOST])
    for name in before:
        assert whole(after[name])["accuracy"] == whole(before[name])["accuracy"] and whole(after[name])["n"] == whole(before[name])["n"]
        lost = len(LOST["questions"]) * (2 if name == RANDOM.name else 1)
        assert after[name]["counts"][F] == before[name]["counts"][F] + lost
        assert after[name]["failed"]["The file ends early."] == lost


def test_one_clip_alone_has_no_interval():
    """Drawn again, it is itself: an interval of no width would claim certainty."""
    rows = by_name([RECORDS[0], LOST])
    assert whole(rows["full"])["accuracy"] == 0.75 and whole(rows["full"])["ci95"] == [] == rows[ZIP.name]["vs_full"]["ci95"]
    lines = benchmark_tables.markdown(result([RECORDS[0], LOST])).splitlines()
    # Both answered three questions: full right on two, OmniZip on one, never alone.
    (line,) = [line for line in lines if line.startswith("| OmniZip | 35 | 35.0 | 50.0 | 30.0 |")]
    assert "| 33.3 | -33.3 | 1.000 |" in line
    assert "nan" not in results_page.page(result([RECORDS[0], LOST])) and "measured" in benchmark_tables.as_csv(result([RECORDS[0], LOST]))
    assert len(whole(by_name(RECORDS)["full"])["ci95"]) == 2


def test_several_seeds_of_one_description_are_one_clip():
    said = [{"clip": c, "questions": [{}], "arms": {k: [{"log_likelihood": v}] for k, v in zip(RANDOM.keys, seeds, strict=True)}}
            for c, seeds in (("a", (-1.0, -3.0)), ("b", (-4.0, -6.0)))]  # fmt: skip
    verdicts = {("a", RANDOM.keys[0], 0): {"facts": 4, "missed": 1, "invented": 0}}
    (row,) = scores.descriptions(said, [RANDOM], verdicts)
    assert (row["log_likelihood"]["n"], row["log_likelihood"]["mean"]) == (2, -3.5)
    assert row["log_likelihood"]["ci95"] == [-5.0, -2.0] and row["missed"]["mean"] == 0.25


def test_names_and_reasons_of_others_break_no_table():
    odd = copy.deepcopy(RECORDS)
    odd[0]["questions"][0]["groups"] = [["domain", "Film | TV"]]
    odd[0]["arms"][ZIP.name][0] = {"status": F, "reason": "It broke.\n\n| here |"}
    text = benchmark_tables.markdown(result(odd))
    assert "OmniZip: 1 questions failed: It broke. | here |" in text.splitlines()
    (head,) = [line for line in text.splitlines() if "Film" in line]
    assert head == "| method | asked for | Film / TV (1) |"


def test_groups_are_counted_by_themselves_and_add_up():
    row = by_name(RECORDS)["full"]
    even, odd = whole(row, "task type", "even"), whole(row, "task type", "odd")
    assert (even["n"], odd["n"]) == (5, 5) and even["accuracy"] == pytest.approx(3 / 5) and odd["accuracy"] == pytest.approx(4 / 5)
    assert whole(row, "audio class", "Event")["accuracy"] == whole(row)["accuracy"]


def test_differences_are_of_the_questions_that_both_answered():
    found = by_name(RECORDS)[ZIP.name]["vs_full"]
    # Both counted: a 0-2, b 0, 1, 3, c 0, 1. Full is right on a0 a1 b0 b3 c1, omnizip on a0 b0 b1 b3 c1.
    assert found["n"] == 8 and found["difference"] == pytest.approx(0.0)
    assert (found["only_this_right"], found["only_other_right"]) == (1, 1) and found["mcnemar_p"] == mcnemar(1, 1) == 1.0
    low, high = found["ci95"]
    assert low <= 0 <= high


def test_several_seeds_of_random_are_pooled_and_each_is_tested():
    rows = by_name(RECORDS)
    random = rows[RANDOM.name]
    # Shares of the seeds that count: a .5 0 0 1, b .5 0 1 1, c 0 .5 -> 4.5 of 10.
    assert whole(random)["accuracy"] == pytest.approx(4.5 / 10) and whole(random)["n"] == 10
    assert random["by_seed"]["accuracy"] == pytest.approx([4 / 9, 4 / 10])
    against = rows[ZIP.name]["vs_random"]
    assert len(against["by_seed"]) == 2 and "mcnemar_p" not in against
    # Seed 0 on questions both answered: omnizip alone right on b0, b1; random alone nowhere. Its unparsed b3 is not a loss.
    assert against["by_seed"][0] == {"only_this_right": 2, "only_other_right": 0, "mcnemar_p": mcnemar(2, 0)}


def result(records=RECORDS):
    conditions = {
        "label": "WorldSense",
        "benchmark": "worldsense",
        "clips": 3,
        "all_clips": 3,
        "questions": 10,
        "subtitles": False,
        "protocol": {"name": "exact", "source": "here", "departs": ""},
        "fps": 2.0,
        "max_frames": 128,
        "tokens_per_step": 128,
        "max_new_tokens": 100,
        "model": "m",
        "weights": "w",
        "dtype": "float32",
        "device": "cpu",
        "workers": 1,
        "torch": "2",
        "transformers": "5",
        "omnizip": "0",
        "date": "2026-11-26T00:00:00",
        "command": "python -m omnizip eval worldsense",
    }
    return {"conditions": conditions, "results": scores.summarise(records, [FULL, ZIP, RANDOM])}


def test_the_table_shows_what_was_counted_and_what_others_published():
    text = benchmark_tables.markdown(result())
    lines = [line for line in text.splitlines() if line.startswith("| OmniZip |")]
    assert lines[0].startswith("| OmniZip | 35 | 35.0 | 50.0 | 30.0 | 62.5 [") and "| 8 | 1 | 1 | 100 | 10 ms |" in lines[0]
    assert "Not measured here" in text and "| arXiv 2511.14582v2 | 7B | OmniZip | 45 | 45.9 |" in text
    assert "By audio class:" in text and "OmniZip: 1 questions failed: It broke." in text


def test_csv_has_a_row_a_group_and_says_whose_a_number_is():
    rows = list(csv.DictReader(io.StringIO(benchmark_tables.as_csv(result()))))
    ours = [row for row in rows if row["source"] == "measured"]
    assert {row["name"] for row in ours} == {FULL.name, ZIP.name, RANDOM.name}
    (line,) = [row for row in ours if row["name"] == ZIP.name and row["kind"] == "all"]
    assert float(line["accuracy"]) == 0.625 and line["unparsed"] == line["failed"] == "1"
    grouped = [row for row in ours if row["kind"] != "all"]
    assert grouped and {row["failed"] + row["unparsed"] + row["floor"] for row in grouped} == {""}, "these are of all questions"
    assert all(row["source"].startswith("arXiv") for row in rows if row not in ours)


def test_the_page_needs_nothing_else():
    made = results_page.page(result())
    assert made.count("<svg") == 2 and "<script" not in made and "src=" not in made and "http" not in made.replace("https://arxiv", "")
    assert made.count("<circle") == 2 * (3 + 3) and "<td>OmniZip</td>" in made
    empty = results_page.page(result([LOST]))
    assert "<svg" not in empty and "The file ends early." in empty


def test_published_numbers_have_a_source_and_a_protocol():
    found = list(published())
    assert len(found) > 200 and {n.source for n in found} == set(PROTOCOLS) == set(BENCHMARKS)
    assert all(20 < n.value < 80 and 25 <= n.retention <= 100 for n in found)
    assert [n.value for n in published("avut") if (n.method, n.model) == ("OmniZip", "7B")] == [63.0, 61.0, 63.0]
    odd = [row[1:4] for row in published_captions() if abs(sum(row[4][:2]) - row[4][2]) > 0.11]
    assert odd == [("7B", "DyCoke (V&A)", 25)]  # as printed; the table's remark says so
