"""Every method, by name. One file each; this dict is the whole registry."""

from .base import Compressor
from .dash import DASH
from .dtd import DTD
from .dycoke import DyCoke
from .echoingpixels import EchoingPixels
from .evs import EVS
from .fastav import FastAV
from .fastv import FastV
from .flashvid import FlashVID
from .full import Full
from .glance import FirstGlance
from .omnirefine import OmniRefine
from .omniroute import OmniRoute
from .omnisift import OmniSIFT
from .omnizip import OmniZip
from .omnizip_official import OmniZipOfficial
from .prumerge import PruMerge
from .pyramiddrop import PyramidDrop
from .random import Random
from .seats import Seats
from .vidcom2 import VidCom2
from .visionzip import VisionZip

COMPRESSORS: dict[str, type[Compressor]] = {
    "full": Full,
    "random": Random,
    "omnizip": OmniZip,
    "glance": FirstGlance,
    "omnizip-official": OmniZipOfficial,
    "omnisift": OmniSIFT,
    "dash": DASH,
    "dycoke": DyCoke,
    "vidcom2": VidCom2,
    "dtd": DTD,
    "evs": EVS,
    "visionzip": VisionZip,
    "flashvid": FlashVID,
    "prumerge": PruMerge,
    "omnirefine": OmniRefine,
    "omniroute": OmniRoute,
    "echoingpixels": EchoingPixels,
    "fastv": FastV,
    "fastav": FastAV,
    "pyramiddrop": PyramidDrop,
    "seats": Seats,
}
