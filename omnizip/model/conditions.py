"""What every number depends on besides what was run: machine, load, versions, date; one source for reports, benchmarks, evaluations."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch

from .. import __version__
from ..settings import Settings
from ..types import Conditions, MachineLoad
from .cuda import capability_note, driver_problem
from .loading import Loaded

PACKAGES = ("torch", "transformers", "accelerate", "numpy", "av")  # that numbers depend on


def installed_versions() -> dict[str, str | None]:
    """Versions of Python, this package and PACKAGES; None for a package that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version(), "omnizip": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions | {"torch": str(torch.__version__)}  # names the build too


def machine_load() -> MachineLoad:
    """How busy the machine is now."""
    return MachineLoad(os.getloadavg() if hasattr(os, "getloadavg") else None, os.cpu_count())


def machine_conditions(device: torch.device) -> dict[str, Any]:
    """The device by name, threads, load, platform, versions and the date, as plain data."""
    load = machine_load()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "cores": load.cores,
        "load_average": load.average,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        **installed_versions(),
    }


def processor_name() -> str:
    """The processor as the system calls it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "cpu"


def model_conditions(loaded: Loaded, settings: Settings, parameters: int) -> Conditions:
    """The same for a loaded model; its device is "cpu" or the GPUs it lies on."""
    thinker, device = loaded.parts.thinker, loaded.parts.device
    gpus = [torch.cuda.get_device_name(i) for i in loaded.parts.gpus]
    problem = driver_problem() if settings.device == "auto" else ""
    notes = tuple(note for note in (problem, capability_note() if device.type == "cuda" else "") if note)
    machine = machine_conditions(device)
    return Conditions(
        model=loaded.mark.get("name") or settings.model,
        embedded=bool(loaded.mark.get("embedded", False)),
        parameters=parameters,
        device=" + ".join(gpus) or "cpu",
        dtype=str(thinker.dtype).removeprefix("torch.") + (" (weights in 4 bits)" if settings.four_bit else ""),
        attention=loaded.parts.language.config._attn_implementation,
        **{name: machine[name] for name in ("threads", "torch", "transformers", "platform")},
        notes=notes,
    )
