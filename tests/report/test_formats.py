"""Numbers as people read them: rounded once, with their unit."""

import subprocess
import sys
from pathlib import Path

import pytest

from omnizip.report import formats

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0, "0.0 ms"),
        (0.421, "0.42 ms"),
        (0.96, "1.0 ms"),
        (12.34, "12.3 ms"),
        (99.6, "100 ms"),
        (345.6, "346 ms"),
        (1234, "1.23 s"),
        (12_340, "12.3 s"),
    ],
)
def test_durations(ms, text):
    assert formats.duration(ms) == text


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1_500, "1.50 kB"),
        (999_999, "1.00 MB"),
        (15_500_000, "15.5 MB"),
        (6_700_000_000, "6.70 GB"),
    ],
)
def test_sizes(n, text):
    assert formats.size(n) == text


def test_operations_reach_their_largest_unit():
    assert formats.operations(2_500_000_000_000) == "2.50 TFLOPs"
    assert formats.operations(10**23) == "100000 EFLOPs"


@pytest.mark.parametrize(("x", "text"), [(None, "–"), (0.0, "0 %"), (0.0345, "3.5 %"), (0.099, "9.9 %"), (0.352, "35 %"), (1.0, "100 %")])
def test_shares(x, text):
    assert formats.share(x) == text


@pytest.mark.parametrize(("x", "text"), [(None, "–"), (0.0345, "3.5 %"), (0.352, "35.2 %"), (1.0, "100.0 %")])
def test_percents_of_a_column_have_one_decimal(x, text):
    assert formats.percent(x) == text


@pytest.mark.parametrize(("x", "text"), [(1.0, "100 %"), (0.5, "50 %"), (0.000012, "0.0012 %"), (1e-9, "1e-07 %")])
def test_likelihoods_keep_their_digits_however_small(x, text):
    assert formats.likelihood(x) == text


@pytest.mark.parametrize(("s", "text"), [(None, "–"), (8.04, "8.0 s"), (99.9, "99.9 s"), (185.0, "3 min 05 s")])
def test_seconds(s, text):
    assert formats.seconds(s) == text


@pytest.mark.parametrize(("per_s", "text"), [(None, "–"), (12.34, "12.3 tokens/s"), (1234.0, "1,234 tokens/s")])
def test_rates(per_s, text):
    assert formats.rate(per_s) == text


def test_formats_and_wording_need_nothing_heavy():
    """In a process of its own, with the package's __init__ left out: what the two modules themselves import."""
    program = (
        "import sys, types; package = types.ModuleType('omnizip'); package.__path__ = ['omnizip']; sys.modules['omnizip'] = package\n"
        "import omnizip.report.formats, omnizip.report.wording\n"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'torch', 'transformers', 'numpy', 'PIL', 'plotly', 'gradio'})"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "", "")
