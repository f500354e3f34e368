"""Links between pages lead somewhere: to files that are there, and to headings on them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        ROOT / "assets" / "nano" / "README.md",
        ROOT / "assets" / "examples" / "SOURCES.md",
    ]
)


def prose(page):
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def anchors(page):
    """The names under which a page's headings are reached, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(page)):
        name, _, anchor = "".join(target).partition("#")
        if name.startswith(("http://", "https://")):
            continue
        found = (page.parent / name).resolve() if name else page
        assert found.exists() and found.is_relative_to(ROOT), f"{page.name} links to {name}"
        assert not anchor or anchor in anchors(found), f"{page.name} links to {name}#{anchor}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, f"docs/README.md does not name {page.name}"
    assert "docs/README.md" in (ROOT / "README.md").read_text()
