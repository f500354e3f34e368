"""The benchmark measures what it says, and says under which conditions."""

import json
import subprocess
import sys

import pytest
import torch

from omnizip.bench import compress
from omnizip.cli import main


def bench_json(capsys, *flags):
    assert main(["bench", "compress", "--seconds", "2,5", "--repeats", "1", "--json", "-", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_rows_and_conditions(capsys):
    result = bench_json(capsys)
    assert {(row["seconds"], row["method"]) for row in result["rows"]} == {
        (s, m) for s in (2, 5) for m in ("omnizip", "omnizip-official", "random")
    }
    for row in result["rows"]:
        assert row["tokens"] == row["seconds"] * (144 + 25)
        assert row["compress_ms"] > 0
        assert row["products"] == pytest.approx(row["compress_ms"] / result["speeds"]["product_ms"])
    default = next(row for row in result["rows"] if row["method"] == "omnizip")
    assert set(default["stages_ms"]) == {"audio", "budget", "video", "merging"}
    assert sum(default["stages_ms"].values()) > 0
    assert default["saliency_ms"] > 0 and not default["saliency_extrapolated"]
    assert result["conditions"]["torch"] == torch.__version__ and result["conditions"]["threads"] == 1


def test_the_stream_has_the_models_layout():
    stream = compress.stream_of(5, compress.Bench(torch.device("cpu"), torch.bfloat16))
    assert stream.grid == (5, 9, 16) and stream.n_audio == 125 and stream.n_windows == 3
    assert stream.embeds.shape == (5 * 169, 3584) and stream.embeds.dtype == torch.bfloat16


def test_peak_memory_sees_an_allocation():
    with compress.peak_bytes(torch.device("cpu")) as peak:
        torch.ones(32 << 20).sum()
    if not peak:
        pytest.skip("this system does not tell a process's peak memory")
    assert 100e6 < peak[0] < 300e6


@pytest.mark.parametrize("flags", [["--seconds", "x"], ["--methods", "nonsense"], ["--seconds", "0"], ["--repeats", "0"]])
def test_bad_flags_end_in_one_line(flags, capsys):
    assert main(["bench", "compress", *flags]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_it_runs_where_the_page_is_absent():
    """With the page's libraries made unimportable."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['gradio', 'av', 'plotly', 'moviepy', 'PIL'])); "
        "from omnizip.cli import main; sys.exit(main(['bench', 'compress', '--seconds', '2', '--methods', 'random', '--repeats', '1']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "| 2 s | 338 | random |" in done.stdout
