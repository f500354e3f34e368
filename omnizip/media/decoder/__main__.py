"""Starts the decoder where only this file's path is known: loads the package by its folder and runs it."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

NO_PACKAGE, NO_MEMORY = 3, 4  # exit statuses for what keeps the program from saying anything; decoder_process.py reads them
NAME = "omnizip_decoder"  # a name of its own: `omnizip` itself is not imported, and -I hides it


def start() -> int:
    """Run the job of the command line and return the exit status."""
    job = json.loads(sys.argv[1])
    if job.get("packages"):  # -I hides the user's own site-packages, where av may live
        sys.path.append(job["packages"])
    folder = Path(__file__).parent
    spec = importlib.util.spec_from_file_location(NAME, folder / "__init__.py", submodule_search_locations=[str(folder)])
    package = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = package
    spec.loader.exec_module(package)
    return importlib.import_module(f"{NAME}.program").main(job)


def start_or_tell() -> int:
    """Run the job; where even its report is impossible, return the exit status that tells why."""
    try:
        return start()
    except MemoryError:
        return NO_MEMORY
    except ModuleNotFoundError as missing:
        if missing.name == "av":
            return NO_PACKAGE
        raise
    except ImportError as problem:  # what a library is mapped into is memory, too
        if any(words in str(problem) for words in ("failed to map segment", "annot allocate memory")):
            return NO_MEMORY
        raise


if __name__ == "__main__":
    sys.exit(start_or_tell())
