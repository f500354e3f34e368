"""Whether this folder is a Space that builds: `python .ci/check_space.py [--resolve]`.

Without a flag: the README's front matter, and that what it names is here and fits requirements.txt. With `--resolve` also that
requirements.txt resolves, without a download, for the Python and the torch that ZeroGPU offers (needs the network and `uv`).
It does not prove that the Space starts there: no Space is built.
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
ZERO_PYTHON, ZERO_TORCH, ZERO_PLATFORM = "3.12", "2.11.0", "x86_64-manylinux_2_28"
HARDWARE = re.compile(r"cpu-basic|cpu-upgrade|t4-(small|medium)|l4x[14]|l40sx[148]|a10g-(small|large|largex2|largex4)|a100-large|a100x[48]")
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
FIELDS = {  # of hub-docs' spaces-config-reference, those used here, and what their values have to be
    "title": lambda v: bool(v),
    "emoji": lambda v: bool(v) and len(v) <= 2,
    "colorFrom": lambda v: v in COLOURS,
    "colorTo": lambda v: v in COLOURS,
    "sdk": lambda v: v == "gradio",
    "sdk_version": lambda v: v == pinned("gradio"),
    "python_version": lambda v: v == ZERO_PYTHON,  # a text: 3.10 without quotes would be 3.1
    "app_file": lambda v: (ROOT / v).is_file(),
    "suggested_hardware": lambda v: bool(HARDWARE.fullmatch(v)),
    "models": lambda v: bool(v) and all(re.fullmatch(r"[\w.-]+/[\w.-]+", name) for name in v),
    "preload_from_hub": lambda v: bool(v) and all(re.fullmatch(r"[\w.-]+/[\w.-]+( [\w.,/*-]+( [0-9a-f]{40})?)?", name) for name in v),
    "startup_duration_timeout": lambda v: bool(re.fullmatch(r"\d+[mh]", v)),
    "license": lambda v: v == "apache-2.0" and (ROOT / "LICENSE").is_file(),
    "short_description": lambda v: 0 < len(v) <= 60,
    "thumbnail": lambda v: v.startswith("https://") or (ROOT / v).is_file(),
}


def pinned(package: str, text: str | None = None) -> str | None:
    """The version requirements.txt (or `text`) pins a package to."""
    text = (ROOT / "requirements.txt").read_text() if text is None else text
    found = re.search(rf"^{re.escape(package)}==(\S+?)\s*(?:[;#]|$)", text, re.MULTILINE)
    return found[1] if found else None


def front_matter(readme: str) -> dict:
    """The fields between the first two lines of dashes."""
    parts = readme.split("---\n", 2)
    if len(parts) < 3 or parts[0]:
        raise ValueError("README.md does not begin with front matter.")
    return yaml.safe_load(parts[1])


def problems(fields: dict) -> list[str]:
    """What the Hub would stumble over, a sentence each."""
    found = [f"{name} is missing." for name in FIELDS if name not in fields]
    found += [f"{name} is no field known here." for name in fields if name not in FIELDS]
    for name, right in FIELDS.items():
        try:
            good = name not in fields or right(fields[name])
        except TypeError:
            good = False
        if not good:
            found.append(f"{name} is {fields[name]!r}, which does not fit.")
    unknown = set(fields.get("preload_from_hub") or ()) - set(fields.get("models") or ())
    return found + [f"preload_from_hub names {name}, which models does not." for name in sorted(unknown)]


def resolved() -> str:
    """requirements.txt with everything it needs, as pip would install it on ZeroGPU. Raises CalledProcessError."""
    command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version", ZERO_PYTHON]
    command += ["--python-platform", ZERO_PLATFORM, "requirements.txt"]
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def main() -> int:
    found = problems(front_matter((ROOT / "README.md").read_text()))
    if "--resolve" in sys.argv[1:]:
        try:
            everything = resolved()
        except subprocess.CalledProcessError as failure:
            found.append(f"requirements.txt does not resolve for Python {ZERO_PYTHON}: {failure.stderr.strip()}")
        else:
            if pinned("torch", everything) != ZERO_TORCH:
                found.append(f"torch resolves to {pinned('torch', everything)} for Python {ZERO_PYTHON}, not {ZERO_TORCH}.")
            sys.stdout.write(f"Python {ZERO_PYTHON}: {len(everything.split())} packages, torch {pinned('torch', everything)}\n")
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
