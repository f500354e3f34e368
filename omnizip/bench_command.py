"""`python -m omnizip bench compress`: the compressor's speed and memory, as a table and as JSON with its conditions."""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from typing import Any

from .compressors import COMPRESSORS
from .errors import ModelError, UsageError
from .output import check_target, say, write

DTYPES = ("float32", "bfloat16", "float16")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `bench`."""
    parser.add_argument("what", choices=("compress",), help="compress: the compressor alone, by stage and clip length")
    parser.add_argument("--seconds", default="10,30,60,300", metavar="S,S", help="clip lengths (default: %(default)s)")
    parser.add_argument("--methods", default="omnizip,omnizip-official,random", metavar="NAME,NAME", help="default: %(default)s")
    parser.add_argument("--retention", type=float, default=0.35, help="share of the tokens to keep (default: %(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the embeddings (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="runs the median is taken of (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the measurements; - for standard output")


def run(arguments: argparse.Namespace) -> None:
    """Measure and tell. Raises UsageError or ModelError in one sentence for what cannot be measured here."""
    import torch

    from .bench import compress

    check_target("--json", arguments.json)
    if arguments.repeats < 1 or arguments.threads < 1:
        raise UsageError("--repeats and --threads are whole numbers from 1 on.")
    seconds, methods = _lengths(arguments.seconds), _names(arguments.methods)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("No CUDA device is available here; use --device cpu.")
    device = torch.device("cuda" if arguments.device != "cpu" and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(arguments.threads)
    bench = compress.Bench(device, getattr(torch, arguments.dtype), arguments.repeats)
    result = compress.measure(bench, seconds, methods, arguments.retention)
    plain = {"conditions": _conditions(arguments, device), **result}
    if arguments.json != "-":
        say(compress.markdown(result))
        say(
            f"\nOne product of 1024 x 3584 by 3584 x 7680 in float32: {result['speeds']['product_ms']:.0f} ms in this run; medians of ",
            end="",
        )
        say(f"{bench.repeats}; {arguments.dtype}, {device.type}, {arguments.threads} thread{'s' if arguments.threads > 1 else ''}.")
    write(arguments.json, lambda: json.dumps(plain, indent=2, allow_nan=False) + "\n")


def _lengths(text: str) -> list[int]:
    try:
        lengths = [int(part) for part in text.split(",")]
    except ValueError:
        lengths = []
    if not lengths or min(lengths) < 1:
        raise UsageError(f"--seconds is {text!r}; give whole seconds such as 10,60.")
    return lengths


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in COMPRESSORS:
            raise UsageError(f"There is no method {name!r}; choose of {', '.join(COMPRESSORS)}.")
    return names


def _conditions(arguments: argparse.Namespace, device: Any) -> dict[str, Any]:
    import torch

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "threads": arguments.threads,
        "dtype": arguments.dtype,
        "retention": arguments.retention,
        "repeats": arguments.repeats,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "cpu"
