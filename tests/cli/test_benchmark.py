"""The benchmarks end to end on the embedded model: every official format, stops and parts, bad files, and mistakes in one line."""

import importlib.util
import json
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import benchmark_files
import pytest

from omnizip.cli.main import main
from omnizip.compressors import COMPRESSORS
from omnizip.compressors.omnizip import OmniZip
from omnizip.errors import OmniZipError
from omnizip.evaluation.benchmarks import READERS
from omnizip.model.encoders import Encoder

ROOT = Path(__file__).parents[2]
CHANGING = ("date", "load_average", "workers", "shard")
FLAGS = ["--protocol", "bare", "--retention", "0.5", "--seeds", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """Folders of every benchmark; the clips are rendered once and linked."""
    made, folders = {}, {}
    write = benchmark_files.render.write_mp4

    def once(scene, target):
        if scene.seed not in made:
            made[scene.seed] = write(scene, target)
        else:
            target.hardlink_to(made[scene.seed])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_files.render, "write_mp4", once)
        for name, make in benchmark_files.FORMATS.items():
            folders[name] = tmp_path_factory.mktemp(name)
            make(folders[name])
    return folders


@pytest.fixture
def evaluate(downloads, tmp_path, capsys):
    def go(name, *flags, status=0, data=None):
        target, records = tmp_path / "result.json", tmp_path / "records.jsonl"
        command = ["eval", name, "--data", str(data or downloads[name]), *FLAGS, "--json", str(target), "--records", str(records), *flags]
        found = main(command)
        out, err = capsys.readouterr()
        assert found == status, err
        if status:
            return err.splitlines()[-1], out
        return json.loads(target.read_text()), [json.loads(line) for line in records.read_text().splitlines()]

    return go


def timeless(value):
    """A result without what differs from run to run."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in ("ms", *CHANGING)}
    return [timeless(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in READERS if name != "captions"])
def test_every_format_end_to_end(evaluate, name, monkeypatch):
    encoded, encode = [], Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, clip, *rest: encoded.append(clip.digest) or encode(self, clip, *rest))
    result, records = evaluate(name)
    rows = result["results"]
    assert [row["name"] for row in rows] == ["full", "random@0.5", "omnizip@0.5", "glance@0.5"]
    asked = sum(1 for _ in benchmark_files.asked())
    for row, share in zip(rows, (1.0, 0.5, 0.5, 0.5), strict=True):
        assert sum(row["counts"].values()) == asked * row["seeds"] and not row["counts"]["failed"]
        assert row["retained"]["total"] == pytest.approx(share, abs=0.01)
        assert set(row["ms"]) == {"encode", "compress", "prefill", "first_token", "to_first_token", "decode"}
    assert rows[0]["counts"]["right"] >= asked - 1, "the embedded model knows its world, and the readers ask what the file says"
    assert len(encoded) == benchmark_files.CLIPS, "a clip is encoded once for all methods"
    for record in records:
        for found in record["arms"].values():
            for outcome, question in zip(found, record["questions"], strict=True):
                right = outcome["letter"] == question["answer"]
                assert outcome["status"] == ("unparsed" if outcome["letter"] is None else "right" if right else "wrong")
                assert outcome["tokens"]["audio"] > 0
                parts = [outcome["ms"][part] for part in ("encode", "compress", "prefill", "first_token")]
                assert min(parts) >= 0 and outcome["ms"]["to_first_token"] == pytest.approx(sum(parts), abs=0.05)
    assert f"python -m omnizip eval {name} --data" in result["conditions"]["command"]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_and_gives_the_same_table(evaluate, downloads, tmp_path):
    straight, _ = evaluate("worldsense")
    state = tmp_path / "state"
    command = [sys.executable, "-m", "omnizip", "eval", "worldsense", "--data", str(downloads["worldsense"]), *FLAGS, "--state", str(state)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = state / "clips.jsonl"
    deadline = time.monotonic() + 300
    while not (done.exists() and done.read_text().count("\n")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = done.read_text().splitlines()[0]
    with done.open("a") as file:
        file.write('[["clip2"], {"clip": "cl')  # a line that was being written
    resumed, records = evaluate("worldsense", "--state", str(state))
    lines = done.read_text().splitlines()
    assert lines[0] == first and len(lines) == benchmark_files.CLIPS == len(records), "every clip exactly once"
    assert timeless(resumed) == timeless(straight)
    line, _ = evaluate("worldsense", "--state", str(state), "--arm", "omnizip@0.3", status=2)
    assert "other arguments (arms)" in line


@pytest.mark.slow
def test_parts_put_together_equal_one_run(evaluate, tmp_path, monkeypatch):
    straight, _ = evaluate("avut")
    state = ["--state", str(tmp_path / "state")]
    one, _ = evaluate("avut", "--shard", "1/2", *state)
    two, _ = evaluate("avut", "--shard", "2/2", *state, "--workers", "2")
    assert [one["conditions"]["clips"], two["conditions"]["clips"]] == [2, 1]
    monkeypatch.setattr(Encoder, "encode", lambda *rest: pytest.fail("a clip was examined twice"))
    merged, _ = evaluate("avut", *state)
    assert timeless(merged) == timeless(straight)


@pytest.mark.slow
def test_a_file_that_was_mended_is_read_and_another_annotation_is_another_run(evaluate, tmp_path):
    folder, state = tmp_path / "download", tmp_path / "state"
    folder.mkdir()
    benchmark_files.dailyomni(folder)
    film = folder / "Videos/clip1/clip1_video.mp4"
    film.rename(tmp_path / "elsewhere.mp4")
    flags = ["--methods", "full", "--state", str(state)]
    before, _ = evaluate("dailyomni", *flags, data=folder)
    assert before["results"][0]["counts"]["failed"] == 2
    (tmp_path / "elsewhere.mp4").rename(film)
    (state / "clips.jsonl").rename(state / "clips-2-of-2.jsonl")  # as a part had it, which is read after the whole
    after, _ = evaluate("dailyomni", *flags, data=folder)
    assert after["results"][0]["counts"]["failed"] == 0
    assert len((state / "clips.jsonl").read_text().splitlines()) == 1, "the others are not examined again"
    again, _ = evaluate("dailyomni", *flags, data=folder)
    assert again["results"][0]["counts"] == after["results"][0]["counts"]
    rows = json.loads((folder / "qa.json").read_text())
    rows[0]["Answer"] = "B" if rows[0]["Answer"] == "A" else "A"
    (folder / "qa.json").write_text(json.dumps(rows))
    line, _ = evaluate("dailyomni", *flags, data=folder, status=2)
    assert "other arguments (annotation)" in line


@pytest.mark.slow
def test_a_bad_file_and_a_method_that_breaks_cost_their_own_questions(evaluate, downloads, tmp_path, monkeypatch):
    class Breaks(OmniZip):
        def compress(self, stream, *rest):
            raise ZeroDivisionError("division by zero")

    monkeypatch.setitem(COMPRESSORS, "omnizip", Breaks)
    folder = tmp_path / "download"
    folder.mkdir()
    benchmark_files.dailyomni(folder)
    (folder / "Videos/clip1/clip1_video.mp4").write_bytes(b"this is no film")
    result, records = evaluate("dailyomni", data=folder)
    per_clip = len(benchmark_files.CHOICE.questions(1))
    full, broken = result["results"][0], result["results"][2]
    assert full["counts"]["failed"] == per_clip and "clip1_video.mp4" in next(iter(full["failed"]))
    asked = sum(1 for _ in benchmark_files.asked())
    assert broken["accuracy"] == [] and broken["failed"]["ZeroDivisionError: division by zero"] == asked - per_clip
    assert records[1]["arms"] == {} and "failed" in records[1]
    kept = next(found for found in full["accuracy"] if found["kind"] == "all")
    assert kept["n"] == asked - per_clip - full["counts"]["unparsed"]


class CountingJudge(BaseHTTPRequestHandler):
    """A judge whose counts follow from the texts by a rule of its own: sentences are facts, and a description has those it quotes."""

    calls = 0

    def do_POST(self):
        type(self).calls += 1
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reference, said = body["messages"][1]["content"].removeprefix("Reference:\n").split("\n\nDescription:\n")
        facts, told = ([part.strip() for part in text.split(".") if part.strip()] for text in (reference, said))
        counts = {"facts": len(facts), "missed": len(set(facts) - set(told)), "invented": len(set(told) - set(facts))}
        answer = {"choices": [{"message": {"content": f"Here it is: {json.dumps(counts)}"}}]}
        payload = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        pass


@pytest.fixture
def judge():
    CountingJudge.calls = 0
    server = HTTPServer(("127.0.0.1", 0), CountingJudge)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_descriptions_are_judged_once_and_without_a_judge_by_likelihood(evaluate, judge, tmp_path):
    flags = ["--max-new-tokens", "40", "--methods", "omnizip", "--state", str(tmp_path / "state")]
    plain, records = evaluate("captions", *flags)
    full, ours = plain["descriptions"]
    assert full["log_likelihood"]["n"] == 0 and ours["log_likelihood"]["n"] == benchmark_files.CLIPS and ours["missed"]["mean"] is None
    assert ours["log_likelihood"]["mean"] < 0 and plain["results"][0]["counts"]["said"] == benchmark_files.CLIPS
    judged, _ = evaluate("captions", *flags, "--judge", judge, "--judge-model", "rule")
    assert CountingJudge.calls == 2 * benchmark_files.CLIPS
    said = [record["arms"]["full"][0]["text"] for record in records]
    invented = [len({part.strip() for part in text.split(".") if part.strip()}) for text in said]  # no reference is so worded
    full = judged["descriptions"][0]
    assert full["facts"] == 2 and full["missed"]["mean"] == 1.0
    assert full["invented"]["mean"] == pytest.approx(sum(invented) / 2 / len(invented), rel=1e-4)
    evaluate("captions", *flags, "--judge", judge, "--judge-model", "rule")
    assert CountingJudge.calls == 2 * benchmark_files.CLIPS, "nothing is judged twice"


@pytest.mark.slow
def test_a_judge_that_cannot_be_reached_leaves_descriptions_unjudged(downloads, capsys, tmp_path):
    where = ["--judge", "http://127.0.0.1:9/v1", "--judge-model", "none", "--json", str(tmp_path / "r.json")]
    assert (
        main(["eval", "captions", "--data", str(downloads["captions"]), *FLAGS, "--max-new-tokens", "8", "--methods", "full", *where]) == 0
    )
    assert "cannot be reached" in capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text())["descriptions"][0]["facts"] is None


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("worldsense", ["--methods", "nosuch"], "no method 'nosuch'"),
        ("worldsense", ["--retention", "2"], "--retention is '2'"),
        ("worldsense", ["--paper", "omnizip-50"], "--paper is 'omnizip-50'; choose of omnizip-45"),
        ("worldsense", ["--protocol", "mine"], "--protocol is 'mine'"),
        ("worldsense", ["--shard", "3/2"], "--shard is '3/2'"),
        ("worldsense", ["--limit", "0"], "--limit"),
        ("worldsense", ["--subtitles"], "--subtitles: only videomme has some"),
        ("worldsense", ["--methods", "all,nosuch"], "no method"),
        ("worldsense", ["--ray", ""], "--ray is empty"),
        ("worldsense", ["--ray", "auto", "--gpus", "2"], "--ray and --gpus exclude each other"),
        ("worldsense", ["--workers", "0"], "--workers are whole numbers"),
        ("worldsense", ["--gpus", "99"], "--gpus is 99, and"),
        ("worldsense", ["--judge", "http://a/v1", "--judge-model", "m"], "only captions"),
        ("captions", ["--judge", "http://a/v1"], "--judge-model"),
        ("captions", ["--judge", "a", "--judge-model", "m"], "http://127.0.0.1:8000/v1"),
        ("worldsense", ["--csv", "-", "--html", "-"], "Only one of"),
        ("worldsense", ["--annotations", "/nowhere.json"], "nowhere.json"),
    ],
)
def test_a_mistake_is_one_line_before_the_long_work(name, flags, words, downloads, capsys, monkeypatch):
    monkeypatch.setattr("omnizip.model.qwen.QwenOmni.load", lambda *_: pytest.fail("the model was loaded"))
    assert main(["eval", name, "--data", str(downloads[name]), *flags]) == 2
    line = capsys.readouterr().err
    assert words in line and line.count("\n") == 1


def test_all_is_every_method(downloads, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr("omnizip.cli.benchmark._check_videos", lambda *_: None)
    monkeypatch.setattr("omnizip.evaluation.arms.method_entries", lambda names, *_: seen.extend(names) or [])
    monkeypatch.setattr("omnizip.model.qwen.QwenOmni.load", lambda *_: (_ for _ in ()).throw(OmniZipError("enough")))
    main(["eval", "avut", "--data", str(downloads["avut"]), "--methods", "all"])
    assert "enough" in capsys.readouterr().err and seen == list(COMPRESSORS)


def test_a_cluster_needs_ray_which_is_one_line_where_it_is_not_installed(downloads, capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else real(name, *more))
    assert main(["eval", "worldsense", "--data", str(downloads["worldsense"]), "--ray", "local"]) == 2
    line = capsys.readouterr().err
    assert (
        line.startswith("omnizip: --ray needs Ray, which is not installed; run pip install -r requirements-ray.txt")
        and line.count("\n") == 1
    )


def test_a_folder_without_any_video_is_one_line(downloads, capsys, tmp_path):
    (tmp_path / "qa.json").write_text((downloads["dailyomni"] / "qa.json").read_text())
    assert main(["eval", "dailyomni", "--data", str(tmp_path)]) == 2
    assert "none of the 3 videos" in capsys.readouterr().err


def test_the_list_has_every_benchmark_protocol_and_paper(capsys):
    assert main(["eval", "list"]) == 0
    out = capsys.readouterr().out
    for name, reader in READERS.items():
        assert f"{name}: {reader.label}" in out and reader.home in out and reader.licence in out
    for words in ("3,172 questions", "omnizip-45: omnizip; full, random@0.55", "on AVUT G = 15", "exact: 2 frames/s, 128 frames"):
        assert words in out


def test_the_papers_rows_are_arms_and_avut_has_a_g_of_its_own():
    from omnizip.evaluation.arms import parse_arm
    from omnizip.evaluation.benchmarks.protocols import PAPERS

    for paper in PAPERS.values():
        for benchmark in READERS:
            for line in paper.lines(benchmark):
                (entry,) = parse_arm(line, (), 1)
                zips = paper.avut_merge_size and benchmark == "avut" and entry.method.startswith("omnizip")
                assert dict(entry.options).get("merge_size") == (15 if zips else None)
