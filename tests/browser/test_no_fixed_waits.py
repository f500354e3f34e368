"""Browser tests wait for what they are about to look at, never for a time: a loaded machine is slower than any."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FIXED = re.compile(r"wait_for_timeout\(|\bsleep\(")


@pytest.mark.parametrize("path", [*sorted(HERE.glob("*.py")), HERE.parent / "support" / "browsing.py"], ids=lambda path: path.name)
def test_no_browser_test_waits_for_a_time(path):
    assert path.name == Path(__file__).name or FIXED.findall(path.read_text()) == []
