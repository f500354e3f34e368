"""Teaching the encoders alone: which shape, colour, place and movement a video token shows, which sound an audio token holds.

Real omnimodal models start from trained encoders too. The labels are read off linear heads that are thrown away afterwards;
what stays is an encoder whose tokens say what they show.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from omnizip.evaluation.world import render
from omnizip.evaluation.world import scene as world

from . import features
from .model import Student

MOST = 8  # shapes in one picture


def video_batch(seed: int, steps: int, filmed: float = 0.0) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Single steps: frames (2, H, W, 3) each, and joined labels.

    One in three is a step of a training scene. The rest are crowded with shapes that do not touch, which teaches shapes
    several times faster for the same work.

    Args:
        filmed: share of them that are filmed.
    """
    rng = np.random.default_rng(seed)
    pictures, labels = [], []
    for number in range(steps):
        scene = world.scene(int(rng.integers(world.TRAINING_SEEDS.stop)), 8.0, world.SMALL if rng.random() < 0.3 else None)
        if filmed and rng.random() < filmed:
            scene = world.scene(scene.seed, 8.0, (scene.width, scene.height), footage="filmed")
        frames, found = _crowd(scene, rng) if rng.random() < 2 / 3 else _moment(scene, rng)
        pictures.append(features.degrade(frames, rng) if rng.random() < 0.6 else frames)
        found["thing"] = np.where(found["thing"] == features.IGNORE, features.IGNORE, found["thing"] + number * MOST)
        labels.append(found)
    return pictures, {name: np.concatenate([part[name] for part in labels]) for name in labels[0]}


def _moment(scene: world.Scene, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A step of a scene, nine in ten with a shape, if there is one."""
    candidates = [k for k in range(8) if scene.actor_at(k) or scene.actor_at(k + 0.5)]
    step = int(rng.choice(candidates)) if candidates and rng.random() < 0.9 else int(rng.integers(8))
    return render.frames(scene, np.array([step, step + 0.5])), features.video_labels(scene, step)


def _crowd(scene: world.Scene, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The scene's stage with as many shapes as fit; some are there in one of the two frames only."""
    width, height = scene.width, scene.height
    side = min(width, height)
    shown: dict[world.Actor, tuple[float, ...]] = {}
    for _ in range(40):
        drawn = world.draw_actor(rng, 0.0, 1.0, set())
        actor = replace(drawn, x=float(rng.uniform(0.12, 0.88)), y=float(rng.uniform(0.18, 0.82)))
        at = np.array(actor.centre(0.25, width, height))
        apart = [np.hypot(*(at - o.centre(0.25, width, height))) > (actor.radius + o.radius + 0.04) * side for o in shown]
        if all(apart) and len(shown) < MOST:
            shown[actor] = (0.0, 0.5) if rng.random() < 0.85 else (float(rng.choice((0.0, 0.5))),)
    shades = 1 + 0.06 * rng.uniform(-1, 1, (MOST, 3))
    frames = []
    for time_s in (0.0, 0.5):
        picture = render.backdrop(scene, time_s)
        for (actor, times), shade in zip(shown.items(), shades, strict=False):
            if time_s in times:
                picture = render.paint(picture, actor, time_s, shade, shaken=scene.shaken(time_s))
        frames.append(render.photograph(picture, rng))
    return np.stack(frames), features.token_labels(shown, width, height, None if scene.camera else scene.pattern, scene.shaken)


def audio_batch(seed: int, clips: int) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Waveforms of random training scenes of 8 s and the sound of each of their audio tokens."""
    rng = np.random.default_rng(seed)
    waves, labels = [], []
    for _ in range(clips):
        scene = world.scene(int(rng.integers(world.TRAINING_SEEDS.stop)), 8.0)
        waves.append(render.waveform(scene) * float(rng.uniform(0.4, 1.0)))
        labels.append(features.moment_labels(scene)["sound"])
    return waves, {"sound": np.concatenate(labels)}


def video_features(student: Student, pictures: list[np.ndarray]) -> Tensor:
    """(video tokens, width) of steps of any sizes, through the stock vision encoder.

    Args:
        pictures: (2 * steps, height, width, 3) uint8 each, sides multiples of 16.
    """
    layout, device = student.layout, student.thinker.device
    grids = [layout.grid(*p.shape[:3], max_tokens=p.shape[1] * p.shape[2]) for p in pictures]
    pixels = torch.cat([layout.patches(p, *grid[1:]) for p, grid in zip(pictures, grids, strict=True)])
    in_patches = torch.tensor([(steps, rows * layout.merge, columns * layout.merge) for steps, rows, columns in grids])
    return torch.cat(list(student.thinker.get_video_features(pixels.to(device), in_patches.to(device)).pooler_output))


def audio_features(student: Student, waves: list[np.ndarray]) -> Tensor:
    """(audio tokens, width) of waveforms of one length, through the stock audio encoder."""
    mel = torch.stack([student.layout.log_mel(w) for w in waves]).to(student.thinker.device)
    everything = torch.ones(mel.shape[0], mel.shape[2], dtype=torch.long, device=mel.device)
    return student.thinker.get_audio_features(mel, everything).last_hidden_state


class Heads(nn.ModuleDict):
    """One linear reader per label; trained along, thrown away."""

    def __init__(self, width: int, labels: dict[str, int]) -> None:
        super().__init__({name: nn.Linear(width, count) for name, count in labels.items()})

    def losses(self, tokens: Tensor, truth: dict[str, np.ndarray | Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy over labels, and the share of tokens that hold something and are read right.

        With `truth["thing"]`, the number of the shape a token shows, the tokens of one shape must also name it together: an
        edge alone does not tell a star from a square, so without this shapes are learned last or never.
        """
        total, right = tokens.new_zeros(()), {}
        for name, head in self.items():
            target = torch.as_tensor(truth[name]).reshape(-1).to(tokens.device)
            logits = head(tokens)
            weight, nothing = logits.new_ones(logits.shape[-1]), features.IGNORE
            if name != "pattern":
                nothing = logits.shape[-1] - 1
                weight[nothing] = 0.1  # most tokens hold nothing; without this that is all the encoder learns to say
            total = total + nn.functional.cross_entropy(logits, target, weight, ignore_index=features.IGNORE)
            something = (target != features.IGNORE) & (target != nothing)
            right[name] = float((logits.argmax(-1) == target)[something].float().mean())
            if name == "shape" and "thing" in truth:
                thing = torch.as_tensor(truth["thing"]).to(tokens.device)[something]
                named, members = thing.unique(return_inverse=True)
                together = logits.new_zeros(named.numel(), logits.shape[-1]).index_add(0, members, logits[something])
                answer = target.new_zeros(named.numel()).index_copy(0, members, target[something])
                total = total + nn.functional.cross_entropy(together, answer)
                right["shape together"] = float((together.argmax(-1) == answer).float().mean())
        return total / len(self), right


def rescale(layer: nn.Linear, tokens: Tensor, to: float) -> None:
    """Scale a linear layer so that the tokens it made get this root mean square; what they say stays the same."""
    with torch.no_grad():
        factor = to / tokens.float().pow(2).mean().sqrt()
        layer.weight.mul_(factor)
        layer.bias.mul_(factor)
