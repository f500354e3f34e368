"""The command line: what it prints and writes, and that every mistake ends in status 2 and one line."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clips import READABLE_WITH_DEFECTS, UNREADABLE, make_clip

from omnizip import COMPRESSORS, media
from omnizip.cli import plain_text
from omnizip.cli.main import main
from omnizip.engine import Engine
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
ASK = ["--question", "What can be heard?", "--max-new-tokens", "4"]
LOST = {  # what of a file with defects is lost, in a word of its warning
    "gif": "no sound track",
    "no sound": "no sound track",
    "late sound": "sound starts",
    "flipped bits": "damaged",
    "cut after its index": "missing",
    "one frame": "only one picture",
}


@pytest.fixture(scope="module")
def model():
    return QwenOmni.load(Settings())


@pytest.fixture
def loaded(model, monkeypatch):
    """The model is read from the disk once for all tests; it is the one every command would read."""
    monkeypatch.setattr(QwenOmni, "load", classmethod(lambda cls, settings, on_progress=None, host_rows=False: model))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(make_clip(tmp_path_factory.mktemp("clips") / "three.mp4", seconds=3))


@pytest.fixture
def compare(loaded, clip, capsys):
    """Run compare with `flags`; gives the report from `--json -` after checking that nothing else was written."""

    def run(*flags, of=clip):
        assert main(["compare", of, *ASK, "--json", "-", *flags]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    return run


def refused(capsys, arguments, *words):
    """Assert status 2 and one line on standard error that has all `words`, and nothing on standard output."""
    status = main(arguments)
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("omnizip: ") and err.endswith(".\n") and err.count("\n") == 1 and "Traceback" not in err
    for word in words:
        assert word in err
    return err


def test_answers_costs_and_ratios_are_shown_as_they_were_reported(loaded, clip, capsys, tmp_path):
    files = ["--json", str(tmp_path / "report.json"), "--csv", str(tmp_path / "windows.csv")]
    assert main(["compare", clip, *ASK, "--method", "omnizip", "--method", "random", *files]) == 0
    out, err = capsys.readouterr()
    report = json.loads((tmp_path / "report.json").read_text())
    assert err == ""
    full, small, random = report["runs"]
    assert [r["method"] for r in report["runs"]] == ["full", "omnizip", "random"]
    for run in report["runs"]:
        asked = "" if run["retention_target"] is None else ", asked to keep 45 %"
        assert f"{run['label']}{asked}\n" + plain_text.indent(run["answer"]) in out
    rows = {line[: line.index("  ", 3)].strip(): line.split("  ") for line in out.splitlines() if line.count("  ") > 2}
    assert [c.strip() for c in rows["tokens read"] if c.strip()][1:] == [f"{r['tokens']['total']:,}" for r in report["runs"]]
    assert f"tokens {full['tokens']['total'] / small['tokens']['total']:.2f}x" in out
    with (tmp_path / "windows.csv").open() as file:
        windows = list(csv.DictReader(file))
    assert [(w["method"], int(w["video_kept"])) for w in windows] == [
        (r["method"], w["video_kept"]) for r in report["runs"] for w in r["windows"]
    ]
    assert random["retention_target"] == small["retention_target"] == 0.45


def test_json_follows_the_contract(compare):
    report = compare()
    assert {"duration_s", "frames", "windows", "warnings"} <= set(report["clip"])
    assert report["model"]["name"] and [r["method"] for r in report["runs"]] == ["full", "omnizip"]
    for run in report["runs"]:
        assert set(run["tokens"]) == {"text", "audio", "video", "total"}
        assert {"saliency_ms", "compress_ms", "prefill_ms", "ttft_ms", "decode_ms", "tokens_per_s"} <= set(run["timing"])
        assert run["answer_tokens"] <= 4 and run["peak_memory_bytes"] is None and run["kv_cache_bytes"] > 0
    assert report["runs"][1]["retained"]["total"] == pytest.approx(0.45, abs=0.005)


def test_quiet_gives_the_result_alone(loaded, clip, capsys):
    assert main(["compare", clip, *ASK, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "Full model" in out and "tokens read" in out and "Warning" not in out and "Note" not in out


def test_csv_on_standard_output_is_alone_there(loaded, clip, capsys):
    assert main(["compare", clip, *ASK, "--csv", "-"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["method"] for row in rows} == {"full", "omnizip"}


def test_rates_replace_the_retention(compare):
    run = compare("--rho-audio", "0.2", "--rho-video", "0.9")["runs"][1]
    assert run["retention_target"] is None
    assert (run["parameters"]["rho_audio"], run["parameters"]["rho_video"]) == (0.2, 0.9)
    assert run["retained"]["video"] == pytest.approx(0.1, abs=0.01)


def test_full_alone_is_one_run(compare):
    assert [r["method"] for r in compare("--method", "full")["runs"]] == ["full"]


def test_settings_come_from_flags_before_variables(compare, monkeypatch):
    monkeypatch.setenv("OMNIZIP_FPS", "1")
    monkeypatch.setenv("OMNIZIP_SEED", "5")
    report = compare("--seed", "6", "--temperature", "0.5", "--top-p", "0.9")
    assert report["clip"]["fps"] == 1
    sampling = report["conditions"]["sampling"]
    assert (sampling["seed"], sampling["temperature"], sampling["top_p"], sampling["max_new_tokens"]) == (6, 0.5, 0.9, 4)


@pytest.mark.parametrize("name", [name for name in COMPRESSORS if name != "full"])
def test_every_option_of_every_method_is_a_flag(compare, name):
    flags, expected = ["--method", name, "--retention", "0.3"], {}
    for option in COMPRESSORS[name].options():
        if option.is_rate or option.name in ("seed", "retention"):
            continue
        if option.kind == "switch":
            value = not option.default
            flags.append(f"--{'' if value else 'no-'}{option.name.replace('_', '-')}")
        else:
            value = next(c for c in option.choices if c != option.default) if option.choices else option.high
            flags += [f"--{option.name.replace('_', '-')}", str(value)]
        expected[option.name] = value
    run = compare(*flags, "--seed", "3")["runs"][1]
    assert run["method"] == name
    assert {key: run["parameters"][key] for key in expected} == expected
    assert run["parameters"].get("seed", 3) == 3


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_clip_that_cannot_be_read_is_one_line(loaded, capsys, tmp_path, kind):
    path = UNREADABLE[kind](tmp_path)
    refused(capsys, ["compare", str(path), *ASK], path.name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", READABLE_WITH_DEFECTS)
def test_a_clip_with_defects_gets_an_answer_and_what_was_lost_is_told(compare, capsys, tmp_path, kind):
    path = READABLE_WITH_DEFECTS[kind](tmp_path)
    report = compare(of=str(path))
    assert [r["method"] for r in report["runs"]] == ["full", "omnizip"]
    assert all(r["answer_tokens"] > 0 for r in report["runs"])
    said = " ".join(report["clip"]["warnings"])
    assert LOST[kind] in said if kind in LOST else said == ""
    assert main(["compare", str(path), *ASK]) == 0
    out = capsys.readouterr().out
    assert all(f"Warning: {warning}\n" in out for warning in report["clip"]["warnings"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--method", "zip"], ["'zip'", "full, random, omnizip"]),
        (["--retention", "0"], ["retention is 0.0"]),
        (["--retention", "nan"], ["retention is nan"]),
        (["--retention", "much"], ["--retention", "'much'"]),
        (["--retention", "0.3", "--rho-video", "0.6"], ["--retention and --rho-video exclude each other"]),
        (["--method", "random", "--rho-audio", "0.3"], ["--rho-audio is no option of random", "omnizip"]),
        (["--method", "omnizip", "--method", "random", "--rho-audio", "0.3"], ["--rho-audio is no option of random"]),
        (["--method", "random", "--merge-size", "3"], ["--merge-size is no option of random"]),
        (["--merge-size", "99"], ["merge_size is 99", "between 0 and 18"]),
        (["--merge-size", "2.5"], ["--merge-size", "'2.5'"]),
        (["--saliency-scope", "year"], ["saliency_scope is 'year'", "clip, window"]),
        (["--rho-video", "nan"], ["rho_video is nan"]),
        (["--fps", "0"], ["fps is 0.0", "at least 0.01"]),
        (["--fps", "nan"], ["fps is nan"]),
        (["--top-p", "2"], ["top_p is 2.0"]),
        (["--json", "-", "--csv", "-"], ["--json - and --csv -"]),
        (["--nonsense"], ["--nonsense", "--help"]),
        (["--question", "  "], ["--question is empty"]),
    ],
)
def test_a_wrong_flag_is_one_line_before_the_long_work(loaded, clip, capsys, monkeypatch, flags, words):
    monkeypatch.setattr(Engine, "open", lambda *_: pytest.fail("the model is loaded too early"))
    refused(capsys, ["compare", clip, *ASK, *flags], *words)


@pytest.mark.parametrize(
    ("arguments", "word"), [([], "COMMAND"), (["compare"], "CLIP"), (["dance"], "dance"), (["compare", "a.mp4"], "--question")]
)
def test_a_command_that_lacks_something_is_one_line(capsys, arguments, word):
    refused(capsys, arguments, word, "--help")


def test_an_output_that_cannot_be_written_is_told_before_the_long_work(loaded, clip, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(Engine, "open", lambda *_: pytest.fail("the model is loaded too early"))
    refused(capsys, ["compare", clip, *ASK, "--json", str(tmp_path / "gone" / "report.json")], "--json", "gone", "create it")
    refused(capsys, ["compare", clip, *ASK, "--csv", str(tmp_path)], "--csv", "is a folder")
    refused(capsys, ["methods", "--json", str(tmp_path / "gone" / "methods.json")], "gone")


@pytest.mark.parametrize(
    ("flags", "other"),
    [
        (["--json", "{clip}"], "the clip"),
        (["--json", "{folder}/a", "--csv", "{folder}/b/../a"], "--json"),
        (["--report", "{clip}"], "the clip"),
    ],
)
def test_no_output_is_written_over_the_clip_or_another(loaded, clip, capsys, tmp_path, flags, other):
    (tmp_path / "b").mkdir()
    before = Path(clip).read_bytes()
    refused(capsys, ["compare", clip, *ASK, *(flag.format(clip=clip, folder=tmp_path) for flag in flags)], "would overwrite", other)
    assert Path(clip).read_bytes() == before and not (tmp_path / "a").exists()


def test_a_question_that_is_no_text_is_one_line(loaded, clip, capsys):
    refused(capsys, ["compare", clip, "--question", "what \udcff?"], "no text")


def without_transformers(command):
    without = "import runpy, sys; sys.modules['transformers'] = None; sys.argv[0] = 'omnizip'"
    program = f"{without}; runpy.run_module('omnizip', run_name='__main__')"
    return subprocess.run([sys.executable, "-c", program, *command], cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("command", [["compare", "{clip}", "--question", "What?"], ["eval", "nano"], ["bench", "prefill"]])
def test_a_package_that_is_not_installed_is_named_with_its_cure(command, clip):
    ended = without_transformers([part.format(clip=clip) for part in command])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == 'omnizip: This command needs transformers, which is not installed; run pip install "omnizip[model]".\n'


def test_the_methods_are_listed_without_transformers():
    ended = without_transformers(["methods"])
    assert (ended.returncode, ended.stderr) == (0, "") and "omnizip: OmniZip" in ended.stdout


def test_a_model_that_cannot_be_had_is_one_line(clip, capsys, tmp_path):
    refused(capsys, ["compare", clip, *ASK, "--model", str(tmp_path)], tmp_path.name, "config.json")


def test_a_wrong_variable_is_one_line(clip, capsys, monkeypatch):
    monkeypatch.setenv("OMNIZIP_FPS", "fast")
    refused(capsys, ["compare", clip, *ASK], "OMNIZIP_FPS is 'fast'")


def test_a_bug_is_not_hidden(loaded, clip, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(media, "load", broken)
    with pytest.raises(ZeroDivisionError):
        main(["compare", clip, *ASK])


def test_an_interrupt_ends_quietly(loaded, clip, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "compare", interrupted)
    assert main(["compare", clip, *ASK]) == 130
    assert capsys.readouterr().err == "omnizip: stopped.\n"


def test_control_characters_do_not_reach_the_terminal():
    assert plain_text.printable("a\x1b[31mb\r\nc\u202ed\té") == "a [31mb \nc d é"


def python(*arguments, **options):
    """Run the command line as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "omnizip", *arguments], capture_output=True, text=True, timeout=300, cwd="/", env=environment, **options
    )


@pytest.mark.slow
def test_as_a_process_the_json_is_all_there_is(clip):
    done = python("compare", clip, *ASK, "--json", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert [run["method"] for run in json.loads(done.stdout)["runs"]] == ["full", "omnizip"]


@pytest.mark.slow
def test_as_a_process_a_mistake_is_status_2_and_one_line(tmp_path):
    done = python("compare", str(tmp_path / "gone.mp4"), *ASK)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "omnizip: There is no file gone.mp4; check the path.\n"


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m omnizip methods | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("full: Full model\n", "")
