"""`app.py`, whose model, or all copies of it, hold their breath between two words of an answer for as long as a file is there.

A test of the queue says with it how long a run takes, instead of hoping that a machine is slow enough for somebody to come while it lasts.
"""

import os
import runpy
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from omnizip.model.generate import LanguageModel  # noqa: E402

HELD = Path(os.environ["OMNIZIP_TEST_HELD"])
LOOK_S = 0.02

decode = LanguageModel.decode


def held(self, prefilled, sampling, stop=None):
    """The words of `LanguageModel.decode`, each after the file has gone or the run was given up."""
    for token in decode(self, prefilled, sampling, stop):
        while HELD.exists() and not (stop and stop()):
            time.sleep(LOOK_S)
        yield token


def hold(replica):
    """The class of a replica, whose model holds its breath, too. Pickled by value, since it belongs to the program itself."""

    class HeldReplica(replica):
        def __init__(self, settings):
            LanguageModel.decode = held
            super().__init__(settings)

    return HeldReplica


if __name__ == "__main__":
    LanguageModel.decode = held
    if os.environ.get("OMNIZIP_REPLICAS"):
        from omnizip.replicas import ray_cluster

        ray_cluster.Replica = hold(ray_cluster.Replica)
    sys.argv[0] = str(ROOT / "app.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
