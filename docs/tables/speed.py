"""Speed and memory as measured: one table for README.md, and every measurement, aim and remark for docs/speed.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omnizip.bench import clip_length, compress, decode, prefill, startup, synchronisations, ttft

from .results import conditions, listed, load

SHORT = (  # of README.md: what was measured, its file, its shape
    ("the embedded model's shape, a minute", "prefill-cpu", "nano"),
    ("the 3B model's shape, ten seconds", "prefill-3b-cpu", "3b"),
)
ARMS = ("full", "omnizip")


FIRST_TOKEN = (("3B", "3b"), ("7B", "7b"))  # of README.md: rows of ttft-cuda.json
KEPT = {"full": (None,), "omnizip": (0.35,), "glance": (0.35, 0.25)}


def in_short() -> str:
    """README's table: the first token of a minute's clip on a GPU, with all tokens, OmniZip and Glance."""
    head = ("model", "reads", "tokens", "encoders", "choosing", "prefill", "first token after", "speed-up", "without encoders")
    lines = [f"| {' | '.join(head)} |", f"| --- | --- |{' ---: |' * (len(head) - 2)}"]
    result = load("ttft-cuda")
    for told, shape in FIRST_TOKEN:
        table = max((t for t in result["tables"] if t["shape"] == shape), key=lambda t: t["seconds"])
        for row in table["rows"]:
            if row["retention"] in KEPT[row["method"]]:
                what = "all tokens" if row["method"] == "full" else f"{row['retention']:.0%} by `{row['method']}`"
                times = [row["encode_ms"], row["look_ms"] + row["compress_ms"], row["prefill_ms"], row["ttft_encoded_ms"]]
                cells = [f"{row['tokens']:,}", *map(_duration, times), f"{row['speedup']:.2f}x", f"{row['speedup_without']:.2f}x"]
                lines.append(f"| {told} | {what} | {' | '.join(cells)} |")
    told = f"[ttft-cuda.json](docs/results/ttft-cuda.json): clips of a minute; {conditions(result['conditions'])}."
    return "\n".join([*lines, "", told])


def _table(name: str, shape: str) -> dict:
    return next(table for table in load(name)["tables"] if table["shape"] == shape)


def _duration(ms: float) -> str:
    return f"{ms:,.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def remarks() -> str:
    """What share of the compressed prefill is saliency and compression, on either model."""
    told = []
    for what, name, shape in SHORT:
        rows = [row for row in _table(name, shape)["rows"] if row["method"] == "omnizip"]
        shares = listed(f"{row['compression_share']:.1%} at {row['retention']:.0%}" for row in rows)
        told.append(f"{what}: {shares}")
    return f"Share of saliency and compression in `omnizip`'s prefill ({'; '.join(told)})."


MEASUREMENTS = (  # files in docs/results without what they were measured on, and what they show
    ("compress-target", "Compression alone, 60 s at width 3584 with 128 tokens a step, beside one product of the same run"),
    ("compress", "Compression alone by clip length, width 3584, 144 tokens a step"),
    (
        "lengths",
        "What comes before the language model, from 10 s to an hour (beyond a minute one run each): "
        "encoders of the embedded model, saliency and compression at 7B sizes",
    ),
    ("prefill", "Prefill, first token and decode with random weights"),
    ("prefill-3b", "The same at the real 3B shape, on a short clip"),
    ("ttft", "Time to the first token with encoders, choosing and prefill in it, random weights"),
    ("ttft-3b", "The same at the real 3B shape"),
    ("decode", "A token of our loop beside one of the stock `generate`, in turn in one run"),
    ("startup", "The page on the embedded model, from its start to its first answers"),
)
SHOWN = {
    "decode": decode.markdown,
    "compress": compress.markdown,
    "compress-target": compress.markdown,
    "lengths": clip_length.markdown,
    "startup": startup.markdown,
}


def measurements() -> str:
    """The committed measurements, each with its conditions; what was not measured is said to be so."""
    parts = []
    for kind, told in MEASUREMENTS:
        found = {device: load(f"{kind}-{device}") for device in ("cuda", "cpu")}
        for device, result in found.items():
            if not result:
                continue
            for row in result.get("rows", ()):
                if row.get("saliency_extrapolated"):
                    row["saliency_ms"] = None  # stays in the file; from far shorter clips, so no number to show
            tables = result.get("tables")
            shown = _tables(ttft if kind.startswith("ttft") else prefill, tables) if tables else SHOWN[kind](result)
            parts.append(f"{told} ([{kind}-{device}.json](results/{kind}-{device}.json); {conditions(result['conditions'])}).\n\n{shown}")
        if not found["cuda"] and kind not in ("lengths", "startup", "prefill-3b", "ttft-3b"):
            parts.append(f"{told}, on a GPU: not measured.")
    return "\n\n".join(parts)


def _tables(bench: Any, tables: Sequence[Any]) -> str:
    return "\n\n".join(f"{bench.title(table)}\n\n{bench.markdown(table)}" for table in tables)


def waits() -> str:
    """How often each method waits for the GPU, by torch's count where there is one, else by that of an emulated one."""
    parts = []
    for name in ("synchronisations-cuda", "synchronisations"):
        if result := load(name):
            known = result["conditions"]
            told = f"Counted by {result['counted_by']}, {result['seconds']} s of clip at {result['retention']:.0%}"
            where = f"; {known['device']}" if result["counted_by"] == synchronisations.BY_TORCH else ""
            made = f"torch {known['torch']}, transformers {known['transformers']}; {known['date'][:10]}{where}"
            parts.append(f"{told} ([{name}.json](results/{name}.json); {made}).\n\n{synchronisations.markdown(result)}")
    if len(parts) == 1:
        parts.append("Counted on a real GPU: not measured.")
    return "\n\n".join(parts)


def speedups(name: str, shape: str) -> dict[float, tuple[float, float]]:
    """Per share kept by OmniZip: measured over counted speed-up of prefill, and peak memory over the stock forward's."""
    table = next((t for t in (load(name) or {"tables": ()})["tables"] if t["shape"] == shape), None)
    if table is None:
        return {}
    stock = next(row for row in table["rows"] if row["method"] == prefill.STOCK)
    return {
        row["retention"]: (row["speedup"] / row["speedup_counted"], row["prefill_peak_bytes"] / stock["prefill_peak_bytes"])
        for row in table["rows"]
        if row["method"] == "omnizip"
    }


def _looked_less(name: str, shape: str) -> dict[str, Any]:
    """The row of Glance at 35 % on the longest clip of a measurement."""
    table = max((t for t in load(name)["tables"] if t["shape"] == shape), key=lambda t: t["seconds"])
    return next(row for row in table["rows"] if (row["method"], row["retention"]) == ("glance", 0.35))


def targets() -> str:
    """What was aimed at, and how far from it the committed measurements are."""
    lines = ["| aim | on | measured | |", "| --- | --- | ---: | --- |"]

    def row(aim: str, on: str, measured: float | None, bound: float, least: bool = False, unit: str = "") -> None:
        if measured is None:
            lines.append(f"| {aim} | {on} | – | not measured |")
            return
        met = measured >= bound if least else measured <= bound
        lines.append(f"| {aim} | {on} | {measured:.2f}{unit} | {'met' if met else f'missed by {abs(measured - bound):.2f}{unit}'} |")

    products = {r["method"]: r["products"] for r in load("compress-target-cpu")["rows"]}
    row("`omnizip`: at most 0.25 of one product", "CPU, 1 thread", products["omnizip"], 0.25)
    row("`omnizip-official`: at most 0.75 of it", "CPU, 1 thread", products["omnizip-official"], 0.75)
    gpu = {r["method"]: r["compress_ms"] for r in (load("compress-target-cuda") or {"rows": ()})["rows"]}
    row("`omnizip`: at most 2 ms", "GPU", gpu.get("omnizip"), 2.0, unit=" ms")
    places = (("embedded model, 60 s, CPU", "prefill-cpu", "nano"), ("3B shape, 10 s, CPU", "prefill-3b-cpu", "3b"))
    places = [(on, speedups(name, shape)) for on, name, shape in (*places, ("7B shape, 60 s, GPU", "prefill-cuda", "7b"))]
    for on, found in places:
        for kept in (0.35, 0.25):
            row(f"prefill at {kept:.0%}: at least 0.90 of the counted speed-up", on, found.get(kept, (None, None))[0], 0.9, least=True)
    for on, found in places:
        row("peak memory above weights at 35%: at most 0.45 of the stock forward's", on, found.get(0.35, (None, None))[1], 0.45)
    for on, name in (("CPU", "decode-cpu"), ("GPU", "decode-cuda")):
        rows = (load(name) or {"rows": ({"shape": "3B and 7B", "ratio": None},)})["rows"]
        for found in rows:
            row(f"a token beside the stock `generate`: at most 1.0 of it, {found['shape']} shape", on, found["ratio"], 1.0)
    for on, name in (("3B shape, 8 s, CPU", "ttft-3b-cpu"), ("3B shape, 60 s, GPU", "ttft-cuda"), ("7B shape, 60 s, GPU", "ttft-cuda")):
        found = _looked_less(name, on[:2].lower())
        row("`glance` at 35%: first token, encoders included, at least 2.4x sooner", on, found["speedup"], 2.4, least=True, unit="x")
        off = abs(found["encode_ratio"] / found["encoded"] - 1)
        row("its picture's encoding takes the share of time that it encodes: off by at most 0.15 of it", on, off, 0.15)
    grown = load("lengths-cpu")["rows"]
    for name, what in (("encode_ms", "encoders"), ("saliency_window_ms", "saliency within windows"), ("compress_ms", "compression")):
        row(f"time grows with the clip's length, power 1: {what}", "CPU, 10 min to 1 h", clip_length.growth(grown, name), 1.1)
    row("memory above the inputs for an hour: at most 2 GB", "CPU, bfloat16", grown[-1]["compress_peak_bytes"] / 1e9, 2, unit=" GB")
    start = load("startup-cpu")["medians"]
    row("the page is up: under 10 s", "CPU", start["page_s"], 10, unit=" s")
    row("the page is up: at most 1.5 times what `import gradio` takes", "CPU", start["page_ratio"], 1.5, unit="x")
    row("landing to the first look, while the model loads: under 2 s", "CPU", start["look_s"], 2, unit=" s")
    row("what moves by itself meanwhile: layout shift below 0.1", "CPU", start["layout_shift"], 0.1)
    row("a comparison of an example: under 5 s", "CPU", start["compare_s"], 5, unit=" s")
    return "\n".join(lines)
