"""The figure of costs over clip length is what the committed measurement says."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.tables import costs_figure as figure

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def measured():
    return json.loads(figure.SOURCE.read_text())


def test_it_is_drawn_from_the_measurement(measured):
    assert figure.TARGET.read_text() == figure.drawn(measured)
    assert figure.TARGET.relative_to(ROOT / "docs").as_posix() in (ROOT / "docs" / "speed.md").read_text()


def test_points_stand_where_the_numbers_are(measured):
    """On logarithmic axes a tenfold is the same distance everywhere: read off the guide, checked on the encoders' line."""
    root = ElementTree.fromstring(figure.drawn(measured))
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
    root = ElementTree.fromstring(figure.drawn(measured))
    for label in root.iter(f"{SVG}text"):
        if label.get("text-anchor") == "start":
            assert float(label.get("x")) + 0.58 * float(label.get("font-size")) * len(label.text) < figure.WIDTH, label.text
