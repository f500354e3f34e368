"""Numbers as people read them: with their unit, rounded to what was measured, thousands separated by commas.

Pure: no sentences, and nothing is imported. What is unknown is a dash.
"""

from __future__ import annotations

from collections.abc import Sequence

UNKNOWN = "–"


def count(n: int | None) -> str:
    """1234 -> "1,234"."""
    return UNKNOWN if n is None else f"{n:,}"


def share(x: float | None) -> str:
    """0.352 -> "35 %"; one decimal below 10 %."""
    if x is None:
        return UNKNOWN
    return f"{100 * x:.1f} %" if 0 < x < 0.0995 else f"{100 * x:.0f} %"


def percent(x: float | None) -> str:
    """0.352 -> "35.2 %": always one decimal, for columns that are compared."""
    return UNKNOWN if x is None else f"{100 * x:.1f} %"


def likelihood(x: float) -> str:
    """0.5 -> "50 %", 0.000012 -> "0.0012 %": two digits however small."""
    hundredths = 100 * x
    return f"{hundredths:.0f} %" if hundredths >= 0.995 else f"{hundredths:.2g} %" if hundredths >= 1e-4 else f"{hundredths:.0e} %"


def seconds(s: float | None) -> str:
    """Seconds with one decimal, minutes from 100 s on."""
    if s is None:
        return UNKNOWN
    return f"{s:.1f} s" if s < 100 else f"{int(s // 60)} min {int(s % 60):02d} s"


def duration(ms: float | None) -> str:
    """Milliseconds as measured: 0.42 ms, 12.3 ms, 345 ms, 1.23 s, 12.3 s."""
    if ms is None:
        return UNKNOWN
    if ms < 1000:
        return f"{ms:.0f} ms" if ms >= 99.5 else f"{ms:.1f} ms" if ms >= 0.95 or ms == 0 else f"{ms:.2f} ms"
    return f"{ms / 1000:.2f} s" if ms < 10_000 else f"{ms / 1000:.1f} s"


def scaled(x: float, unit: str, prefixes: Sequence[str], step: float) -> str:
    """Three digits and the largest fitting prefix: scaled(1.5e6, "B", ...) -> "1.50 MB"; the last prefix takes all beyond."""
    for prefix in prefixes:
        if x < 0.9995 * step or prefix == prefixes[-1]:
            digits = 0 if not prefix or x >= 99.95 else 1 if x >= 9.995 else 2
            return f"{x:.{digits}f} {prefix}{unit}"
        x /= step
    raise ValueError("prefixes is empty")


def size(n_bytes: int | None) -> str:
    """Bytes in decimal units: 1_500_000 -> "1.50 MB"."""
    return UNKNOWN if n_bytes is None else scaled(float(n_bytes), "B", ("", "k", "M", "G", "T"), 1000.0)


def operations(n: int | None) -> str:
    """Floating-point operations: 2.5e12 -> "2.50 TFLOPs"."""
    return UNKNOWN if n is None else scaled(float(n), "FLOPs", ("", "k", "M", "G", "T", "P", "E"), 1000.0)


def rate(per_s: float | None) -> str:
    """12.34 -> "12.3 tokens/s"."""
    return UNKNOWN if per_s is None else f"{per_s:,.0f} tokens/s" if per_s >= 99.5 else f"{per_s:.1f} tokens/s"


def times(x: float) -> str:
    """2.93 -> "2.9×", 14.2 -> "14×"."""
    return f"{x:.0f}×" if x >= 9.95 else f"{x:.1f}×"


def parameter(value: object) -> str:
    """A method's parameter: four digits of a float, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
