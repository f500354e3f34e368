"""Several processes hold one model: averaged gradients, one state, a pause that all of them take."""

import json

import pytest
import torch
from torch import distributed

from training import __main__ as command
from training.together import ALONE, ProcessShare, start_processes


def meet(folder, share):
    """One gradient of each process, and the first one's wish to stop."""
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    unused = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.full((2, 3), 1.0 + 2.0 * share.rank)
    stop = share.average([weight, unused], stop=share.rank == 0)
    again = share.average([weight], stop=False)
    (folder / f"{share.rank}.json").write_text(json.dumps([weight.grad.tolist(), unused.grad is None, stop, again]))
    share.wait()


@pytest.mark.slow
def test_gradients_are_averaged_and_one_wish_stops_all(tmp_path):
    with start_processes(2, tmp_path, meet, (tmp_path,)) as share:
        assert share == ProcessShare(0, 2)
        meet(tmp_path, share)
    assert not distributed.is_initialized()
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == [[[2.0] * 3] * 2, True, True, False]
    assert not (tmp_path / "meeting").exists()


def test_one_process_needs_nobody(tmp_path):
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    with start_processes(1, tmp_path, meet) as share:
        assert share is ALONE
        assert share.average([weight], True) and not share.average([weight])
        share.wait()
    assert weight.grad.tolist() == [1.0, 1.0]


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    flags = ["train", "--work", str(tmp_path), "--processes", "2", "--workers", "0", "--scale", "0.003", "--minutes", "0"]
    for _ in range(3):  # a step each time, then a pause
        assert command.main(flags) == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert steps == [1, 2, 1] and (state["stage"], state["step"]) == (1, 1)
