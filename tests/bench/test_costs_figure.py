"""The README's figure of costs is what the committed measurement says."""

import importlib.util
import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("figures", ROOT / ".ci" / "figures.py")
figures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(figures)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def measured():
    return json.loads(figures.SOURCE.read_text())


def test_it_is_drawn_from_the_measurement(measured):
    assert figures.TARGET.read_text() == figures.drawn(measured)
    assert figures.TARGET.relative_to(ROOT).as_posix() in (ROOT / "README.md").read_text()


def test_points_stand_where_the_numbers_are(measured):
    """On logarithmic axes a tenfold is the same distance everywhere: read off the guide, checked on the encoders' line."""
    root = ElementTree.fromstring(figures.drawn(measured))
    points = [[tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in root.iter(f"{SVG}polyline")]
    guide, *lines = points
    (_, low), (_, high) = guide
    rows = measured["rows"]
    slope = (low - high) / math.log(rows[-1]["seconds"] / rows[0]["seconds"])  # the guide grows as the clip does
    assert slope > 0
    encoders = lines[1]
    times = [row["encode_ms"] for row in rows]
    assert len(encoders) == len(rows)
    for (_, before), (_, after), a, b in zip(encoders, encoders[1:], times, times[1:], strict=False):
        assert before - after == pytest.approx(slope * math.log(b / a), abs=0.3)


def test_labels_stay_inside(measured):
    root = ElementTree.fromstring(figures.drawn(measured))
    for label in root.iter(f"{SVG}text"):
        if label.get("text-anchor") == "start":
            assert float(label.get("x")) + 0.58 * float(label.get("font-size")) * len(label.text) < figures.WIDTH, label.text
