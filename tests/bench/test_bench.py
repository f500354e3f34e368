"""The benchmark measures what it says, and says under which conditions."""

import itertools
import json
import subprocess
import sys

import pytest
import torch

from omnizip.bench import clip_length, compress, decode, prefill, startup, synchronisations, ttft
from omnizip.cli.main import main
from omnizip.model import conditions
from omnizip.model.qwen import shape_of
from omnizip.report.flops import prefill_flops


def bench_json(capsys, *flags):
    assert main(["bench", "compress", "--seconds", "2,5", "--repeats", "1", "--json", "-", *flags]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_rows_and_conditions(capsys):
    result = bench_json(capsys)
    assert {(row["seconds"], row["method"]) for row in result["rows"]} == {
        (s, m) for s in (2, 5) for m in ("omnizip", "omnizip-official", "random")
    }
    for row in result["rows"]:
        assert row["tokens"] == row["seconds"] * (144 + 25)
        assert row["compress_ms"] > 0
        assert row["products"] == pytest.approx(row["compress_ms"] / row["product_ms"])
    default = next(row for row in result["rows"] if row["method"] == "omnizip")
    assert set(default["stages_ms"]) == {"audio", "budget", "video", "merging"}
    assert sum(default["stages_ms"].values()) > 0
    assert default["saliency_ms"] > 0 and not default["saliency_extrapolated"]
    assert result["conditions"]["torch"] == torch.__version__ and result["conditions"]["threads"] == 1


def test_prefill_rows_and_conditions(capsys):
    flags = ["--shape", "tiny", "--seconds", "3", "--repeats", "1", "--tokens", "2", "--retention", "0.35,0.25", "--json", "-"]
    assert main(["bench", "prefill", "--methods", "omnizip", *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    (table,) = result["tables"]
    rows = {(row["method"], row["retention"]): row for row in table["rows"]}
    assert list(rows) == [("stock forward", None), ("full", None), ("omnizip", 0.35), ("omnizip", 0.25)]
    total = 3 * (144 + 25)
    for (_, retention), row in rows.items():
        assert row["tokens"] == (total if retention is None else round(retention * total))
        assert row["prefill_ms"] > 0 and row["first_token_ms"] > 0 and row["decode_ms_per_token"] > 0
        own = row["saliency_ms"] + row["compress_ms"] + row["prefill_ms"]
        assert row["ttft_ms"] == pytest.approx(own + row["first_token_ms"])
        assert row["speedup"] == pytest.approx(rows["full", None]["prefill_ms"] / own)
    shape = shape_of(prefill.build("tiny", compress.Bench(torch.device("meta"), torch.float32), "sdpa"))
    allowed = prefill_flops(shape, total) / prefill_flops(shape, rows["omnizip", 0.35]["tokens"])
    assert rows["omnizip", 0.35]["speedup_counted"] == pytest.approx(allowed)
    assert rows["stock forward", None]["speedup_counted"] < 1 == rows["full", None]["speedup_counted"]
    assert table["weights_bytes"] == 4 * table["parameters"] and table["encode_ms"] > 0
    known = result["conditions"]
    assert known["torch"] == torch.__version__ and (known["dtype"], known["repeats"]) == ("float32", 1)
    assert {*conditions.machine_conditions(torch.device("cpu")), "dtype", "repeats", "command"} == set(known)
    spelled = "bench prefill --seconds 3 --methods omnizip --retention 0.35,0.25 --shape tiny --tokens 2 --repeats 1"
    assert known["command"] == f"python -m omnizip {spelled}"


def test_the_stock_forward_says_what_ours_says():
    """The two prefills that are compared for speed give the same scores."""
    bench = compress.Bench(torch.device("cpu"), torch.float32, 1)
    parts = prefill.build("tiny", bench, "sdpa")
    runner = prefill.ArmTimer(bench, parts, compress.stream_of(2, bench, 64), 0.0, 0.0, 1)
    prompt = runner._prompt("full", None)
    ours = prefill.LanguageModel(parts, torch.empty(0, dtype=torch.int64), frozenset()).prefill(prompt)
    torch.testing.assert_close(runner._stock(prompt).logits, ours.logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("shape", "billions"), [("3b", 4.70), ("7b", 8.93)])
def test_the_real_shapes_have_as_many_parameters_as_the_checkpoints(shape, billions):
    """Thinker only, as the released files' tensors add up; nothing is allocated."""
    parts = prefill.build(shape, compress.Bench(torch.device("meta"), torch.bfloat16), "sdpa")
    assert parts.thinker.num_parameters() / 1e9 == pytest.approx(billions, abs=0.01)
    assert parts.thinker.dtype == torch.bfloat16


def test_arms_take_turns_in_both_directions(monkeypatch):
    order = []
    real = prefill.ArmTimer.run
    monkeypatch.setattr(prefill.ArmTimer, "run", lambda self, *arm: order.append(arm) or real(self, *arm))
    arms = [(prefill.FULL, None), ("omnizip", 0.35)]
    prefill.measure(compress.Bench(torch.device("cpu"), torch.float32, 2), "tiny", 2, arms, 1, "sdpa")
    assert order == [*arms[::-1], *arms, *arms[::-1]]


def test_the_stream_has_the_models_layout():
    stream = compress.stream_of(5, compress.Bench(torch.device("cpu"), torch.bfloat16))
    assert stream.grid == (5, 9, 16) and stream.n_audio == 125 and stream.n_windows == 3
    assert stream.embeds.shape == (5 * 169, 3584) and stream.embeds.dtype == torch.bfloat16


def test_waits_are_counted_by_torch_on_a_gpu_only():
    assert compress.synchronisations(compress.Bench(torch.device("cpu"), torch.float32), lambda: None) is None


def test_waits_are_told_by_method(capsys):
    flags = ["--device", "cpu", "--seconds", "4", "--methods", "full,omnizip,fastv", "--tokens", "3", "--json", "-"]
    assert main(["bench", "synchronisations", *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["counted_by"] == synchronisations.BY_EMULATION
    rows = {row["method"]: row for row in result["rows"]}
    assert list(rows) == ["full", "omnizip", "fastv"]
    assert rows["full"]["compress"] == rows["full"]["prefill"] == 0 < rows["omnizip"]["compress"] <= 4
    assert rows["fastv"]["cuts"] == 1 and rows["fastv"]["prefill"] == 2
    assert all(row["token"] == row["token_drawn"] == 1 for row in rows.values())
    assert "| fastv | 0 | 2 | 2 | 1 | 1 | 1 |" in synchronisations.markdown(result)


def test_a_token_is_measured_beside_stock_generate(capsys):
    """The two say the same, and neither is asked first twice in a row."""
    assert (
        main(["bench", "decode", "--device", "cpu", "--shape", "tiny", "--seconds", "1", "--tokens", "6", "--repeats", "2", "--json", "-"])
        == 0
    )
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["same_ids"] and row["prompt"] == 169 and row["tokens"] == 6
    assert row["ours_ms"] > 0 and row["stock_ms"] > 0 and row["ratio"] > 0
    assert "| tiny | 0.5 | 169 |" in decode.markdown({"rows": [row]})


def test_the_stock_loop_and_ours_take_turns(monkeypatch):
    order = []
    for name in ("ours", "stock"):
        monkeypatch.setattr(decode, name, lambda *given, name=name: (order.append(name) or 1.0, [1]))
    decode.measure(compress.Bench(torch.device("cpu"), torch.float32, 2), "tiny", 8, 2, "sdpa")
    assert order == ["stock", "ours", "ours", "stock", "stock", "ours"]


def test_peak_memory_sees_an_allocation():
    with compress.peak_bytes(torch.device("cpu")) as peak:
        torch.ones(32 << 20).sum()
    if not peak:
        pytest.skip("this system does not tell a process's peak memory")
    assert 100e6 < peak[0] < 300e6


@pytest.mark.slow
def test_costs_by_length(capsys):
    flags = ["--seconds", "2,4,8", "--quadratic-s", "4", "--repeats", "1"]
    assert main(["bench", "lengths", *flags, "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["seconds"] for row in result["rows"]] == [2, 4, 8]
    for row in result["rows"]:
        assert row["tokens"] == row["seconds"] * (144 + 25)
        assert min(row[name] for name in clip_length.COSTS) > 0
        assert (row["saliency_clip_ms"] is None) == (row["seconds"] > 4)
    features = [row["feature_bytes"] for row in result["rows"]]
    assert features[2] == 2 * features[1] == 4 * features[0]
    assert "grows with the power" in clip_length.markdown(result)


def test_growth_is_the_power_of_the_length():
    rows = [{"seconds": s, "linear": 3.0 * s, "square": 0.1 * s * s, "unknown": None} for s in (1, 10, 60)]
    assert clip_length.growth(rows, "linear") == pytest.approx(1)
    assert clip_length.growth(rows, "square") == pytest.approx(2)
    assert clip_length.growth(rows, "unknown") is None


def live_bytes(work):
    """What `work` returns, and the most bytes of tensors alive at once, as torch's allocator tells (resident memory wavers)."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        made = work()
    changes = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return made, max(itertools.accumulate(event.nbytes() for event in changes))


@pytest.mark.slow
def test_encoders_hold_one_batch_beside_what_they_return():
    """Four times the clip takes the memory of its features more, not of the layers in between."""
    bench = compress.Bench(torch.device("cpu"), torch.float32, 1)
    parts = prefill.build("nano", bench, "sdpa")
    encoder = prefill.Encoder(parts, prefill.layout_of(parts.thinker.config), 144)
    above = []
    for seconds in (30, 120):
        clip = prefill.noise(seconds, 0)
        made, peak = live_bytes(lambda clip=clip: encoder.features(clip))
        above.append(peak - 2 * sum(part.nbytes for part in made))  # batches, and then the whole they are put together to
    assert 1e6 < above[1] < 1.1 * above[0]


@pytest.mark.slow
def test_starting_the_page_is_timed():
    result = startup.measure(1)
    (run,) = result["runs"]
    assert 0 < run["page_s"] < run["answer_s"] and run["compare_s"] > 0 and run["gradio_s"] > 0
    assert run["page_ratio"] == run["page_s"] / run["gradio_s"]
    assert result["medians"] == run and result["model"]["embedded"]
    assert "| start to the page, s |" in startup.markdown(result)


def test_without_a_browser_the_first_look_is_said_to_be_unmeasured(monkeypatch):
    monkeypatch.setattr(startup.shutil, "which", lambda name: None)
    with startup._browser() as look:
        assert look is None
    run = {"gradio_s": 2.0, "page_s": 2.5, "page_ratio": 1.25, "answer_s": 9.0, "compare_s": 1.0}
    result = {"examples": ["a.mp4", "b.mp4"], "runs": [run], "medians": run, "targets": startup.TARGETS}
    shown = startup.markdown(result)
    assert startup.NO_BROWSER in shown and "| landing" not in shown
    looked = run | {"look_s": 1.0}
    assert "| landing there to the first look" in startup.markdown({**result, "runs": [looked], "medians": looked})


def test_an_installed_package_says_that_the_page_is_not_in_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(startup, "APP", tmp_path / "app.py")
    assert main(["bench", "startup", "--repeats", "1"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "app.py" in err and "clone of the repository" in err


@pytest.mark.parametrize("what", ["compress", "prefill", "lengths"])
@pytest.mark.parametrize(
    "flags", [["--seconds", "x"], ["--methods", "nonsense"], ["--seconds", "0"], ["--repeats", "0"], ["--retention", "2"]]
)
def test_bad_flags_end_in_one_line(what, flags, capsys):
    assert main(["bench", what, *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "row"),
    [
        (["compress", "--seconds", "2", "--methods", "random", "--repeats", "1"], "| 2 s | 338 | random |"),
        (["prefill", "--shape", "tiny", "--seconds", "2", "--methods", "random", "--repeats", "1", "--tokens", "1"], "| full | 338 |"),
    ],
)
def test_it_runs_where_the_page_is_absent(flags, row):
    """With the page's libraries made unimportable."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['gradio', 'av', 'plotly', 'moviepy', 'PIL'])); "
        f"from omnizip.cli.main import main; sys.exit(main(['bench', *{flags!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert row in done.stdout


def test_the_first_token_is_billed_with_what_each_arm_needs(capsys):
    flags = ["--shape", "tiny", "--seconds", "3", "--repeats", "1", "--retention", "0.35,0.25", "--json", "-"]
    assert main(["bench", "ttft", *flags]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    rows = {(row["method"], row["retention"]): row for row in table["rows"]}
    assert list(rows) == [("full", None), ("omnizip", 0.35), ("glance", 0.35), ("omnizip", 0.25), ("glance", 0.25)]
    full, total = rows["full", None], 3 * (144 + 25)
    for (method, retention), row in rows.items():
        assert row["tokens"] == (total if retention is None else round(retention * total))
        assert row["ttft_encoded_ms"] == pytest.approx(sum(row[name] for name in ttft.PARTS_MS))
        assert row["ttft_ms"] == pytest.approx(row["ttft_encoded_ms"] - row["encode_ms"])
        assert row["speedup"] == pytest.approx(full["ttft_encoded_ms"] / row["ttft_encoded_ms"])
        own = row["flops_encode"] + row["flops_prefill"]
        assert row["speedup_counted"] == pytest.approx((full["flops_encode"] + full["flops_prefill"]) / own)
        if method == "glance":
            assert row["look_ms"] > 0 and row["encoded"] < retention and row["flops_encode"] < full["flops_encode"]
        else:
            assert row["look_ms"] == 0 and row["encoded"] == 1 and row["encode_ms"] == full["encode_ms"]
    assert main(["bench", "ttft", "--methods", "fastv", *flags]) == 2
    assert "leave fastv out" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["prefill", "ttft"])
def test_a_mixture_of_experts_is_measured_likewise(what, capsys):
    """Two seconds of Qwen3-Omni's layout: 2 steps of 12 x 12 places, 26 tokens of sound; arms read what they were asked to."""
    flags = ["--shape", "tiny-experts", "--seconds", "2", "--methods", "omnizip,glance", "--retention", "0.5", "--repeats", "1"]
    assert main(["bench", what, *flags, "--json", "-"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    tokens = {(row["method"], row["retention"]): row["tokens"] for row in table["rows"]}
    assert tokens["full", None] == 2 * 144 + 26
    assert tokens["omnizip", 0.5] == 157 and tokens.get(("glance", 0.5), 157) == 157
