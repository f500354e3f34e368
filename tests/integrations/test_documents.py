"""Our tasks in lmms-eval without lmms-eval: the documents of each benchmark, their words, and a score that guesses nothing."""

import importlib.util
import json
import math
import re
import tomllib
from pathlib import Path

import benchmark_files
import pytest

from omnizip.errors import UsageError
from omnizip.evaluation.benchmarks import READERS
from omnizip.evaluation.benchmarks.protocols import PROTOCOLS
from omnizip.integrations import lmms_eval
from omnizip.integrations.lmms_eval import documents

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in lmms_eval.TASKS.glob("*.yaml"))


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    def touch(folder, names):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()

    monkeypatch.setattr(benchmark_files, "write_videos", touch)
    monkeypatch.setenv(documents.FOLDER, str(tmp_path))
    for name in NAMES:
        (tmp_path / name).mkdir()
        benchmark_files.FORMATS[name](tmp_path / name)
    return tmp_path


def test_there_is_a_task_for_each_benchmark_that_lmms_eval_lacks():
    assert NAMES == ["avut", "dailyomni", "omnivideobench", "shortvid"]
    for name in NAMES:
        text = (lmms_eval.TASKS / f"{name}.yaml").read_text()
        assert f"task: omnizip_{name}\ndataset_path: {name}\n" in text and "include: common.yml\n" in text
    common = (lmms_eval.TASKS / "common.yml").read_text()
    for module, name in re.findall(r"!function (\S+)\.(\w+)", common):
        source = Path(importlib.util.find_spec(module).origin).read_text()  # not imported: one of them needs lmms-eval
        assert re.search(rf"^(def|class) {name}\b", source, re.MULTILINE), f"{module} has no {name}"
    limits = {name: protocol.max_new_tokens for name, protocol in PROTOCOLS.items()}
    asked = re.search(r"protocol: (\w+)", common)[1]
    assert f"max_new_tokens: {limits[asked]}\n" in common, "the answer's limit is the protocol's"


def test_lmms_eval_finds_the_model_by_an_entry_point():
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["lmms_eval.models"]["omnizip"]
    module, name = entry.split(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("name", NAMES)
def test_documents_are_what_the_reader_finds_in_the_protocols_words(downloads, name):
    found = documents.documents(name)
    clips = READERS[name].load(downloads / name)
    asked = [(clip, question) for clip in clips for question in clip.questions]
    assert len(found) == len(asked) == sum(1 for _ in benchmark_files.asked())
    for document, (clip, question) in zip(found, asked, strict=True):
        assert json.loads(json.dumps(document)) == document
        assert documents.doc_to_visual(document) == [clip.video] and document["answer"] == question.answer
        for protocol in ("exact", "lmms-eval", "bare"):
            assert documents.doc_to_text(document, {"protocol": protocol}) == PROTOCOLS[protocol].words(clip, question)
        assert documents.process_results(document, [question.answer])["accuracy"] == "right"


def test_the_unparsed_and_the_failed_are_in_no_accuracy(downloads):
    document = documents.documents("avut")[0]
    right = document["answer"]
    wrong = next(letter for letter in "ABCD" if letter != right)
    answers = [right, wrong, right, "", "Both A and B", f"{documents.FAILED}the file is damaged"]
    values = [documents.process_results(document, [answer.strip()]) for answer in answers]
    assert [value["accuracy"] for value in values] == ["right", "wrong", "right", "unparsed", "unparsed", "failed"]
    columns = {name: [value[name] for value in values] for name in ("accuracy", "unparsed", "failed")}
    assert documents.accuracy(columns["accuracy"]) == pytest.approx(200 / 3)
    assert documents.unparsed(columns["unparsed"]) == pytest.approx(200 / 6)
    assert documents.failed(columns["failed"]) == pytest.approx(100 / 6)
    assert math.isnan(documents.accuracy(["unparsed", "failed"]))


def test_a_folder_that_is_not_named_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv(documents.FOLDER, raising=False)
    with pytest.raises(UsageError, match="OMNIZIP_BENCHMARKS is not set; set it to the folder with the downloads"):
        documents.documents("avut")
    monkeypatch.setenv(documents.FOLDER, str(tmp_path))
    with pytest.raises(UsageError, match="is no folder"):
        documents.documents("avut")
