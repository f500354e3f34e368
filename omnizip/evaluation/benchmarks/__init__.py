"""The public benchmarks of the field: one reader a file, the papers' protocols, and what is counted on the answers.

`READERS` names them. A reader knows where the official download has its annotations and its videos, and makes plain
`BenchmarkClip`s of them; everything behind it is the same for all.
"""

from .annotations import BenchmarkReader
from .avut import AVUT
from .captioning import CAPTIONS
from .dailyomni import DAILYOMNI
from .omnivideobench import OMNIVIDEOBENCH
from .shortvid import SHORTVID
from .videomme import VIDEOMME
from .worldsense import WORLDSENSE

READERS: dict[str, BenchmarkReader] = {
    reader.name: reader for reader in (WORLDSENSE, VIDEOMME, AVUT, SHORTVID, DAILYOMNI, OMNIVIDEOBENCH, CAPTIONS)
}

__all__ = ["READERS"]
