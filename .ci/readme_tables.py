"""Fill the README's tables from code and results: methods, settings, measurements, accuracies, files. A test compares."""

import ast
import dataclasses
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from omnizip.bench import clip_length, compress, prefill, startup  # noqa: E402
from omnizip.compressors import COMPRESSORS  # noqa: E402
from omnizip.engine.zerogpu import TOKENS_PER_S_OF_SOUND  # noqa: E402
from omnizip.evaluation import tables  # noqa: E402
from omnizip.model.memory import PARAMETERS  # noqa: E402
from omnizip.model.prefix_cache import KEPT  # noqa: E402
from omnizip.report.flops import kv_cache_bytes  # noqa: E402
from omnizip.settings import Settings  # noqa: E402
from omnizip.types import ModelShape  # noqa: E402

OTHER_FILES = {
    "omnizip/evaluation/world/": "A synthetic world that knows the truth about itself.",
    "training/": "The program that trains the embedded model on it.",
    "assets/style.css": "The page's look, by day and by night.",
    "assets/nano/": "The embedded model: weights, tokenizer, settings and its card.",
    "assets/examples/": "Sample clips and the program that made them.",
    "tests/": "One file per module, with the reference outputs in `tests/golden/`; `tests/browser/` drives the page.",
    "docs/results/": "Measurements and accuracies with their conditions, as `python -m omnizip bench` and `eval nano` wrote them.",
    ".ci/run": "Everything a change has to pass.",
    ".ci/docker_steps.py": "The Dockerfile's steps in a clean Debian root, and what that does not prove.",
}


def methods() -> str:
    """One row per method."""
    lines = ["| method | keeps | fidelity | source |", "| --- | --- | --- | --- |"]
    lines += [f"| `{name}` | {m.summary} | {m.fidelity} | {m.source} |" for name, m in COMPRESSORS.items()]
    lines += ["", "What the answer, and a further question about the same clip, can still see:", ""]
    sentences: dict[str, list[str]] = {}
    for name, method in COMPRESSORS.items():
        if name != "full":
            sentences.setdefault(method.later, []).append(f"`{name}`")
    lines += [f"- {', '.join(names)}: {sentence}" for sentence, names in sentences.items()]
    return "\n".join(lines)


def settings() -> str:
    """One row per setting."""
    lines = ["| flag | default | what it sets |", "| --- | --- | --- |"]
    for field in dataclasses.fields(Settings):
        default = "" if field.default == "" else f"`{field.default}`"
        lines.append(f"| `--{field.name.replace('_', '-')}` | {default} | {field.metadata['help']} |")
    return "\n".join(lines)


LENGTHS_S = (10, 30, 60, 300, 600)  # of clips
TEXT_TOKENS = 64  # system turn, question and markers, about
NF4_BITS = 4.5  # four bits a weight and a float32 scale for every 64


def sizes() -> str:
    """Memory by model and length of the clip: the weights, and the caches that are kept of full and compressed prompts."""
    s = Settings()
    lines = [f"| model | weights | {' | '.join(f'{n} s' for n in LENGTHS_S)} |", f"| --- | ---: |{' ---: |' * len(LENGTHS_S)}"]
    for name, count in PARAMETERS.items():
        shape = shape_of(name.rpartition("-")[2].lower())
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        layers = shape.layers * shape.width * (2 * queries + 2 * keys + 3 * shape.ffn)  # what 4-bit weights compress
        for kind, weights in (("bfloat16", 2 * count), ("4 bits", int(2 * (count - layers) + layers * NF4_BITS / 8))):
            cells = []
            for seconds in LENGTHS_S:
                media = min(s.fps * seconds, s.max_frames) / 2 * s.tokens_per_step + seconds * TOKENS_PER_S_OF_SOUND
                prompts = [int(media * share) + TEXT_TOKENS + s.max_new_tokens for share in (1, 0.45)]
                kept = sum(kv_cache_bytes(shape, n) for n in prompts) * KEPT // len(prompts)
                cells.append(f"{(weights + kept) / 1e9:.1f} GB")
            lines.append(f"| {name.rpartition('/')[2]}, {kind} | {weights / 1e9:.1f} GB | {' | '.join(cells)} |")
    return "\n".join(lines)


def shape_of(name: str) -> ModelShape:
    """The sizes of a released language model."""
    text = prefill.TEXT[name]
    heads, width = text["num_attention_heads"], text["hidden_size"]
    return ModelShape(
        layers=text["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=text["num_key_value_heads"],
        head_dim=width // heads,
        ffn=text["intermediate_size"],
        vocabulary=prefill.VOCABULARY[name],
        kv_bytes=2,
    )


def files() -> str:
    """One row per source file, with the first sentence of its description; the nano package is one row."""
    sources = sorted([ROOT / "app.py", *(ROOT / "omnizip").rglob("*.py"), *(ROOT / "ui").rglob("*.py")])
    lines = ["| file | what it holds |", "| --- | --- |"]
    for path in sources:
        text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
        if text and path.parent.name != "world":
            lines.append(f"| `{path.relative_to(ROOT)}` | {first_sentence(text)} |")
    return "\n".join([*lines, *(f"| `{name}` | {text} |" for name, text in OTHER_FILES.items())])


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    for i, mark in enumerate(text):
        if mark == "." and text[i + 1 : i + 2] in ("", " ") and text[i - 3 : i] not in ("i.e", "e.g", " al"):
            return text[: i + 1].replace("|", "\\|")
    return text.replace("|", "\\|")


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
    ("startup", "The page on the embedded model, from its start to its first answers"),
)
SHOWN = {"compress": compress.markdown, "compress-target": compress.markdown, "lengths": clip_length.markdown, "startup": startup.markdown}


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
            shown = "\n\n".join(f"{prefill.title(t)}\n\n{prefill.markdown(t)}" for t in tables) if tables else SHOWN[kind](result)
            parts.append(f"{told} (`docs/results/{kind}-{device}.json`; {conditions(result['conditions'])}).\n\n{shown}")
        if not found["cuda"] and kind not in ("lengths", "startup", "prefill-3b"):
            parts.append(f"{told}, on a GPU: not measured.")
    return "\n\n".join(parts)


def load(name: str) -> dict | None:
    """What a file in docs/results holds; None where there is none."""
    path = ROOT / "docs" / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


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
    grown = load("lengths-cpu")["rows"]
    for name, what in (("encode_ms", "encoders"), ("saliency_window_ms", "saliency within windows"), ("compress_ms", "compression")):
        row(f"time grows with the clip's length, power 1: {what}", "CPU, 10 min to 1 h", clip_length.growth(grown, name), 1.1)
    row("memory above the inputs for an hour: at most 2 GB", "CPU, bfloat16", grown[-1]["compress_peak_bytes"] / 1e9, 2, unit=" GB")
    start = load("startup-cpu")["medians"]
    row("the page is up: under 10 s", "CPU", start["page_s"], 10, unit=" s")
    row("first comparison of an 8 s example: under 5 s", "CPU", start["compare_s"], 5, unit=" s")
    return "\n".join(lines)


def conditions(known: dict) -> str:
    """What the numbers of a file depend on, in a line."""
    load = "" if not known.get("load_average") else f", load average {known['load_average'][0]:.1f} on {known['cores']} cores"
    threads = f"{known['threads']} thread{'s' if known['threads'] > 1 else ''}"
    made = f"{known['dtype']}, torch {known['torch']}; medians of {known['repeats']}; {known['date'][:10]}"
    return f"{known['device']}, {threads}{load}; {made}"


EVALUATIONS = (  # files in docs/results, and what they show
    ("nano", "OmniZip, its parts and random choice, and S_a beside what happens"),
    ("nano-methods", "Every method"),
    ("nano-full", "All tokens on a thousand clips"),
    ("nano-lengths", "Longer clips"),
    ("nano-controls", "Controls: what is left when picture and sound are blanked or belong to different clips"),
)


def accuracy() -> str:
    """The committed evaluations, each with its conditions."""
    parts = []
    for name, shown in EVALUATIONS:
        path = ROOT / "docs" / "results" / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            parts.append(f"**{shown}** (`{path.relative_to(ROOT)}`). {tables.short(result)}")
        elif name == "nano":
            parts.append("Not measured yet.")
    return "\n\n".join(parts)


def filled(readme: str) -> str:
    """The README's text with every table as the code has it."""
    made = {
        "sizes": sizes,
        "methods": methods,
        "settings": settings,
        "targets": targets,
        "measurements": measurements,
        "accuracy": accuracy,
        "files": files,
    }
    for name, make in made.items():
        before, rest = readme.split(f"<!-- {name} -->\n", 1)
        after = rest.split(f"<!-- end {name} -->", 1)[1]
        readme = f"{before}<!-- {name} -->\n{make()}\n<!-- end {name} -->{after}"
    return readme


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text()))
