"""A few steps lower the selector's loss, a stopped run goes on as if it had not been, and what is written is what `omnisift` uses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from streams import make_stream

from omnizip import AudioSelector, OmniSIFT
from training import __main__ as command
from training import model, train_selector
from training.train_selector import SelectorTraining, audio_scores, kept_video


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(0)
    return model.Student.fresh()


def training(student, folder):
    return SelectorTraining(student, folder, clips=2, duration_s=2.0, questions=3)


@pytest.mark.slow
def test_a_few_steps_lower_the_loss(student, tmp_path, monkeypatch):
    """One batch again and again; the model is frozen, so only which audio passes can lower its loss."""
    run = training(student, tmp_path)
    batch = run.batch(0)
    monkeypatch.setattr(run, "batch", lambda step: batch)
    before = {name: value.clone() for name, value in student.thinker.state_dict().items()}
    with torch.no_grad():
        first = float(sum(run.loss(*batch)))
    run.run(12)
    with torch.no_grad():
        last = float(sum(run.loss(*batch)))
    assert last < first
    assert all(torch.equal(value, before[name]) for name, value in student.thinker.state_dict().items())


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(student, tmp_path):
    seen = []
    training(student, tmp_path / "a").run(3, lambda step, loss: seen.append(loss))
    again = []
    training(student, tmp_path / "b").run(3, lambda step, loss: again.append(loss), until=0)
    assert len(again) == 1
    training(student, tmp_path / "b").run(3, lambda step, loss: again.append(loss))
    assert again == pytest.approx(seen, abs=1e-5)


def test_video_is_chosen_and_audio_scored_as_the_method_does_it(student, tmp_path):
    """The same clip as a stream: what the method keeps with this selector follows from these scores."""
    run = training(student, tmp_path)
    width = student.thinker.config.text_config.hidden_size
    stream = make_stream(steps=4, rows=3, columns=4, audio=100, width=width)
    batch = run.batch(0)[0]
    batch = replace(batch, duration_s=4.0, video=stream.embeds[stream.video_index][None], audio=stream.embeds[stream.audio_index][None])
    kept = kept_video(batch.video, 12, 0.7)
    scores = audio_scores(run.selector, batch, kept, 12)[0]
    result = OmniSIFT(rho_video=0.7, rho_audio=0.6, selector=run.selector).compress(stream)
    assert torch.equal(result.keep[stream.video_index], kept[0])
    for window in range(2):
        best = scores[50 * window : 50 * window + 50].topk(20).indices + 50 * window
        assert set(result.keep[stream.audio_index].nonzero().flatten().tolist()) >= set(best.tolist())
    assert int(result.keep[stream.audio_index].sum()) == 40


def test_the_command_writes_the_selector_beside_the_checkpoint(student, tmp_path, monkeypatch):
    folder = model.save(student.thinker, student.words, tmp_path / "model")
    monkeypatch.setattr(train_selector, "SelectorTraining", lambda made, work, **more: training(made, work))
    assert command.main(["train-selector", str(folder), "--work", str(tmp_path / "work"), "--steps", "1"]) == 0
    selector = AudioSelector.from_checkpoint(folder)
    assert selector is not None and selector.a_proj.weight.shape == (train_selector.HIDDEN, 256)
    (line,) = (tmp_path / "work" / "selector.jsonl").read_text().splitlines()
    assert np.isfinite(json.loads(line)["loss"])
