"""`app.py`, whose model is not loaded for as long as a file is there; where its name is "broken", it then cannot be."""

import os
import runpy
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from omnizip.errors import ModelError  # noqa: E402
from ui.model_host import ModelHost  # noqa: E402

HELD = Path(os.environ["OMNIZIP_TEST_HELD"])
LOOK_S = 0.02

load = ModelHost.load


def held(self, name):
    """`ModelHost.load`, once the file has gone."""
    while HELD.exists():
        time.sleep(LOOK_S)
    if HELD.name == "broken":
        from omnizip.engine import Engine

        def fail(*_):
            raise ModelError("Its weights are cut short; download it again.")

        Engine.open = fail
    load(self, name)


if __name__ == "__main__":
    ModelHost.load = held
    sys.argv[0] = str(ROOT / "app.py")
    runpy.run_path(sys.argv[0], run_name="__main__")
