"""The families of omni models that can be loaded, and which one a checkpoint is of."""

from __future__ import annotations

from typing import Any

from ..errors import ModelError
from .family import Family
from .qwen2_5_omni import QWEN2_5_OMNI
from .qwen3_omni import QWEN3_OMNI

FAMILIES: tuple[Family, ...] = (QWEN2_5_OMNI, QWEN3_OMNI)
NAMES = " or ".join(family.name for family in FAMILIES)


def family_of(config: Any) -> Family:
    """The family of a checkpoint or a thinker by its config, an object or plain data.

    Raises:
        ModelError: it is of none of them, in one sentence.
    """
    kind = config.get("model_type") if isinstance(config, dict) else getattr(config, "model_type", None)
    for family in FAMILIES:
        if kind in family.model_types:
            return family
    raise ModelError(f"a model of type {kind}, not {NAMES}; give a {NAMES} checkpoint such as {FAMILIES[0].example}.")
