"""What the page shows before anybody has clicked is what a fresh run gives, but for the times and the machine."""

import dataclasses

import numpy as np
import pytest

from omnizip.engine import Engine
from omnizip.report.decision import CompressionRecord
from omnizip.settings import Settings
from ui import first_look

MACHINE = {"conditions", "versions", "timing", "peak_memory_bytes", "load"}


def check(stored, fresh, place=""):
    """Same, field by field; of arrays nearly all, since machines round differently."""
    assert type(stored) is type(fresh), place
    if dataclasses.is_dataclass(stored):
        for item in dataclasses.fields(stored):
            if item.name not in MACHINE:
                check(getattr(stored, item.name), getattr(fresh, item.name), f"{place}.{item.name}")
    elif isinstance(stored, np.ndarray):
        same = np.isclose(stored, fresh, rtol=1e-3, atol=1e-5, equal_nan=True)
        assert stored.dtype == fresh.dtype and stored.shape == fresh.shape and same.mean() > 0.99, place
    elif isinstance(stored, tuple):
        assert len(stored) == len(fresh), place
        for number, pair in enumerate(zip(stored, fresh, strict=True)):
            check(*pair, f"{place}[{number}]")
    elif isinstance(stored, float):
        assert stored == pytest.approx(fresh, rel=1e-3, abs=1e-4), place
    else:
        assert stored == fresh, f"{place}: run python -m ui.first_look"


@pytest.mark.slow
def test_what_is_stored_is_what_a_fresh_run_gives():
    made = first_look.compute(Engine.open(Settings(device="cpu")))
    fresh, stored = first_look.unpacked_value(made["report"]), first_look.stored_report()
    assert isinstance(stored.runs[1].compression, CompressionRecord) and stored.runs[1].method == first_look.METHOD
    check(stored, fresh, "report")
    kept = ("key", "name", "duration", "sound", "grid", "perStep", "wave")
    assert {name: first_look._stored()["clip"][name] for name in kept} == {name: made["clip"][name] for name in kept}
    assert made["made"].keys() == first_look._stored()["made"].keys()


def test_another_model_or_other_examples_have_none(tmp_path):
    assert first_look.first_look(Settings()) is not None
    assert first_look.first_look(Settings(model="Qwen/Qwen2.5-Omni-3B")) is None
    assert first_look.first_look(Settings(examples=str(tmp_path))) is None


def test_it_says_when_and_where_it_was_computed():
    example, look = first_look.first_look(Settings())
    made = first_look._stored()["made"]
    assert made["date"][:10] in look["origin"] and made["device"] in look["origin"]
    assert look["chat"].path == str(example.path) and look["chat"].report.question == example.question
