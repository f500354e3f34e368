"""The command: its contract, going on after a stop, failures of a method, and mistakes in one line."""

import json

import pytest
import torch

from omnizip.cli.main import main
from omnizip.compressors import COMPRESSORS
from omnizip.compressors.omnizip import OmniZip
from omnizip.errors import MethodError
from omnizip.evaluation import arms
from omnizip.model.encoders import Encoder
from training import model
from training.model import Student

CHANGING = ("date", "load_average", "workers")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    student = Student.fresh()
    return str(model.save(student.thinker, student.words, tmp_path_factory.mktemp("nano")))


@pytest.fixture
def evaluate(checkpoint, tmp_path, capsys):
    def go(*flags, status=0):
        target = tmp_path / "result.json"
        target.unlink(missing_ok=True)
        base = ["eval", "nano", "--model", checkpoint, "--device", "cpu", "--seconds", "4", "--per-clip", "4", "--json", str(target)]
        found = main([*base, *flags])
        out, err = capsys.readouterr()
        assert found == status, err
        return json.loads(target.read_text()) if not status else err.splitlines()[-1], out

    return go


ARMS = ["--methods", "random,omnizip", "--retention", "0.45", "--seeds", "2"]


@pytest.mark.slow
def test_result_follows_the_contract(evaluate):
    result, out = evaluate(*ARMS, "--limit", "2", "--arm", "omnizip@0.25:dynamic=false,merge_size=2", "--controls", "--density")
    assert [row["name"] for row in result["results"]] == [
        "full",
        "random@0.45",
        "omnizip@0.45",
        "omnizip@0.25:dynamic=false,merge_size=2",
    ]
    for row, target in zip(result["results"], (1.0, 0.45, 0.45, 0.25), strict=True):
        assert {"method", "parameters", "n", "accuracy", "ci95", "retained", "failures"} <= set(row)
        assert row["retained"]["total"] == pytest.approx(target, abs=0.01)
        assert row["failures"] == 0
        assert row["accuracy"].keys() == row["ci95"].keys()
    assert result["results"][3]["parameters"] == {"dynamic": False, "merge_size": 2}
    assert result["results"][1]["n"] == 2 * result["results"][0]["n"]
    conditions = result["conditions"]
    assert conditions["clips"] == 2 and conditions["first_seed"] == 10**9 and len(conditions["weights"]) == 16
    assert "--arm omnizip@0.25:dynamic=false,merge_size=2" in conditions["command"]
    assert {row["control"] for row in result["controls"][0]["rows"]} == {
        "unchanged",
        "media blanked",
        "sound of another clip",
        "picture of half the width and height",
        "picture of another clip",
    }
    assert result["density"][0]["rows"][0]["clips"] == 2
    for words in (
        "OmniZip, without dynamic pruning, merged per anchor 2",
        "Random, 2 seeds",
        "Controls",
        "S_a beside",
        conditions["weights"],
    ):
        assert words in out


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_like_one_that_was_not(evaluate, tmp_path):
    straight, _ = evaluate(*ARMS, "--limit", "3")
    state = tmp_path / "state"
    evaluate(*ARMS, "--limit", "1", "--state", str(state))
    clips = state / "clips.jsonl"
    clips.write_text(clips.read_text() + '[[0, 1], {"seconds": 4.0, "num')  # the power went off
    first = clips.read_text().splitlines()[0]
    resumed, _ = evaluate(*ARMS, "--limit", "3", "--state", str(state), "--workers", "2")
    lines = clips.read_text().splitlines()
    assert lines[0] == first and len(lines) == 3
    for result in (straight, resumed):
        for name in CHANGING:
            result["conditions"].pop(name)
    assert resumed == straight
    line, _ = evaluate(*ARMS, "--limit", "3", "--state", str(state), "--controls", status=2)
    assert "other arguments (controls)" in line


@pytest.mark.slow
def test_what_a_method_raises_is_its_own_outcome(evaluate, monkeypatch):
    class Breaks(OmniZip):
        def compress(self, stream, *rest):
            if self.rho_video > 0.7:
                raise MethodError("It cannot go so low.")
            if self.anchors is False:
                raise ZeroDivisionError("division by zero")
            return super().compress(stream, *rest)

    monkeypatch.setitem(COMPRESSORS, "omnizip", Breaks)
    flags = ["--limit", "2", "--arm", "omnizip@0.2", "--arm", "omnizip@0.5:anchors=false", "--arm", "omnizip@0.5"]
    result, out = evaluate(*flags)
    full, low, broken, fine = result["results"]
    assert low["n"] == broken["n"] == 0 and low["accuracy"] == broken["accuracy"] == {}
    assert low["failures"] == broken["failures"] == sum(full["asked"].values())
    assert low["failed"][0]["sentence"] == "It cannot go so low."
    assert broken["failed"][0]["sentence"] == "ZeroDivisionError: division by zero"
    assert fine["failures"] == 0 and fine["n"] == full["n"]
    assert "failed on 2 clips: It cannot go so low." in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods", "nosuch"], "no method 'nosuch'"),
        (["--retention", "0.4,2"], "--retention is '0.4,2'"),
        (["--seconds", "1"], "--seconds is '1'"),
        (["--seconds", "x"], "--seconds is 'x'"),
        (["--seconds", "8,9.5"], "--seconds is '8,9.5'"),
        (["--limit", "0"], "--limit"),
        (["--ambient", "rain"], "--ambient is 'rain'"),
        (["--arm", "omnizip@0.35:dynamic"], "'dynamic' is not option=value"),
        (["--arm", "omnizip@0.35:dynamic=maybe"], "true or false"),
        (["--arm", "omnizip@1.5"], "no share"),
        (["--arm", "omnizip@0.3:rho_audio=0.5"], "both a share and a rate"),
        (["--arm", "omnizip:merge_size=99"], "merge_size is 99"),
        (["--arm", "nosuch"], "no method 'nosuch'"),
        (["--json", "-", "--markdown", "-"], "exclude each other"),
    ],
)
def test_a_mistake_is_one_line_before_the_long_work(flags, words, capsys, monkeypatch):
    monkeypatch.setattr("omnizip.model.qwen.QwenOmni.load", lambda *_: pytest.fail("the model was loaded"))
    assert main(["eval", "nano", *flags]) == 2
    line = capsys.readouterr().err
    assert words in line and line.count("\n") == 1


def test_the_papers_table():
    entries = arms.paper_table(arms.RETENTIONS, 5)
    assert len(entries) == 1 + 3 * 7
    assert sum(len(entry.keys) for entry in entries) == 1 + 3 * 11
    assert len({key for entry in entries for key in entry.keys}) == 34
    for entry in entries:
        assert arms.parse_arm(entry.name, (), 5) == [entry] or entry.method == "full"


def test_a_method_that_chooses_before_encoding_is_measured_on_what_it_chose(evaluate, monkeypatch):
    seen, encode_seen = [], Encoder.encode_seen
    monkeypatch.setattr(Encoder, "encode_seen", lambda self, heard, keep: seen.append(keep) or encode_seen(self, heard, keep))
    flags = ["--arm", "glance@0.35", "--arm", "glance@0.35:picture=random,encode_share=0.6", "--limit", "2"]
    result, _ = evaluate(*flags, "--clips-from", "2000000000", "--footage", "filmed", "--describe-every", "0")
    assert len(seen) == 4 and float(seen[0].float().mean()) < 0.35 < float(seen[1].float().mean()) < 0.65
    assert result["conditions"]["first_seed"] == 2_000_000_000 and result["conditions"]["footage"] == "filmed"
    assert "--clips-from 2000000000 --footage filmed" in result["conditions"]["command"]
    for line in result["results"][1:]:
        assert line["method"] == "glance" and not line["failures"] and line["retained"]["total"] == pytest.approx(0.35, abs=0.01)


@pytest.mark.parametrize("flags", [["--clips-from", "5"], ["--clips-from", "1999999999", "--limit", "2"], ["--footage", "painted"]])
def test_clips_that_there_are_none_of_are_told(evaluate, flags):
    line, _ = evaluate(*flags, status=2)
    assert flags[0] in line
