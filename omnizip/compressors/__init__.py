"""Every method, by name. One file each; this dict is the whole registry."""

from .base import Compressor
from .full import Full
from .omnisift import OmniSIFT
from .omnizip import OmniZip
from .omnizip_official import OmniZipOfficial
from .random import Random

COMPRESSORS: dict[str, type[Compressor]] = {
    "full": Full,
    "random": Random,
    "omnizip": OmniZip,
    "omnizip-official": OmniZipOfficial,
    "omnisift": OmniSIFT,
}
