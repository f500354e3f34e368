"""What `python -m training train` does; a module of its own, since other processes start in it by name."""

from __future__ import annotations

import argparse
import json
from time import monotonic

import torch
from tqdm import tqdm

from . import model
from .together import ProcessShare, start_processes
from .train import Training


def train(chosen: argparse.Namespace) -> None:
    """Train as the flags say, in one process or several, and write the checkpoint at the end or at a pause."""
    chosen.work.mkdir(parents=True, exist_ok=True)
    with start_processes(chosen.processes, chosen.work, _train_here, (chosen,)) as share:
        training = _train_here(chosen, share)
    if chosen.out:
        model.save(training.thinker.cpu(), training.student.words, chosen.out)


def _train_here(chosen: argparse.Namespace, share: ProcessShare) -> Training:
    """Train in this process; the first of several shows progress."""
    torch.set_num_threads(chosen.threads)
    training = Training(chosen.work, seed=chosen.seed, scale=chosen.scale, device=chosen.device, workers=chosen.workers, share=share)
    if chosen.start and not (chosen.work / "state.pt").exists():
        training.start_from(chosen.start, chosen.stage)
    share.wait()  # until all have read the state
    if share.rank:
        training.run()
        return training
    bar = tqdm(total=sum(s.steps for s in training.stages), smoothing=0.05, dynamic_ncols=True)
    bar.update(sum(s.steps for s in training.stages[: training.stage]) + training.step)
    with (chosen.work / "log.jsonl").open("a") as log:

        def tell(stage, step: int, numbers: dict[str, float]) -> None:
            bar.set_description(stage.name)
            bar.set_postfix({name: f"{value:.2f}" for name, value in numbers.items()}, refresh=False)
            bar.update()
            log.write(json.dumps({"stage": stage.name, "step": step, **{name: round(value, 4) for name, value in numbers.items()}}) + "\n")
            log.flush()

        training.run(tell, monotonic() + chosen.minutes * 60)
    bar.close()
    return training
