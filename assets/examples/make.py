"""Make the example clips of the page: scenes of the embedded model's world that it was not trained on, drawn for people.

    python assets/examples/make.py

Each is the clip of one number (`python -m training clip NUMBER FILE` writes it too, at the size the model reads), four
times as wide and high. The same numbers give the same clips.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # so that it runs from a checkout as it stands

from omnizip.evaluation.world import questions, render  # noqa: E402
from omnizip.evaluation.world import scene as world  # noqa: E402

SCALE = 4
CLIPS = {
    "bell.mp4": 1_500_000_156,
    "green-heart.mp4": 1_500_000_063,
    "whistle.mp4": 1_500_000_141,
    "stripes.mp4": 1_500_000_073,
    "music.mp4": 1_500_000_242,
    "two-hearts.mp4": 1_500_000_082,
}
HEAD = """# Sources of the example clips

All clips are made by `make.py` in this folder from drawn shapes and synthesised sound; nothing was recorded, and no third
party's material is in them. They carry the licence of the project. What happens in each is known, since it was drawn:

| file | number | picture | under everything | what happens |
|---|---|---|---|---|
"""


def main() -> None:
    """Write the clips and what happens in them."""
    lines = []
    for name, number in CLIPS.items():
        scene = world.scene(number)
        render.write_mp4(scene, HERE / name, SCALE)
        size = f"{scene.width * SCALE} x {scene.height * SCALE}, {scene.pattern}{', drifting' if scene.drift else ''}"
        lines.append(f"| `{name}` | {number} | {size} | {scene.ambient} | {questions.description(scene)} |\n")
    (HERE / "SOURCES.md").write_text(HEAD + "".join(lines))


if __name__ == "__main__":
    main()
