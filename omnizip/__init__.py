"""Audio-guided token compression for omnimodal language models: OmniZip and its field, on Qwen2.5-Omni.

Importing this loads torch and nothing heavier; the model side is in `omnizip.engine`.
"""

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
