"""Token compression inside vLLM: a plugin that it finds by the entry point `vllm.general_plugins`.

Installed beside vLLM it does nothing until OMNIZIP_VLLM_METHOD names a method. Then Qwen2.5-Omni is served by a class of its own, which
encodes a clip, lets the method choose, and hands vLLM the tokens that are left, at the positions they have in the whole prompt.

vLLM must know before encoding how many tokens a clip has, so a method fits whose count follows from the clip's size alone
(`pruning.counted`). The sound of a clip is part of its video item, since picture and sound are chosen together.
"""

from __future__ import annotations

import os
from logging import getLogger

ARCHITECTURES = ("Qwen2_5OmniModel", "Qwen2_5OmniForConditionalGeneration")
MODEL = "omnizip.integrations.vllm.pruned_model:PrunedQwen2_5Omni"


def register() -> None:
    """Register the class with vLLM where the environment asks for it; called in each of vLLM's processes.

    Raises:
        MethodError: the environment asks for a method, share or option that cannot be served.
    """
    from .pruning import Pruning

    pruning = Pruning.from_environment(os.environ)
    if pruning is None:
        return
    from vllm import ModelRegistry

    for architecture in ARCHITECTURES:
        ModelRegistry.register_model(architecture, MODEL)
    getLogger("vllm.omnizip").warning("OmniZip is active: clips of %s are read %s.", " and ".join(ARCHITECTURES), pruning.described)
