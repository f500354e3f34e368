"""python -m training train | check | clip | train-selector: train the embedded model, measure it, write a clip, train a selector."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from omnizip.errors import OmniZipError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train, or go on with a run that was stopped")
    train.add_argument("--work", type=Path, default=Path("build/nano"), help="folder of the run's state (default: build/nano)")
    train.add_argument("--out", type=Path, help="folder the checkpoint is written to when training ends or pauses")
    train.add_argument("--start", type=Path, help="checkpoint whose weights a new run begins with")
    train.add_argument("--stage", help="name of the stage that a run with --start begins with (default: the last)")
    train.add_argument("--seed", type=int, default=0, help="of weights and batches (default: 0)")
    train.add_argument("--scale", type=float, default=1.0, help="factor on the number of steps (default: 1)")
    train.add_argument("--minutes", type=float, default=math.inf, help="pause after this long; the same command goes on")
    train.add_argument("--threads", type=int, default=1, help="threads of the training process (default: 1)")
    train.add_argument("--processes", type=int, default=1, help="training processes that share each batch (default: 1; one a core)")
    train.add_argument("--workers", type=int, default=1, help="processes that render and encode clips, 0 for none (default: 1)")
    train.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    check = commands.add_parser("check", help="accuracy per kind of question on held-out clips, full tokens, word for word")
    check.add_argument("checkpoint", type=Path, help="folder of the model")
    check.add_argument("--clips", type=int, default=48, help="number of clips (default: 48)")
    check.add_argument("--seconds", type=float, default=8.0, help="length of each clip (default: 8)")
    check.add_argument("--small", action="store_true", help="frames of 96 pixels, as in the first stages of training, not 128")
    check.add_argument("--files", action="store_true", help="write each clip as .mp4 and read it back as a person's file is read")
    check.add_argument("--paraphrases", action="store_true", help="ask in words that training does not know")
    check.add_argument("--json", type=Path, help="write right and asked per kind there")
    clip = commands.add_parser("clip", help="write one clip of the world as .mp4, and its questions and answers as .json")
    clip.add_argument("number", type=int, help="number of the clip; from 1000000000 on it is held out of training")
    clip.add_argument("file", type=Path, help="the .mp4 to write; the .json lies beside it")
    clip.add_argument("--seconds", type=float, default=8.0, help="length of the clip (default: 8)")
    selector = commands.add_parser("train-selector", help="train OmniSIFT's audio selector for a checkpoint that stays as it is")
    selector.add_argument("checkpoint", type=Path, help="folder of the model; selector.safetensors is written into it")
    selector.add_argument("--work", type=Path, default=Path("build/selector"), help="folder of the run's state (default: build/selector)")
    selector.add_argument("--steps", type=int, default=300, help="in all (default: 300)")
    selector.add_argument("--clips", type=int, default=4, help="clips a step (default: 4)")
    selector.add_argument("--seed", type=int, default=0, help="of weights and batches (default: 0)")
    selector.add_argument("--minutes", type=float, default=math.inf, help="pause after this long; the same command goes on")
    chosen = parser.parse_args(arguments)
    try:
        return {"train": _train, "check": _check, "clip": _clip, "train-selector": _train_selector}[chosen.command](chosen)
    except (OmniZipError, OSError, ValueError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2


def _train(chosen: argparse.Namespace) -> int:
    from .train_command import train

    train(chosen)
    return 0


def _train_selector(chosen: argparse.Namespace) -> int:
    from .train_selector import train_selector

    train_selector(chosen)
    return 0


def _check(chosen: argparse.Namespace) -> int:
    import torch
    from tqdm import tqdm

    from omnizip.evaluation.world import scene as world

    from .check import validate
    from .model import Student

    torch.set_num_threads(1)
    student = Student.load(chosen.checkpoint)
    with tqdm(total=chosen.clips, unit="clip") as bar:
        found = validate(
            student,
            clips=chosen.clips,
            duration_s=chosen.seconds,
            size=world.SMALL if chosen.small else (128, 128),
            files=chosen.files,
            paraphrased=chosen.paraphrases,
            on_clip=bar.update,
        )
    sys.stdout.writelines(f"{kind:18} {right / asked:.3f}  ({right} of {asked})\n" for kind, (right, asked) in found.items())
    if chosen.json:
        chosen.json.write_text(json.dumps({kind: {"right": r, "asked": n} for kind, (r, n) in found.items()}, indent=2) + "\n")
    return 0


def _clip(chosen: argparse.Namespace) -> int:
    import numpy as np

    from omnizip.evaluation.world import questions, render
    from omnizip.evaluation.world import scene as world

    scene = world.scene(chosen.number, chosen.seconds)
    render.write_mp4(scene, chosen.file)
    asked = [{"kind": q.kind, "text": q.text, "answer": q.answer} for q in questions.about(scene, np.random.default_rng(chosen.number))]
    chosen.file.with_suffix(".json").write_text(json.dumps(asked, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
