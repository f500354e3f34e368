"""Every number on the pages is as code and results have it, what is said of the results is so, and nothing is typed by hand."""

import json
import re
from pathlib import Path

import pytest

from docs import tables

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
MARK = re.compile(r"^<!-- (?!end )(.+) -->$", re.MULTILINE)
SHARES = (0.45, 0.35, 0.25)
MEASURED = re.compile(r"\d\s?(?:%|ms|s|min|h|MB|GB|points|percent|million|times)(?![\w-])|\d(?:\.\d+)?x\b|(?<![\d.])0\.\d")


@pytest.mark.parametrize("page", tables.PAGES)
def test_writing_the_tables_again_changes_nothing(page):
    text = (ROOT / page).read_text()
    assert tables.filled(page, text) == text, "run `python -m docs.tables`"


@pytest.mark.parametrize("page", WRITTEN)
def test_every_mark_is_filled(page):
    assert MARK.findall((ROOT / page).read_text()) == list(tables.PAGES.get(page, ()))


def test_a_page_that_lost_a_mark_is_refused():
    text = (ROOT / "docs/memory.md").read_text().replace("<!-- end sizes -->", "")
    with pytest.raises(ValueError, match="sizes"):
        tables.filled("docs/memory.md", text)


def by_hand(text):
    """What is written by hand: no front matter, no tables that are made, no code, no markup, no targets of links, no names of pictures."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = re.sub(r"<!-- (.+?) -->.*?<!-- end \1 -->", "", text, flags=re.DOTALL)
    return re.sub(r"```.*?```|`[^`]*`|<[^>]*>|!\[[^]]*\]|\]\([^)]*\)|https?://\S+", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", WRITTEN)
def test_no_measured_number_is_written_by_hand(page):
    assert MEASURED.findall(by_hand((ROOT / page).read_text())) == []


@pytest.mark.parametrize("text", ["it takes 3.2 s", "12 % less", "4.5x faster", "16 GB cards", "by 1.6 points", "falls to 0.97"])
def test_a_measured_number_is_found(text):
    assert MEASURED.search(by_hand(text))


@pytest.mark.parametrize(
    "text", ["Qwen2.5-Omni-3B", "arXiv 2411.15024", "Python 3.11 or 3.12", "<!-- a -->\n3 s\n<!-- end a -->", "`--fps 2 s`"]
)
def test_names_and_versions_are_none(text):
    assert not MEASURED.search(by_hand(text))


def rows(name, **wanted):
    """Rows of a result by share, read as they stand."""
    found = {}
    for row in json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())["results"]:
        if row["retention_target"] in SHARES and all(row[key] == value for key, value in wanted.items()):
            found[row["retention_target"]] = row
    assert tuple(found) == SHARES
    return [found[share] for share in SHARES]


def right(found):
    return [row["accuracy"]["all"] for row in found]


def clear(found):
    """Whether each row's whole interval of the difference to random choice lies above zero."""
    return [row["vs_random"]["all"]["ci95"][0] > 0 for row in found]


def test_the_readme_is_true_about_omnizip_and_glance():
    own = rows("nano-glance", method="omnizip", parameters={})
    assert clear(own) == [False, False, False]
    even = rows("nano-glance", method="omnizip", parameters={"audio_selector": "uniform"})
    glance = rows("nano-glance", method="glance", parameters={})
    assert clear(even) == clear(glance) == [True, True, True]
    for better, worse in ((even, own), (glance, own), (even, glance)):
        assert all(a > b for a, b in zip(right(better), right(worse), strict=True))
    assert clear(rows("nano-glance-16s", method="glance", parameters={})) == [False, False, True]
    assert clear(rows("nano-newer", method="dash", parameters={})) == [True, True, True]


def test_the_page_is_true_about_omnizips_parts():
    own = rows("nano", method="omnizip", parameters={})
    assert clear(own) == [True, True, False]
    alike = rows("nano", method="omnizip", parameters={"dynamic": False})
    gained = [a - b for a, b in zip(right(alike), right(own), strict=True)]
    assert gained[0] > -0.005 and min(gained[1:]) > 0  # pruning every window alike costs little or helps
    picture = rows("nano", method="omnizip", parameters={"video_selector": "random"})
    assert all(a < b for a, b in zip(right(picture), right(own), strict=True))  # the choice of picture helps
    unanchored = rows("nano", method="omnizip", parameters={"dynamic": False, "anchors": False})
    assert all(a < b for a, b in zip(right(unanchored), right(alike), strict=True))  # and so do the anchors


def test_the_readme_is_true_about_the_other_methods():
    results = json.loads((ROOT / "docs" / "results" / "nano-methods.json").read_text())["results"]
    for share in SHARES:
        found = [
            row for row in results if row["retention_target"] == share and row["method"] not in ("full", "random") and not row["parameters"]
        ]
        better = sum(row["vs_random"]["all"]["ci95"][0] > 0 for row in found)
        assert better < len(found) / 2  # most are no better than random choice
        worse = sum(row["vs_random"]["all"]["ci95"][1] < 0 for row in found)
        assert f"{better} above and {worse} below at {share:.0%}" in (ROOT / "README.md").read_text()


def test_who_is_said_to_be_worst_is():
    results = json.loads((ROOT / "docs" / "results" / "nano-methods.json").read_text())["results"]
    ever = {row["label"] for row in results if "vs_random" in row and not row["parameters"]}
    for row in results:
        if "vs_random" in row and row["vs_random"]["all"]["ci95"][1] >= 0:
            ever.discard(row["label"])
    (line,) = re.findall(r"Worse than random choice at every share: (.+?)\.", (ROOT / "docs/accuracy.md").read_text())
    assert set(re.split(r", | and ", line)) == ever


def test_the_table_of_budgets_says_what_the_pages_say():
    """The paper's reading keeps its share to the token; the published code's keeps more, most of all of short clips."""
    cells = [line.split(" | ") for line in tables.from_code.budget().splitlines()[2:]]
    kept = [[int(cell.strip(" |")) for cell in line[1:]] for line in cells]
    assert all(line[:3] == [45, 35, 25] for line in kept)
    assert all(more > share for line in kept for more, share in zip(line[3:], (45, 35, 25), strict=True))
    shortest, longest = kept[0], kept[-1]
    assert all(short > long for short, long in zip(shortest[3:], longest[3:], strict=True))


def test_readmes_speed_is_what_was_measured():
    """The first token of all tokens, encoders in it, over that of what is kept."""
    tables = json.loads((ROOT / "docs" / "results" / "ttft-cuda.json").read_text())["tables"]
    lines = (ROOT / "README.md").read_text().splitlines()
    for table in (table for table in tables if table["seconds"] == 60):
        whole = next(row for row in table["rows"] if row["method"] == "full")
        for row in table["rows"]:
            if row["retention"] == 0.35:
                start = f"| {table['shape'].upper()} | {row['retention']:.0%} by `{row['method']}` | {row['tokens']:,} |"
                (line,) = [line for line in lines if line.startswith(start)]
                assert f"| {whole['ttft_encoded_ms'] / row['ttft_encoded_ms']:.2f}x |" in line
