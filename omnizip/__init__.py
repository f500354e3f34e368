"""Audio-guided token compression for omnimodal language models: OmniZip and its field, on Qwen2.5-Omni.

Importing this loads nothing; a public name loads its module, and torch with it, when it is first used. The model side is in
`omnizip.engine`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compressors import COMPRESSORS
    from .compressors.full import Full
    from .compressors.omnisift import OmniSIFT
    from .compressors.omnisift_selector import AudioSelector
    from .compressors.omnizip import OmniZip
    from .compressors.omnizip_official import OmniZipOfficial
    from .compressors.random import Random
    from .errors import OmniZipError
    from .stream import Compression, Modality, Prompt, Reason, TokenStream

__version__ = "0.1.0"

__all__ = [
    "COMPRESSORS",
    "AudioSelector",
    "Compression",
    "Full",
    "Modality",
    "OmniSIFT",
    "OmniZip",
    "OmniZipError",
    "OmniZipOfficial",
    "Prompt",
    "Random",
    "Reason",
    "TokenStream",
]

_HOMES = {
    "COMPRESSORS": ".compressors",
    "AudioSelector": ".compressors.omnisift_selector",
    "Full": ".compressors.full",
    "OmniSIFT": ".compressors.omnisift",
    "OmniZip": ".compressors.omnizip",
    "OmniZipOfficial": ".compressors.omnizip_official",
    "Random": ".compressors.random",
    "OmniZipError": ".errors",
    **dict.fromkeys(("Compression", "Modality", "Prompt", "Reason", "TokenStream"), ".stream"),
}


def __getattr__(name: str) -> Any:
    """A public name, from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
