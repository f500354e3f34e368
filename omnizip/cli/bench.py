"""`python -m omnizip bench WHAT`: speed, memory and waits as a table and as JSON with their conditions.

`bench prefill` and `bench ttft` without flags measure what fits the machine: the real 3B and 7B shapes on a GPU, the embedded
model's elsewhere.
The published measurements lie in docs/results: `bench compress --json docs/results/compress-cpu.json`.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..compressors import COMPRESSORS
from ..errors import ModelError, UsageError
from ..settings import Settings
from .command_line import spell
from .console import check_target, say, write

WHAT = {
    "compress": "the compressor alone, by stage and clip length",
    "prefill": "a model of random weights, with and without",
    "ttft": "the first token with everything in it: encoders, choosing, prefill, at a real model's shape with random weights",
    "decode": "a token of our loop beside one of the stock `generate`",
    "synchronisations": "how often each method waits for the GPU, counted by torch on one and on an emulated one elsewhere",
    "lengths": "what comes before the language model, from 10 s to an hour",
    "startup": "the page, from its start to its first answer; needs app.py, so it runs in a clone of the repository",
    "serve": "the page when many ask at once, with one model and with copies of it (requirements-ray.txt); in a clone, too",
}
SETTINGS = ("device", "attention")  # precision is a flag of its own, since it has another default here
DTYPES = ("float32", "bfloat16", "float16")
SECONDS = {"compress": "10,30,60,300", "prefill": "60", "ttft": "8", "decode": "4", "synchronisations": "8", "lengths": "10,60,600,3600"}
METHODS = {
    "compress": "omnizip,omnizip-official,random",
    "prefill": "omnizip,omnizip-official",
    "ttft": "omnizip,glance",
    "decode": "full",
    "synchronisations": ",".join(COMPRESSORS),
    "lengths": "omnizip",
}
ON_GPU = ("prefill", "ttft", "decode")  # at the released shapes and in half precision where there is one


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flags of `bench`."""
    parser.add_argument("what", choices=tuple(WHAT), help="; ".join(f"{name}: {text}" for name, text in WHAT.items()))
    parser.add_argument(
        "--seconds",
        metavar="S,S",
        help="clip lengths (default: 10,30,60,300; prefill: 60; ttft: 8; decode: 4; synchronisations: 8; lengths: 10,60,600,3600)",
    )
    text = "default: omnizip,omnizip-official, with random for compress; ttft: omnizip,glance; synchronisations: all"
    parser.add_argument("--methods", metavar="NAME,NAME", help=text)
    parser.add_argument("--retention", default=None, metavar="R,R", help="shares to keep (default: 0.35; prefill, ttft: 0.45,0.35,0.25)")
    parser.add_argument("--rows", type=int, default=9, help="compress: rows of 16 tokens a step has (default: %(default)s)")
    text = "compress, lengths: longest clip for which what grows with its square is measured (default: %(default)s)"
    parser.add_argument("--quadratic-s", type=int, default=600, metavar="S", help=text)
    parser.add_argument(
        "--shape",
        metavar="NAME,NAME",
        help="prefill, ttft, decode: 3b, 7b, qwen3-30b-a3b, nano, tiny (default: 3b,7b on a GPU, nano elsewhere)",
    )
    parser.add_argument(
        "--tokens", type=int, default=32, help="prefill, decode, synchronisations: tokens decoded after the first (default: %(default)s)"
    )
    parser.add_argument("--dtype", choices=DTYPES, help="default: float32; prefill, ttft and decode on a GPU: bfloat16")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="runs the median is taken of (default: %(default)s)")
    text = "serve: copies of the model, 0 for one without Ray (default: %(default)s)"
    parser.add_argument("--copies", default="0,1,2", metavar="N,N", help=text)
    parser.add_argument("--visitors", default="1,4,16,50", metavar="N,N", help="serve: visitors at once (default: %(default)s)")
    parser.add_argument("--questions", type=int, default=3, help="serve: questions of each visitor (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the measurements; - for standard output")
    Settings.add_flags(parser.add_argument_group("settings"), SETTINGS)


def run(arguments: argparse.Namespace) -> None:
    """Measure, show and write. Raises UsageError or ModelError in one sentence for what cannot be measured here."""
    import torch

    from ..bench.compress import Bench

    check_target("--json", arguments.json)
    if min(arguments.repeats, arguments.threads, arguments.tokens, arguments.rows, arguments.quadratic_s, arguments.questions) < 1:
        raise UsageError("--repeats, --threads, --tokens, --rows, --quadratic-s and --questions are whole numbers from 1 on.")
    what = arguments.what
    if what in PAGES:
        PAGES[what](arguments)
        return
    seconds, methods = _parse_seconds(arguments.seconds or SECONDS[what]), _parse_methods(arguments.methods or METHODS[what])
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("No CUDA device is available here; use --device cpu.")
    device = torch.device("cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(arguments.threads)
    dtype = arguments.dtype or ("bfloat16" if what in ON_GPU and device.type == "cuda" else "float32")
    bench = Bench(device, getattr(torch, dtype), arguments.repeats)
    measured = MEASURES[what](arguments, bench, seconds, methods)
    _write_json(arguments, {"conditions": _conditions(arguments, device, dtype), **measured})


def _measure_compress(arguments: argparse.Namespace, bench: Any, seconds: list[int], methods: list[str]) -> dict[str, Any]:
    from ..bench import compress

    (retention,) = _parse_shares(arguments.retention or "0.35", 1)
    result = compress.measure(bench, seconds, methods, retention, arguments.rows, arguments.quadratic_s)
    if arguments.json != "-":
        say(compress.markdown(result))
        product, plural = result["speeds"]["product_ms"], "s" if arguments.threads > 1 else ""
        say(f"\nOne product of 1024 x 3584 by 3584 x 7680 in float32: {product:.0f} ms in this run; medians of ", end="")
        say(f"{bench.repeats}; {str(bench.dtype).removeprefix('torch.')}, {bench.device.type}, {arguments.threads} thread{plural}.")
    return {"retention": retention, "tokens_per_step": arguments.rows * compress.COLUMNS, **result}


def _measure_prefill(arguments: argparse.Namespace, bench: Any, seconds: list[int], methods: list[str]) -> dict[str, Any]:
    import torch

    from ..bench import prefill
    from ..model.loading import attention_for

    shapes = _parse_shapes(arguments, bench)
    shares = _parse_shares(arguments.retention or "0.45,0.35,0.25")
    attention = attention_for(arguments.attention or "auto", bench.device.type, str(bench.dtype).removeprefix("torch."))
    arms = [(prefill.STOCK, None), (prefill.FULL, None), *((method, share) for share in shares for method in methods if method != "full")]
    tables = []
    for shape in shapes:
        for length in seconds:
            tables.append(prefill.measure(bench, shape, length, arms, arguments.tokens, attention))
            if bench.device.type == "cuda":
                torch.cuda.empty_cache()  # the next model may need all of it
            if arguments.json != "-":
                say(f"{prefill.title(tables[-1])}\n\n{prefill.markdown(tables[-1])}\n")
    return {"tables": tables}


def _measure_ttft(arguments: argparse.Namespace, bench: Any, seconds: list[int], methods: list[str]) -> dict[str, Any]:
    import torch

    from ..bench import ttft
    from ..compressors.layer_pruner import LayerPruner
    from ..model.loading import attention_for

    for name in methods:
        if issubclass(COMPRESSORS[name], LayerPruner):
            raise UsageError(f"bench ttft measures methods before the model, on what the encoders hand out; leave {name} out.")
    shares = _parse_shares(arguments.retention or "0.45,0.35,0.25")
    attention = attention_for(arguments.attention or "auto", bench.device.type, str(bench.dtype).removeprefix("torch."))
    tables = []
    for shape in _parse_shapes(arguments, bench):
        for length in seconds:
            tables.append(ttft.measure(bench, shape, length, methods, shares, attention))
            if bench.device.type == "cuda":
                torch.cuda.empty_cache()
            if arguments.json != "-":
                say(f"{ttft.title(tables[-1])}\n\n{ttft.markdown(tables[-1])}\n")
    return {"tables": tables}


def _measure_decode(arguments: argparse.Namespace, bench: Any, seconds: list[int], methods: list[str]) -> dict[str, Any]:
    import torch

    from ..bench import decode
    from ..model.loading import attention_for

    attention = attention_for(arguments.attention or "auto", bench.device.type, str(bench.dtype).removeprefix("torch."))
    rows = []
    for shape in _parse_shapes(arguments, bench):
        for length in seconds:
            rows.append(decode.measure(bench, shape, length * decode.ROWS_PER_SECOND, arguments.tokens, attention))
            if bench.device.type == "cuda":
                torch.cuda.empty_cache()
    if arguments.json != "-":
        say(decode.markdown({"rows": rows}))
    return {"rows": rows}


def _measure_synchronisations(arguments: argparse.Namespace, bench: Any, seconds: list[int], methods: list[str]) -> dict[str, Any]:
    from ..bench import synchronisations

    (retention,) = _parse_shares(arguments.retention or "0.35", 1)
    result = synchronisations.measure(bench, seconds[0], methods, retention, arguments.tokens)
    if arguments.json != "-":
        say(f"{synchronisations.markdown(result)}\n\nCounted by {result['counted_by']}.")
    return {"retention": retention, **result}


def _measure_lengths(arguments: argparse.Namespace, bench: Any, seconds: list[int], methods: list[str]) -> dict[str, Any]:
    from ..bench import clip_length

    if methods != ["omnizip"]:
        raise UsageError("bench lengths measures omnizip; leave --methods out.")
    (retention,) = _parse_shares(arguments.retention or "0.35", 1)
    result = clip_length.measure(bench, seconds, retention, arguments.quadratic_s)
    if arguments.json != "-":
        say(clip_length.markdown(result))
    return {"retention": retention, **result}


MEASURES = {
    "compress": _measure_compress,
    "prefill": _measure_prefill,
    "ttft": _measure_ttft,
    "decode": _measure_decode,
    "synchronisations": _measure_synchronisations,
    "lengths": _measure_lengths,
}


def _measure_startup(arguments: argparse.Namespace) -> None:
    import torch

    from ..bench import startup

    result = startup.measure(arguments.repeats)
    if arguments.json != "-":
        say(startup.markdown(result))
    model = result["model"]
    conditions = _conditions(arguments, torch.device("cpu"), model["dtype"]) | {"threads": model["threads"]}
    _write_json(arguments, {"conditions": conditions, **result})


def _measure_serve(arguments: argparse.Namespace) -> None:
    import torch

    from ..bench import serve

    copies = _parse_counts("--copies", arguments.copies, 0, 64)
    visitors = _parse_counts("--visitors", arguments.visitors, 1, serve.MOST_VISITORS)
    if any(copies):
        from ..replicas.ray_cluster import check_can

        check_can(Settings(replicas=max(copies)))
    result = serve.measure(copies, visitors, arguments.questions)
    if arguments.json != "-":
        say(serve.markdown(result))
    _write_json(arguments, {"conditions": _conditions(arguments, torch.device("cpu"), "float32"), **result})


PAGES = {"startup": _measure_startup, "serve": _measure_serve}


def _parse_counts(flag: str, text: str, least: int, most: int) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(least <= count <= most for count in counts):
        raise UsageError(f"{flag} is {text!r}; give whole numbers from {least} to {most} such as 1,2.")
    return counts


def _write_json(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    write(arguments.json, lambda: json.dumps(result, indent=2, allow_nan=False) + "\n")


def _parse_shares(text: str, most: int = 99) -> list[float]:
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not 1 <= len(shares) <= most or not all(0 < share <= 1 for share in shares):
        raise UsageError(f"--retention is {text!r}; give {'a share' if most == 1 else 'shares'} above 0 and up to 1 such as 0.35.")
    return shares


def _parse_shapes(arguments: argparse.Namespace, bench: Any) -> list[str]:
    from ..bench.shapes import SHAPES

    shapes = (arguments.shape or ("3b,7b" if bench.device.type == "cuda" else "nano")).split(",")
    if unknown := [shape for shape in shapes if shape not in SHAPES]:
        raise UsageError(f"There is no shape {unknown[0]!r}; choose of {', '.join(SHAPES)}.")
    return shapes


def _parse_seconds(text: str) -> list[int]:
    try:
        lengths = [int(part) for part in text.split(",")]
    except ValueError:
        lengths = []
    if not lengths or min(lengths) < 1:
        raise UsageError(f"--seconds is {text!r}; give whole seconds such as 10,60.")
    return lengths


def _parse_methods(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in COMPRESSORS:
            raise UsageError(f"There is no method {name!r}; choose of {', '.join(COMPRESSORS)}.")
    return names


def _conditions(arguments: argparse.Namespace, device: Any, dtype: str) -> dict[str, Any]:
    from ..model.conditions import machine_conditions

    command = spell("python -m omnizip bench", add_flags, arguments, skipped=("json",))
    return {**machine_conditions(device), "dtype": dtype, "repeats": arguments.repeats, "command": command}
