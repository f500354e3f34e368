"""Cost against agreement: who is beaten by nobody, which runs share a label, and axes that say what they show."""

import math
from types import SimpleNamespace

from ui.methods.chart import Point, front, groups, pareto


def run(label, cost, agreement, target=0.45):
    agreed = None if agreement is None else SimpleNamespace(mean_log_likelihood=agreement)
    return SimpleNamespace(label=label, retention_target=target, agreement=agreed, flops_counted=SimpleNamespace(prefill=cost * 1e9))


RUNS = [run("Full model", 6, -0.001, None), run("A", 2, -0.5), run("B", 3, -0.4), run("C", 2.5, -0.9), run("D", 2.01, -0.52)]


def test_the_front_is_what_nobody_beats():
    points = [Point(r.flops_counted.prefill, r.agreement.mean_log_likelihood, r.label, False) for r in RUNS]
    by_hand = [p for p in points if not any(q.cost <= p.cost and q.agreement > p.agreement for q in points)]
    assert [p.name for p in front(points)] == [p.name for p in sorted(by_hand, key=lambda p: p.cost)] == ["A", "B", "Full model"]


def test_near_runs_share_a_label_and_keep_their_points():
    figure = pareto(RUNS)
    line, dots = figure.data
    assert list(line.x) == [2, 3, 6] and list(dots.x) == [6, 2, 3, 2.5, 2.01] and dots.mode == "markers"
    labels = [note.text for note in figure.layout.annotations]
    assert sorted(labels) == ["A<br>D", "B", "C", "Full model"]
    assert [[p.name for p in group] for group in groups([Point(1, 0, "x", True), Point(1, 0, "y", False)], 2, 1)] == [["x"], ["y"]]


def test_axes_have_units_and_ticks_are_likelihoods():
    figure = pareto(RUNS)
    assert "GFLOPs" in figure.layout.xaxis.title.text and "per token" in figure.layout.yaxis.title.text
    ticks = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    assert ticks["100 %"] == 0 and math.isclose(ticks["50 %"], math.log(0.5))
    low, high = figure.layout.yaxis.range
    assert low < -0.9 and high > 0 and figure.layout.xaxis.range[0] == 0


def test_a_run_that_cannot_be_scored_and_runs_that_all_agree_are_drawn_all_the_same():
    figure = pareto([run("Full model", 6, 0.0, None), run("A", 2, None), run("B", 2, -math.inf), run("C", 3, 0.0)])
    assert list(figure.data[1].x) == [6, 3] and figure.layout.yaxis.range[0] < -0.1
    assert pareto([]).data[1].x == ()
    two = pareto([*RUNS, run("A", 1, -2.0, 0.25)]).layout.annotations
    assert {"A 25 %", "A 45 %<br>D 45 %"} <= {note.text for note in two}, "with two shares a label says which"
