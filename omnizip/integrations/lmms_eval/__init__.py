"""OmniZip as a model of lmms-eval, found by its entry point `lmms_eval.models`, and tasks for benchmarks that lmms-eval has none for.

`lmms-eval --model omnizip --model_args pretrained=Qwen/Qwen2.5-Omni-7B,method=glance,retention=0.35 --tasks worldsense`; the tasks
come with `--include_path` and the folder that `python -m omnizip.integrations.lmms_eval` prints. docs/benchmarks.md shows both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

TASKS = Path(__file__).parent / "tasks"


def manifest() -> Any:
    """What lmms-eval registers: the name, and where the class lies."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest("omnizip", simple_class_path=f"{__name__}.evaluated_model.EvaluatedModel")
