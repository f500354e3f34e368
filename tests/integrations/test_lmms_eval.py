"""lmms-eval itself, offline: its own task with its own words and scorer, and our tasks, answer as `python -m omnizip eval` does.

Needs lmms-eval, which takes none of this project's versions of other packages; `.ci/lmms` makes an environment for it.
"""

import json
import os
import subprocess
import sys

import benchmark_files
import pytest

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed; .ci/lmms runs this")

from omnizip.cli.main import main
from omnizip.integrations.lmms_eval import TASKS

OURS = ("avut", "shortvid", "dailyomni", "omnivideobench")
METHODS = {"glance@0.35": "method=glance,retention=0.35", "full": "method=full", "omnizip@0.5": "method=omnizip,retention=0.5"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Downloads of all benchmarks, and WorldSense once more as the Hub has it for lmms-eval."""
    folder = tmp_path_factory.mktemp("lmms")
    for name in ("worldsense", *OURS):
        (folder / "data" / name).mkdir(parents=True)
        benchmark_files.FORMATS[name](folder / "data" / name)
    rows = []
    for id, entry in json.loads((folder / "data/worldsense/worldsense_qa.json").read_text()).items():
        facts = {"video": id, "video_path": f"videos/{id}.mp4", "duration": "<1min", "task_domain": entry["domain"]}
        for task in (entry[key] for key in entry if key.startswith("task")):
            rows.append({"index": len(rows), **facts, "audio_class": entry["audio_class"], **task})
    hub = folder / "cwd/lmms-lab/worldsense"  # a folder of the data set's name comes before the Hub
    hub.mkdir(parents=True)
    (hub / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "hf").mkdir()
    (folder / "hf/WorldSense").symlink_to(folder / "data/worldsense")
    return folder


def harness(place, model_args, tasks, *flags):
    """Run lmms-eval: the samples of each task, its results, and what it said; no results where it failed, which its status never tells."""
    out = place / f"out{len(list(place.glob('out*')))}"
    out.mkdir()
    environment = {**os.environ, "HF_HOME": str(place / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    environment["OMNIZIP_BENCHMARKS"] = str(place / "data")
    command = [sys.executable, "-m", "lmms_eval", "--model", "omnizip", "--model_args", model_args, "--tasks", tasks]
    done = subprocess.run(
        [*command, "--log_samples", "--output_path", str(out), *flags],
        cwd=place / "cwd",
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    said, samples, results = done.stdout + done.stderr, {}, {}
    assert done.returncode == 0, said
    for path in out.glob("*_samples_*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        samples[path.stem.partition("_samples_")[2]] = sorted(lines, key=lambda line: line["doc_id"])
    for path in out.glob("*_results.json"):
        results = json.loads(path.read_text())["results"]
    return samples, results, said


def ours(place, name, protocol, arm, *flags):
    """What `python -m omnizip eval` records of an arm: every question's outcome, in the order of the annotation."""
    target = place / f"{name}-{arm}.jsonl"
    command = ["eval", name, "--data", str(place / "data" / name), "--protocol", protocol, "--device", "cpu", "--records", str(target)]
    assert main([*command, "--arm", arm, "--json", str(place / "ignored.json"), *flags]) == 0
    return [outcome for line in target.read_text().splitlines() for outcome in json.loads(line)["arms"][arm]]


@pytest.mark.parametrize("arm", METHODS)
def test_worldsense_with_its_own_words_and_scorer_has_our_answers(place, arm):
    from lmms_eval.tasks.worldsense.utils import worldsense_doc_to_text, worldsense_process_results

    from omnizip.evaluation.benchmarks import READERS
    from omnizip.evaluation.benchmarks.protocols import PROTOCOLS

    records = place / f"{arm}.jsonl"
    samples, results, said = harness(place, f"pretrained=,{METHODS[arm]},records={records}", "worldsense")
    assert results, said
    found = samples["worldsense"]
    documents = [json.loads(line) for line in (place / "cwd/lmms-lab/worldsense/test.jsonl").read_text().splitlines()]
    asked = [(clip, question) for clip in READERS["worldsense"].load(place / "data/worldsense") for question in clip.questions]
    words = [PROTOCOLS["lmms-eval"].words(clip, question) for clip, question in asked]
    assert words == [worldsense_doc_to_text(document) for document in documents] == [sample["input"] for sample in found]
    own = ours(place, "worldsense", "lmms-eval", arm)
    answers = [outcome["text"].strip() for outcome in own]  # the harness strips them
    assert [sample["filtered_resps"] for sample in found] == answers and any(answers)
    scores = [worldsense_process_results(document, [text])["worldsense_score"] for document, text in zip(documents, answers, strict=True)]
    assert [sample["worldsense_score"] for sample in found] == scores
    assert results["worldsense"]["worldsense_score,none"] == pytest.approx(100 * sum(s["score"] for s in scores) / len(scores))
    noted = {line["doc_id"]: line for line in map(json.loads, records.read_text().splitlines())}
    for number, outcome in enumerate(own):
        assert {name: noted[number][name] for name in ("text", "tokens", "retained")} == {
            name: outcome[name] for name in ("text", "tokens", "retained")
        }


def test_our_tasks_have_our_answers_and_our_marks(place):
    arm = "omnizip@0.35"
    tasks = ",".join(f"omnizip_{name}" for name in OURS)
    samples, results, said = harness(place, "method=omnizip,retention=0.35,protocol=exact", tasks, "--include_path", str(TASKS))
    assert set(samples) == set(tasks.split(",")), said
    for name in OURS:
        own = ours(place, name, "exact", arm)
        found = samples[f"omnizip_{name}"]
        assert [sample["filtered_resps"] for sample in found] == [outcome["text"].strip() for outcome in own]
        marks = [outcome["status"] for outcome in own]
        assert [sample["accuracy"] for sample in found] == marks
        told = results[f"omnizip_{name}"]
        assert told["unparsed,none"] == pytest.approx(100 * marks.count("unparsed") / len(marks)) and told["failed,none"] == 0
        right, wrong = marks.count("right"), marks.count("wrong")
        if right + wrong:
            assert told["accuracy,none"] == pytest.approx(100 * right / (right + wrong))


def test_a_bad_file_stops_the_run_or_is_marked_and_is_in_no_accuracy(place):
    video = place / "data/shortvid/videos/clip1.mp4"
    kept = video.read_bytes()
    video.write_bytes(b"this is no film")
    flags = ("--include_path", str(TASKS))
    try:
        _, results, said = harness(place, "method=full,protocol=exact", "omnizip_shortvid", *flags)
        assert not results and "clip1.mp4" in said
        samples, results, _ = harness(place, "method=full,protocol=exact,on_error=mark", "omnizip_shortvid", *flags)
    finally:
        video.write_bytes(kept)
    marks = [sample["accuracy"] for sample in samples["omnizip_shortvid"]]
    assert marks.count("failed") == len(benchmark_files.CHOICE.questions(1)) and results["omnizip_shortvid"]["failed,none"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "nosuch"}, "There is no method 'nosuch'"),
        ({"method": "omnizip", "retention": 2}, "The retention is 2"),
        ({"method": "omnizip"}, "add retention=0.35, or its own rho_audio and rho_video"),
        ({"method": "omnizip", "retention": 0.5, "nosuch": 1}, "has no option 'nosuch'"),
        ({"method": "full", "protocol": "mine"}, "protocol is 'mine'"),
        ({"method": "full", "on_error": "ignore"}, "on_error is 'ignore'"),
        ({"method": "full", "batch_size": 4}, "batch_size 1"),
    ],
)
def test_a_mistake_is_one_sentence_before_the_model_is_loaded(arguments, words, monkeypatch):
    from omnizip.errors import OmniZipError
    from omnizip.integrations.lmms_eval import evaluated_model

    monkeypatch.setattr(evaluated_model.QwenOmni, "load", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(OmniZipError) as caught:
        evaluated_model.EvaluatedModel(**arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
