"""A server besieged: nothing is lost, nobody gets another's answer, and whatever breaks, the next visitor is answered.

The short form is part of the normal suite; the long one is the program, see tests/support/siege.py.
"""

import pytest
from siege import FAULTS, fill_disk, inject_faults, tell_to_stop, visit_at_once

pytestmark = pytest.mark.slow


def test_whatever_breaks_is_told_and_the_next_visitor_is_answered(tmp_path):
    rows = inject_faults(tmp_path)
    assert {name for name, fault in FAULTS.items() if fault is not fill_disk} <= {row["fault"] for row in rows}
    for row in rows:
        assert row["next_answered"], row
        assert row["fault"].startswith("client gone") or row["told"], "who is still there hears a sentence"
        assert str(tmp_path) not in (row["told"] or ""), "no path of the server"


def test_a_few_visitors_at_once(tmp_path):
    found = visit_at_once(tmp_path, 8)
    assert (found["served"], found["lost"], found["crossed"]) == (8, 0, 0), found
    assert found["refused"], "the queue was full for some"


def test_told_to_stop_in_an_answer(tmp_path):
    found = tell_to_stop(tmp_path)
    assert (found["status"], found["files_left"]) == (0, 0)
