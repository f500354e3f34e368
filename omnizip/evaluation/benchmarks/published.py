"""What the papers say they measured, each number with its source and protocol; none of it was measured here.

Full-token baselines differ between papers, since pixels, frames and fine-tuning do: numbers of one paper stand beside each other, never
beside those of another. Percent of answers right, unreadable answers and crashes counted as their scripts count them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

ZIP = "arXiv 2511.14582v2"
SIFT = "arXiv 2602.04804"
SCOPE = "arXiv 2607.23193"
ROUTE = "arXiv 2609.37052"
PROTOCOLS = {
    ZIP: "2 fps, 128 frames (Video-MME 768), 128 tokens a step; stock weights; a crash is wrong, the first letter counts",
    SIFT: "2 fps, 256 frames, 320 tokens a step; models fine-tuned on captions, all rows alike",
    SCOPE: "128 frames, 768 tokens a step; stock weights",
    ROUTE: "768 frames; Daily-Omni its own, the other baselines are those of arXiv 2511.14582",
}
BENCHMARKS = {
    ZIP: ("avut", "videomme", "shortvid", "worldsense"),
    SIFT: ("worldsense", "omnivideobench", "videomme", "dailyomni"),
    SCOPE: ("worldsense", "dailyomni", "omnivideobench", "videomme"),
    ROUTE: ("worldsense", "avut", "videomme", "dailyomni"),
}
# source, model, method, share kept as the paper names it, then one number per benchmark above; - where there is none.
TABLE = f"""
{ZIP} | 7B | Full | 100 | 64.5 66.0 70.5 46.8
{ZIP} | 7B | Random | 55 | 61.0 65.4 68.3 43.6
{ZIP} | 7B | FastV | 50 | 58.4 - 68.0 44.3
{ZIP} | 7B | DyCoke (V&A) | 50 | 62.0 65.5 68.5 44.6
{ZIP} | 7B | OmniZip | 45 | 63.0 66.3 69.9 45.9
{ZIP} | 7B | Random | 40 | 56.9 65.0 67.7 -
{ZIP} | 7B | FastV | 35 | 57.8 - 67.9 -
{ZIP} | 7B | DyCoke (V&A) | 35 | 57.4 65.2 68.0 -
{ZIP} | 7B | OmniZip | 35 | 61.0 66.1 69.0 45.3
{ZIP} | 3B | Full | 100 | 62.2 62.6 69.4 46.4
{ZIP} | 3B | Random | 55 | 58.7 61.1 67.9 42.8
{ZIP} | 3B | FastV | 50 | 55.9 - 68.0 44.4
{ZIP} | 3B | DyCoke (V&A) | 50 | 60.7 61.6 67.4 44.0
{ZIP} | 3B | OmniZip | 45 | 61.3 62.8 68.5 45.2
{ZIP} | 3B | Random | 40 | 57.5 60.6 67.0 -
{ZIP} | 3B | FastV | 35 | 57.7 - 67.7 -
{ZIP} | 3B | DyCoke (V&A) | 35 | 57.4 61.0 67.5 -
{ZIP} | 3B | OmniZip | 35 | 60.1 62.7 68.0 44.3
{SIFT} | 7B | Full | 100 | 49.7 35.6 67.6 72.2
{SIFT} | 7B | OmniZip | 35 | 48.9 35.1 66.7 67.7
{SIFT} | 7B | Random | 35 | 48.3 33.4 67.3 66.3
{SIFT} | 7B | DyCoke (V&A) | 35 | 48.6 34.4 67.9 67.9
{SIFT} | 7B | OmniSIFT | 35 | 50.0 35.6 68.3 73.2
{SIFT} | 7B | OmniZip | 25 | 48.1 34.1 66.0 66.2
{SIFT} | 7B | Random | 25 | 47.1 32.6 66.1 65.2
{SIFT} | 7B | DyCoke (V&A) | 25 | 48.1 34.1 65.9 64.7
{SIFT} | 7B | OmniSIFT | 25 | 49.9 35.4 68.2 72.5
{SIFT} | 3B | Full | 100 | 45.8 33.5 64.2 67.0
{SIFT} | 3B | OmniZip | 35 | 44.1 33.7 63.5 64.7
{SIFT} | 3B | Random | 35 | 45.5 33.4 62.7 62.9
{SIFT} | 3B | DyCoke (V&A) | 35 | 45.3 32.8 63.3 63.2
{SIFT} | 3B | OmniSIFT | 35 | 45.7 33.7 63.7 65.3
{SIFT} | 3B | OmniZip | 25 | 43.8 32.4 62.3 64.2
{SIFT} | 3B | Random | 25 | 43.3 33.0 62.3 61.2
{SIFT} | 3B | DyCoke (V&A) | 25 | 44.1 33.0 62.5 61.7
{SIFT} | 3B | OmniSIFT | 25 | 45.8 33.1 63.0 64.7
{SCOPE} | 7B | Full | 100 | 46.0 62.0 34.1 63.3
{SCOPE} | 7B | Random | 45 | 44.7 58.7 34.2 63.3
{SCOPE} | 7B | FastV (A&V) | 45 | 45.8 59.5 35.8 63.4
{SCOPE} | 7B | OmniZip | 45 | 45.7 60.0 35.6 63.3
{SCOPE} | 7B | OmniScope | 45 | 46.3 60.5 35.5 64.3
{SCOPE} | 7B | Random | 25 | 44.9 56.9 34.9 62.4
{SCOPE} | 7B | FastV (A&V) | 25 | 44.7 58.4 35.6 63.4
{SCOPE} | 7B | OmniZip | 25 | 44.8 57.8 33.7 62.9
{SCOPE} | 7B | OmniScope | 25 | 45.7 58.8 35.8 63.7
{SCOPE} | 3B | Full | 100 | 46.1 60.7 32.7 61.1
{SCOPE} | 3B | Random | 45 | 44.1 57.6 32.4 60.9
{SCOPE} | 3B | FastV (A&V) | 45 | 44.2 59.7 33.0 61.2
{SCOPE} | 3B | OmniZip | 45 | 45.4 59.1 33.2 61.1
{SCOPE} | 3B | OmniScope | 45 | 46.1 59.3 33.2 62.1
{SCOPE} | 3B | Random | 25 | 42.5 55.7 31.7 59.8
{SCOPE} | 3B | FastV (A&V) | 25 | 42.9 55.8 32.8 60.4
{SCOPE} | 3B | OmniZip | 25 | 44.0 56.6 33.1 59.4
{SCOPE} | 3B | OmniScope | 25 | 44.5 56.9 33.1 60.1
{ROUTE} | 7B | Full | 100 | 46.8 64.5 66.0 62.9
{ROUTE} | 7B | FlashVID | 45 | 46.0 63.0 65.9 57.0
{ROUTE} | 7B | OmniZip | 45 | 45.9 63.0 66.1 59.5
{ROUTE} | 7B | OmniRoute | 45 | 46.9 63.4 66.0 60.6
{ROUTE} | 7B | Random | 55 | 43.6 61.0 65.4 58.6
{ROUTE} | 7B | DyCoke (V&A) | 50 | 44.6 62.0 65.5 55.8
{ROUTE} | 3B | Full | 100 | 46.4 62.2 62.6 62.0
{ROUTE} | 3B | FlashVID | 45 | 45.4 59.6 61.8 57.0
{ROUTE} | 3B | OmniZip | 45 | 45.2 61.3 62.6 58.6
{ROUTE} | 3B | OmniRoute | 45 | 45.8 61.7 62.6 58.7
{ROUTE} | 3B | Random | 55 | 42.8 58.7 61.1 54.8
{ROUTE} | 3B | DyCoke (V&A) | 50 | 44.0 60.7 61.6 54.4
"""
CAPTIONS = f"""
{SIFT} | 7B | Full | 100 | 29.1 19.0 48.1
{SIFT} | 7B | OmniZip | 35 | 34.1 20.0 54.1
{SIFT} | 7B | Random | 35 | 33.2 19.9 53.1
{SIFT} | 7B | DyCoke (V&A) | 35 | 32.6 20.1 52.7
{SIFT} | 7B | OmniSIFT | 35 | 30.7 19.8 50.5
{SIFT} | 7B | OmniZip | 25 | 35.8 21.4 57.2
{SIFT} | 7B | Random | 25 | 36.2 20.7 56.9
{SIFT} | 7B | DyCoke (V&A) | 25 | 35.3 20.0 56.3
{SIFT} | 7B | OmniSIFT | 25 | 30.9 20.3 51.2
{SIFT} | 3B | Full | 100 | 32.8 20.8 53.6
{SIFT} | 3B | OmniZip | 35 | 36.9 22.2 59.1
{SIFT} | 3B | Random | 35 | 37.0 21.7 58.7
{SIFT} | 3B | DyCoke (V&A) | 35 | 36.9 21.6 58.5
{SIFT} | 3B | OmniSIFT | 35 | 35.2 21.8 56.9
{SIFT} | 3B | OmniZip | 25 | 39.5 22.6 62.1
{SIFT} | 3B | Random | 25 | 39.3 22.6 62.0
{SIFT} | 3B | DyCoke (V&A) | 25 | 40.2 21.7 61.9
{SIFT} | 3B | OmniSIFT | 25 | 36.4 21.9 58.3
"""
REMARKS = {
    ZIP: "Its rows FastV 35 % and DyCoke 35 % on AVUT are nearly the same digits for 7B and 3B, very likely a copying error.",
    SIFT: "Its captions of DyCoke at 25 % (7B) give parts that add up to one point less than the sum it prints.",
    ROUTE: "Its baselines on WorldSense, AVUT and Video-MME are copied from arXiv 2511.14582.",
}


@dataclass(frozen=True)
class PublishedNumber:
    """One number of a paper."""

    source: str
    model: str
    method: str
    retention: int  # percent, as the paper names it
    benchmark: str
    value: float  # percent


def published(benchmark: str | None = None) -> Iterator[PublishedNumber]:
    """All numbers, or those of one benchmark, in the papers' order."""
    for source, model, method, share, values in _rows(TABLE):
        for name, value in zip(BENCHMARKS[source], values, strict=True):
            if value != "-" and benchmark in (None, name):
                yield PublishedNumber(source, model, method, share, name, float(value))


def published_captions() -> Iterator[tuple[str, str, str, int, tuple[float, float, float]]]:
    """Source, model, method, share, and missed, invented and their sum in percent, on video-SALMONN 2's test set; lower is better."""
    for source, model, method, share, (missed, invented, both) in _rows(CAPTIONS):
        yield source, model, method, share, (float(missed), float(invented), float(both))


def _rows(table: str) -> Iterator[tuple[str, str, str, int, list[str]]]:
    for line in table.strip().splitlines():
        source, model, method, share, values = (part.strip() for part in line.split("|"))
        yield source, model, method, int(share), values.split()
