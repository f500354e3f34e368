"""What the page says: plainly, with the limits that hold, and nothing that nobody can see."""

import re
from collections import Counter
from pathlib import Path

from omnizip.report import wording
from omnizip.settings import Settings
from ui import words

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = (words, wording)


def test_every_stage_has_words():
    assert list(wording.STAGES) == ["decode", "encode", "compress", "warm up", "answer", "repeat"]
    assert words.stage("decode", None) == words.stage("decode", 1) == wording.STAGES["decode"]
    assert words.stage("answer", 0) == "Answering: the full model"
    assert words.stage("answer", 1) == words.stage("answer", 3) == "Answering: the compressed one"


def test_limits_are_those_of_the_settings():
    assert "3 minutes and 64 MB" in words.limits(Settings(max_clip_s=180, max_file_mb=64))
    assert "30 seconds" in words.limits(Settings(max_clip_s=30))


def test_spans_of_time():
    assert [words.span(s) for s in (7200, 3600, 2700, 90, 1)] == ["2 hours", "1 hour", "45 minutes", "90 seconds", "1 second"]


def test_a_place_in_the_queue():
    assert words.place(0) == "" and words.place(1).startswith("One comes before you") and "3 come" in words.place(3)


def test_the_page_speaks_plainly():
    jargon = re.compile(r"\b(logits|prefill|TTFT|mRoPE|embedding|checkpoint|bf16|tensor)\b", re.IGNORECASE)
    texts = [text for module in CATALOGUES for text in vars(module).values() if isinstance(text, str) and " " in text]
    texts = [text for text in texts if text not in (words.__doc__, wording.__doc__)]
    assert len(texts) > 80
    assert [text for text in texts if jargon.search(text)] == []


def test_every_sentence_is_said_somewhere():
    sources = "".join(path.read_text("utf-8") for folder in ("ui", "omnizip") for path in (ROOT / folder).rglob("*.py"))
    names = {name for module in CATALOGUES for name in vars(module) if re.fullmatch("[A-Z_]+", name)}
    assert len(names) > 100
    said = Counter(re.findall(r"\b[A-Z_]+\b", sources))
    assert sorted(name for name in names if said[name] < 2) == [], "nobody says these"
