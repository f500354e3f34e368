"""Every sentence the page can show, and what a language's catalogue lacks of them.

    python tests/support/sentences.py          all of them, one a line, as JSON
    python tests/support/sentences.py zh       what assets/languages/zh.json lacks, and what it holds that nobody says any more

A key of a catalogue is an English sentence as the code has it, {name} standing for a value. What `zh` prints as missing can be pasted
into the catalogue; only the values are left to be written.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# Where sentences are written in place: errors, warnings about a clip, notes about a decision
IN_PLACE = ("omnizip/compressors", "omnizip/media", "omnizip/model", "omnizip/engine", "omnizip/report", "omnizip/replicas", "ui")
IN_PLACE_FILES = ("omnizip/assets.py", "omnizip/settings.py")
# Said to programs, to whoever starts the server or converts a checkpoint, or to a model; and catalogues of their own, read below
ELSEWHERE = {"words.py", "wording.py", "full_layout.py", "endpoints.py", "qwen2_5_omni.py"}
SENTENCE = re.compile(r"^(?:[A-Z{,].*[a-z]{2}.*[.}]|[a-z].*[.])$", re.DOTALL)
UNSAID = {"EXAMPLES", "PORT_TAKEN", "OVER_ANSWER", "TIMES"}  # names and reasons of programs; of the examples, the titles are read apart
LEAST_SPACES = 3  # of a sentence that is written in place

# What no rule below finds: words put together by a function, and those of gradio and its charts
TOGETHER = (
    "The chosen part of {name}",
    "{n} packet",
    "{n} packets",
    "{n} picture",
    "{n} pictures",
    "once",
    "twice",
    "{n} times",
    "{what} could not be decoded",
    "{what} had to be patched up",
    "{a} and {b}",
    "{a} or {b}",
    "A: {what}",
    "B: {what}",
    "{dtype} (weights in 4 bits)",
    "sound",
    "picture",
    "sound nor a clip's first step",
    "fewer frames (--max-frames {fewer})",
    "weights in 4 bits (--four-bit)",
    "a shorter part of the clip",
    "it has none",
    "it has {known}",
    "set HF_HOME to a folder on another disk",
    "install that package anew",
    "use --attention sdpa or install flash-attn anew",
    "the GPU's memory",
    "--four-bit, a smaller checkpoint, or more GPUs",
    "a smaller checkpoint, or --dtype bfloat16",
    "a newer NVIDIA driver",
    "NVIDIA driver {oldest} or newer",
)
GRADIO = (
    "Drop Video Here",
    "Click to Upload",
    "- or -",
    "Clear",
    "Drop a video file here to upload",
    "Upload file",
    "File upload",
    "Capture from camera",
    "Click to Access Webcam",
    "Reset video to initial value",
    "Trim video to selection",
    "undo",
    "Adjust volume",
    "High volume",
    "full-screen",
    "play-pause-replay-button",
    "Textbox",
    "Plot",
    "number input for {label}",
    "range slider for {label}",
    "Download plot as a PNG",
    "Box Select",
    "Lasso Select",
    "Error",
    "Info",
    "Warning",
)
# Names, and what is the same in every language
NAMES = {
    "OmniZip",
    "Glance",
    "OmniSIFT",
    "DASH",
    "DyCoke (V&A)",
    "VidCom2",
    "DTD (TimeChat-Online)",
    "EVS",
    "VisionZip",
    "FlashVID",
    "PruMerge",
    "OmniRefine",
    "OmniRoute",
    "FastV",
    "FastAV",
    "PyramidDrop",
    "SEATS",
    "istc",
    "dycoke",
    "visionzip",
    "{x} GFLOPs",
}


def sentences() -> dict[str, str]:
    """Every key a catalogue needs, with where it comes from."""
    found: dict[str, str] = {}
    for key, where in _collected():
        for piece in pieces(key):
            if piece not in NAMES and (key in TOGETHER or re.search("[A-Za-z]{2}", PLACE.sub("", piece))):
                found.setdefault(piece, where)
    return found


PLACE = re.compile(r"\{(\w+)\}")


def pieces(text: str) -> list[str]:
    """A text as the page's elements hold it: markup cut out, {name:.2f} and plotly's %{name:.2f} as {name}; parts of a line apart."""
    plain = re.sub(r"%?\{(\w+)(?:![rs])?(?::[^{}]*)?\}", r"{\1}", text)
    return [piece for part in re.split(r"<[^>]*>| · ", plain) if (piece := part.strip())]


def _collected() -> Iterator[tuple[str, str]]:
    from omnizip.report import wording
    from ui import words

    for module in (words, wording):
        for name, value in vars(module).items():
            if name.isupper() and name not in UNSAID:
                for text in _texts(value):
                    yield text, f"{module.__name__}.{name}"
    for title, _ in words.EXAMPLES.values():  # the questions stay: they are what the model is asked
        yield title, "ui.words.EXAMPLES"
    yield from _methods()
    files = [file for folder in IN_PLACE for file in sorted((ROOT / folder).rglob("*.py"))]
    for file in [*files, *(ROOT / name for name in IN_PLACE_FILES)]:
        if file.name not in ELSEWHERE:
            for text, line in in_place(file.read_text("utf-8")):
                yield text, f"{file.relative_to(ROOT)}:{line}"
    for text in (*TOGETHER, *GRADIO):
        yield text, "tests/support/sentences.py"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _texts(item)


def _methods() -> Iterator[tuple[str, str]]:
    from omnizip.compressors import COMPRESSORS

    for name, kind in COMPRESSORS.items():
        yield kind.label, f"method {name}"
        yield kind.summary, f"method {name}"
        for item in kind.options():
            for text in (item.label, item.help, *item.choices):
                yield text, f"option {name}.{item.name}"


def in_place(source: str) -> Iterator[tuple[str, int]]:
    """Sentences written in a program, with their lines: what reads like one, and the words that stand in for a value within one."""
    tree = ast.parse(source)
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):  # a log is no page
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value).lower().endswith("log"):
            skipped |= {id(argument) for argument in node.args}
    skipped |= {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Constant, ast.JoinedStr)) or id(node) in skipped:
            continue
        text = template(node)
        if text and SENTENCE.match(text) and PLACE.sub("", text).count(" ") >= LEAST_SPACES and "%s" not in text and "<" not in text:
            yield text, node.lineno
            for part in node.values if isinstance(node, ast.JoinedStr) else ():
                if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.IfExp):
                    for choice in (part.value.body, part.value.orelse):
                        if isinstance(choice, ast.Constant) and isinstance(choice.value, str) and " " in choice.value:
                            yield choice.value, node.lineno


def template(node: ast.Constant | ast.JoinedStr) -> str | None:
    """A string as it is written; what an f-string puts in becomes {name}, after the last name in the expression."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    out: list[str] = []
    taken: dict[str, str] = {}
    for part in node.values:
        if isinstance(part, ast.Constant):
            out.append(str(part.value))
        elif isinstance(part, ast.FormattedValue):
            expression = ast.unparse(part.value)
            if expression not in taken:
                words = [word for word in re.findall(r"[A-Za-z_]\w*", expression) if word not in {"self", "len", "int", "str", "bool"}]
                name = words[-1].strip("_") if words else "value"
                while name in taken.values():
                    name += "2"
                taken[expression] = name
            out.append(f"{{{taken[expression]}}}")
    return "".join(out)


def compared(code: str) -> tuple[list[str], list[str]]:
    """Keys that a language's catalogue lacks, and those that nothing says any more."""
    held = json.loads((ROOT / "assets" / "languages" / f"{code}.json").read_text("utf-8"))["sentences"]
    wanted = sentences()
    return [key for key in wanted if key not in held], [key for key in held if key not in wanted]


def main() -> None:
    if len(sys.argv) < 2:
        sys.stdout.write(json.dumps(sentences(), ensure_ascii=False, indent=1) + "\n")
        return
    missing, stale = compared(sys.argv[1])
    where = sentences()
    for key in missing:
        sys.stdout.write(f'    {json.dumps(key, ensure_ascii=False)}: "",  <- {where[key]}\n')
    for key in stale:
        sys.stdout.write(f"stale: {json.dumps(key, ensure_ascii=False)}\n")
    sys.stdout.write(f"{len(missing)} missing, {len(stale)} stale in assets/languages/{sys.argv[1]}.json\n")
    sys.exit(1 if missing or stale else 0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
