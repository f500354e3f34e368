"""Files that travel with the package: inside it where it is installed, beside it in a checkout."""

from pathlib import Path

from .errors import OmniZipError

PACKAGE = Path(__file__).resolve().parent
PLACES = (PACKAGE / "assets", PACKAGE.parent / "assets")  # what a wheel fills; what a checkout holds


def asset(name: str) -> Path:
    """The file or folder `name` (such as "nano" or "lens/lens.css") of the assets.

    Raises:
        OmniZipError: this installation has none of that name.
    """
    for place in PLACES:
        if (place / name).exists():
            return place / name
    raise OmniZipError(f"This installation of OmniZip lacks its file {name}; install it again, or run from a clone of the repository.")
