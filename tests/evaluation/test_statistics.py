"""Intervals and tests against closed forms, brute force and planted outcomes."""

import itertools
from math import comb, sqrt

import numpy as np
import pytest

from omnizip.evaluation import arms, controls, dataset, statistics, summary, tables
from omnizip.evaluation.dataset import LISTED


@pytest.mark.parametrize(("a", "b"), [(1, 9), (9, 1), (0, 5), (4, 4), (0, 0), (12, 30)])
def test_mcnemar_counts_all_outcomes_of_fair_coins(a, b):
    n = a + b
    as_far = sum(comb(n, k) for k in range(n + 1) if abs(k - n / 2) >= abs(a - n / 2)) / 2**n
    assert statistics.mcnemar(a, b) == pytest.approx(as_far)


def test_sign_flip_agrees_with_all_sign_patterns():
    values = np.array([0.5, 1, -0.25, 2, 1, 1, -1, 0.5, 3, 0, 0])
    moved = values[values != 0]
    sums = [abs(sum(s * v for s, v in zip(signs, moved, strict=True))) for signs in itertools.product((-1, 1), repeat=moved.size)]
    exact = np.mean([s >= abs(values.sum()) - 1e-9 for s in sums])
    assert statistics.sign_flip(values) == pytest.approx(exact, abs=0.015)
    assert statistics.sign_flip([0, 0]) == 1.0


def test_interval_of_a_mean_is_the_normal_one_for_many_clips():
    data = np.random.default_rng(0).normal(3, 2, 500)
    found = statistics.interval_of_mean(data.tolist())
    half = 1.96 * data.std() / sqrt(500)
    assert found["n"] == 500
    assert found["ci95"] == pytest.approx([data.mean() - half, data.mean() + half], abs=0.1 * half)
    assert statistics.interval_of_mean([]) == {"n": 0, "mean": None, "ci95": None}


def test_correlations():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=20), rng.normal(size=20)
    assert statistics.pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert statistics.spearman(a, np.exp(a)) == pytest.approx(1)
    assert statistics.spearman(a, b) == pytest.approx(1 - 6 * ((a.argsort().argsort() - b.argsort().argsort()) ** 2).sum() / (20 * 399))
    assert statistics.ranks([3, 1, 3, 2]).tolist() == [2.5, 0, 2.5, 1]
    assert statistics.pearson([1, 1, 1], [1, 2, 3]) is None


def test_macro_is_over_the_kinds_that_were_asked():
    assert statistics.macro(np.array([0.5, np.nan, 1.0])) == 0.75
    assert np.isnan(statistics.macro(np.array([np.nan, np.nan])))


def planted(clips=40, seed=0):
    """Records with two arms and a pooled one, right at random; arm b fails on clip 3."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(clips):
        kinds = list(rng.choice(LISTED, size=6, replace=False))
        questions = [{"kind": str(kind), "answer": "x", "by eye": None, "by ear": None} for kind in kinds]
        found = {key: _outcome(rng, 6) for key in ("full", "omnizip@0.35", "random@0.35#0", "random@0.35#1")}
        if number == 3:
            found["omnizip@0.35"] = {"failed": "It cannot.", "right": [None] * 6, "kept": None, "notes": []}
        records.append(
            {
                "seconds": 8.0,
                "seed": 100 + number,
                "questions": questions,
                "tokens": {"audio": 50, "video": 150},
                "arms": found,
                "ambient": "hum",
                "pattern": "plain",
            }
        )
    return records


def _outcome(rng, n):
    kept = {"audio": int(rng.integers(20, 30)), "video": int(rng.integers(40, 60))}
    return {"right": [bool(v) for v in rng.random(n) < 0.7], "kept": kept, "notes": []}


ENTRIES = (arms.Entry("full"), arms.make_entry("omnizip", 0.35, {}, 2), arms.make_entry("random", 0.35, {}, 2))


def _by_kind(records, keys):
    found = {}
    for record in records:
        for place, question in enumerate(record["questions"]):
            values = [record["arms"][key]["right"][place] for key in keys]
            if None not in values:
                found.setdefault(question["kind"], []).append(np.mean(values))
    return found


def test_rows_are_what_counting_by_hand_gives():
    records = planted()
    full, zipped, drawn = summary.results(records, ENTRIES)
    for row, keys in ((full, ["full"]), (zipped, ["omnizip@0.35"]), (drawn, ["random@0.35#0", "random@0.35#1"])):
        by_kind = _by_kind(records, keys)
        assert row["accuracy"]["all"] == pytest.approx(np.mean([np.mean(v) for v in by_kind.values()]))
        assert row["accuracy"]["micro"] == pytest.approx(np.mean([v for values in by_kind.values() for v in values]))
        for kind, values in by_kind.items():
            assert row["accuracy"][kind] == pytest.approx(np.mean(values))
            assert row["ci95"][kind][0] <= row["accuracy"][kind] <= row["ci95"][kind][1]
    assert (full["n"], zipped["n"], drawn["n"]) == (240, 234, 480)
    kept = [f["kept"] for r in records for f in [r["arms"]["omnizip@0.35"]] if f["kept"]]
    assert zipped["retained"]["audio"] == pytest.approx(sum(k["audio"] for k in kept) / (39 * 50))
    assert zipped["retained"]["total"] == pytest.approx(sum(k["audio"] + k["video"] for k in kept) / (39 * 200))
    singles = [np.mean([np.mean(v) for v in _by_kind(records, [f"random@0.35#{n}"]).values()]) for n in (0, 1)]
    assert drawn["seeds"]["all"] == pytest.approx(singles)
    assert drawn["seeds"]["sd"] == pytest.approx(abs(singles[0] - singles[1]) / sqrt(2))


def test_one_clip_alone_has_no_interval():
    (record,) = [record for record in planted() if record["seed"] == 100]
    _, zipped, _ = summary.results([record], ENTRIES)
    assert zipped["accuracy"] and not any(zipped["ci95"].values())
    assert zipped["vs_full"]["all"]["ci95"] == []
    assert statistics.interval_of_mean([0.5]) == {"n": 1, "mean": 0.5, "ci95": None}
    records = planted()
    rare = records[0]["questions"][0]["kind"]
    for record in records[1:]:
        record["questions"] = [
            {**question, "kind": "when sound"} if question["kind"] == rare else question for question in record["questions"]
        ]
    assert summary.results(records, ENTRIES)[0]["ci95"][rare] == []


def test_a_failure_counts_nowhere_but_among_the_failures():
    records = planted()
    _, zipped, _ = summary.results(records, ENTRIES)
    assert zipped["failures"] == 6
    assert zipped["failed"] == [{"sentence": "It cannot.", "clips": 1, "seeds": [103]}]
    _, without, _ = summary.results([r for r in records if r["seed"] != 103], ENTRIES)
    assert without["accuracy"] == pytest.approx(zipped["accuracy"])
    assert without["vs_full"]["only_this_right"] == zipped["vs_full"]["only_this_right"]


def test_paired_tests_use_the_same_items():
    records = planted()
    _, zipped, drawn = summary.results(records, ENTRIES)
    pairs = [
        (a, b)
        for r in records
        for a, b in zip(r["arms"]["omnizip@0.35"]["right"], r["arms"]["full"]["right"], strict=True)
        if a is not None
    ]
    only_this, only_full = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    assert zipped["vs_full"]["mcnemar_p"] == statistics.mcnemar(only_this, only_full)
    low, high = zipped["vs_full"]["micro"]["ci95"]
    difference = zipped["vs_full"]["micro"]["difference"]
    assert difference == pytest.approx((only_this - only_full) / len(pairs))
    clips = [
        np.sum([float(a) - float(b) for a, b in zip(r["arms"]["omnizip@0.35"]["right"], r["arms"]["full"]["right"], strict=True)])
        for r in records
        if r["seed"] != 103
    ]
    half = 1.96 * np.std(clips) / sqrt(len(clips)) / 6
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert "mcnemar_p" not in drawn["vs_full"], "pooled seeds are no single items"
    assert "vs_random" in zipped and "vs_random" not in drawn


def test_every_line_is_compared_with_omnizip_at_its_share_on_the_questions_both_answered():
    records = planted()
    full, zipped, drawn = summary.results(records, ENTRIES)
    assert "vs_omnizip" in drawn and "vs_omnizip" not in zipped and "vs_omnizip" not in full
    kept = [r for r in records if r["seed"] != 103]  # on which OmniZip failed
    by_kind = {key: _by_kind(kept, keys) for key, keys in (("drawn", ["random@0.35#0", "random@0.35#1"]), ("zipped", ["omnizip@0.35"]))}
    accuracy = {key: np.mean([np.mean(values) for values in found.values()]) for key, found in by_kind.items()}
    assert drawn["vs_omnizip"]["all"]["difference"] == pytest.approx(accuracy["drawn"] - accuracy["zipped"])
    shown = tables.accuracy([full, zipped, drawn]).splitlines()
    head = [cell.strip() for cell in shown[0].split("|")]
    place = head.index("less OmniZip")
    cells = [[cell.strip() for cell in line.split("|")][place] for line in shown[2:]]
    assert cells[:2] == [tables.NONE] * 2 and cells[2].startswith(f"{100 * drawn['vs_omnizip']['all']['difference']:+.1f} [")


def test_equal_arms_do_not_differ():
    records = planted()
    for record in records:
        record["arms"]["omnizip@0.35"] = record["arms"]["full"]
    _, zipped, _ = summary.results(records, ENTRIES)
    assert zipped["vs_full"]["all"] == {"difference": 0.0, "ci95": [0.0, 0.0]}
    assert zipped["vs_full"]["mcnemar_p"] == zipped["vs_full"]["sign_flip_p"] == 1.0


@pytest.mark.parametrize(
    ("control", "kept"), [("media blanked", ()), ("sound of another clip", ("by eye",)), ("picture of another clip", ("by ear",))]
)
def test_controls_name_the_kinds_that_stay_above_what_is_left_to_guess(control, kept):
    """60 clips, two kinds each: "colour at sound" is right half of the time, "sound at shape" always."""
    answers = ["red", "blue", "green", "cyan", "white", "orange"]
    records = []
    for number in range(60):
        questions = [
            {"kind": "colour at sound", "answer": answers[number % 6], "by eye": 2, "by ear": None},
            {"kind": "sound at shape", "answer": answers[number % 6], "by eye": None, "by ear": 1},
        ]
        half = {"right": [number % 2 == 0, True], "kept": {"audio": 1, "video": 1}, "notes": []}
        changed = {name: half for name in dataset.CONTROLS}
        records.append({"seconds": 8.0, "seed": number, "questions": questions, "arms": {"full": half}, "controls": changed})
    (found,) = controls.measure(records)
    assert found["prior"]["colour at sound"] == pytest.approx({"constant": 1 / 6, "by eye": 1 / 2})
    row = next(row for row in found["rows"] if row["control"] == control)
    above = {"colour at sound"} if "by eye" not in kept else set()
    above |= {"sound at shape"} if "by ear" not in kept else set()
    assert set(row["above_guessing"]) == above


def test_losses_are_told_by_kind_of_clip_and_by_clip():
    records = planted(20)
    for record in records:
        record["ambient"], record["pattern"] = ("hum", "hiss")[record["seed"] % 2], "plain"
        right = record["seed"] % 2 == 0
        for key, value in (("omnizip@0.35", right), ("random@0.35#0", not right), ("random@0.35#1", True)):
            record["arms"][key] = {**record["arms"]["full"], "right": [value] * 6}
    records[4]["density"] = {"guidance": {"0.35": [0.5]}, "sound": [0.1], "picture": [0.2]}
    _, zipped, drawn = summary.results(records, ENTRIES)
    kinds = {found["group"]: found for found in zipped["vs_random"]["by_kind_of_clip"]}
    assert {name: found["difference"] for name, found in kinds.items()} == pytest.approx(
        {"all": -0.25, "ambient: hum": 0.5, "ambient: hiss": -1.0, "pattern: plain": -0.25}
    )
    assert kinds["ambient: hum"]["ci95"] == pytest.approx([0.5, 0.5])
    assert [found["seed"] for found in zipped["vs_random"]["worst"]] == [101, 103, 105]
    assert zipped["vs_random"]["worst"][0] | {"right": 0.0, "random_right": 6.0, "asked": 6} == zipped["vs_random"]["worst"][0]


def test_tables_of_one_clip_claim_no_interval():
    (record,) = [record for record in planted() if record["seed"] == 100]
    row = summary.results([record], ENTRIES)[1]
    share = f"{100 * row['accuracy']['all']:.1f}"
    assert tables._with_interval(row, "all") == share and tables._mean({"mean": 0.5, "ci95": None}, tables.percent) == "50.0"
    assert tables._difference(row["vs_full"]) == f"{100 * row['vs_full']['all']['difference']:+.1f}"
