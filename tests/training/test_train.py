"""A few steps lower the loss, and a run that was stopped goes on as if it had not been."""

import json

import numpy as np
import pytest
import torch

from omnizip.evaluation.world import questions, scene
from training import __main__ as command
from training import model, packed_batch, pretrain, train
from training.bank import Bank
from training.train import CurriculumStage, Training

STAGES = (
    CurriculumStage("look", 3, 4, 1e-3, 1e-4),
    CurriculumStage("listen", 3, 1, 1e-3, 1e-4),
    CurriculumStage("two seconds", 16, 4, 2e-3, 1e-3, (2.0,), (scene.SMALL,), 4),
)


def run(folder, stages=STAGES, until=float("inf")):
    seen = []
    training = Training(folder, workers=0, stages=stages)
    training.run(lambda stage, step, numbers: seen.append((stage.name, step, numbers["loss"])), until)
    return training, seen


@pytest.mark.slow
def test_a_few_steps_lower_the_loss(tmp_path):
    training, seen = run(tmp_path)
    assert [step for name, step, _ in seen if name == "two seconds"] == list(range(1, 17))
    losses = [loss for name, _, loss in seen if name == "two seconds"]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:2]), losses
    assert not list(tmp_path.glob("bank-*"))
    tokens = pretrain.audio_features(training.student, [np.zeros(32000, np.float32)])
    assert 0.05 < tokens.pow(2).mean().sqrt() < 1  # the size of words


def test_the_audio_encoder_can_learn_a_clip_by_heart():
    torch.manual_seed(0)
    student = model.Student.fresh()
    heads = pretrain.Heads(256, {"sound": 9})
    waves, truth = pretrain.audio_batch(1, 1)
    optimizer = torch.optim.AdamW([*heads.parameters(), *student.parts.audio.parameters()], 1e-3)
    losses = []
    for _ in range(25):
        loss, _ = heads.losses(pretrain.audio_features(student, waves), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(tmp_path, monkeypatch):
    stages = (CurriculumStage("listen", 3, 1, 1e-3, 1e-4), CurriculumStage("two seconds", 3, 2, 1e-3, 1e-3, (2.0,), (scene.SMALL,), 3))
    straight, _ = run(tmp_path / "straight", stages)
    ticks = iter(range(1000))
    monkeypatch.setattr(train, "monotonic", lambda: next(ticks))
    seen = []
    for _ in range(20):
        ticks = iter(range(1000))
        stopped, part = run(tmp_path / "stopped", stages, until=5)
        seen += [(name, step) for name, step, _ in part]
        if stopped.stage == len(stages):
            break
    assert seen == [(s.name, n) for s in stages for n in (1, 2, 3)]
    for a, b in zip(straight.thinker.parameters(), stopped.thinker.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_a_run_may_begin_with_a_checkpoint(tmp_path):
    torch.manual_seed(1)
    student = model.Student.fresh()
    model.save(student.thinker, student.words, tmp_path / "checkpoint")
    flags = [
        "--work",
        str(tmp_path / "work"),
        "--start",
        str(tmp_path / "checkpoint"),
        "--scale",
        "0.003",
        "--minutes",
        "0",
        "--workers",
        "0",
    ]
    assert command.main(["train", *flags]) == 0
    state = torch.load(tmp_path / "work" / "state.pt", weights_only=True)
    assert (state["stage"], state["step"]) == (len(train.CURRICULUM) - 1, 1)
    name = next(name for name in state["model"] if name.endswith("visual.merger.mlp.2.weight"))  # the encoders rest
    assert torch.equal(state["model"][name], student.thinker.state_dict()[name].bfloat16().float())


def test_an_answer_counts_as_the_root_of_its_length():
    owner = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, -1]])
    wanted = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]]).bool()
    packed = packed_batch.Packed(None, None, None, None, owner, None)
    expected = [2**-0.5] * 2 + [3**-0.5] * 3 + [1.0] + [0.5] * 4
    assert train._answer_weights(packed, wanted).tolist() == pytest.approx(expected)


def test_cross_modal_questions_and_the_description_come_often():
    rng = np.random.default_rng(0)
    kinds = [q.kind for seed in range(60) for q in train.choose(scene.scene(seed), rng, 18)]
    assert kinds.count("description") > 50
    assert sum(k in questions.CROSS_MODAL for k in kinds) > 270
    assert set(kinds) == set(questions.KINDS)


def test_commands(tmp_path, capsys):
    assert command.main(["clip", "1000000001", str(tmp_path / "clip.mp4"), "--seconds", "4"]) == 0
    asked = json.loads((tmp_path / "clip.json").read_text())
    assert {"kind", "text", "answer"} == set(asked[0])
    assert command.main(["clip", "-5", str(tmp_path / "clip.mp4")]) == 2
    assert "ranges" in capsys.readouterr().err
    torch.manual_seed(0)
    student = model.Student.fresh()
    model.save(student.thinker, student.words, tmp_path / "nano")
    capsys.readouterr()
    assert command.main(["check", str(tmp_path / "nano"), "--clips", "1", "--seconds", "2", "--json", str(tmp_path / "c.json")]) == 0
    assert "description" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())["description"]["asked"] == 1


def test_tokens_of_one_shape_name_it_together():
    torch.manual_seed(0)
    heads = pretrain.Heads(4, {"shape": 9})
    tokens = torch.randn(6, 4)
    truth = {"shape": np.array([2, 2, 8, 5, -100, 8]), "thing": np.array([0, 0, -100, 1, -100, -100])}
    _, right = heads.losses(tokens, truth)
    logits = heads["shape"](tokens)
    expected = [logits[:2].sum(0).argmax() == 2, logits[3].argmax() == 5]
    assert right["shape together"] == pytest.approx(sum(map(float, expected)) / 2)


@pytest.mark.slow
def test_a_checkpoint_is_trained_on_from_a_named_stage_with_filmed_and_longer_clips(tmp_path):
    stages = (
        CurriculumStage("look", 2, 3, 1e-3, 1e-4),
        CurriculumStage("look at filmed pictures", 2, 3, 1e-3, 1e-4, filmed=1.0),
        CurriculumStage("longer", 3, 2, 1e-3, 1e-3, (2.0, 4.0), (scene.SMALL,), 3, filmed=0.5),
    )
    torch.manual_seed(0)
    fresh = model.Student.fresh()
    start = model.save(fresh.thinker, fresh.words, tmp_path / "start")
    training = Training(tmp_path / "run", stages=stages, workers=0)
    with pytest.raises(ValueError, match="stage called 'none'"):
        training.start_from(start, "none")
    training.start_from(start, "look at filmed pictures")
    first = training.student.parts.vision.patch_embed.proj.weight.clone()
    heard = []
    training.run(lambda stage, step, numbers: heard.append((stage.name, step)))
    assert heard == [("look at filmed pictures", 1), ("look at filmed pictures", 2), ("longer", 1), ("longer", 2), ("longer", 3)]
    assert not torch.equal(first, training.student.parts.vision.patch_embed.proj.weight)


@pytest.mark.slow
def test_batches_take_turns_in_length_and_frame_size_and_a_share_of_them_is_filmed(tmp_path):
    student = model.Student.fresh()
    weights = tmp_path / "weights.pt"
    torch.save(student.thinker.state_dict(), weights)
    sizes = (scene.SMALL, (128, 128))
    made = Bank(tmp_path / "bank", weights, clips=4, durations_s=(2.0, 4.0), sizes=sizes, first_seed=0, filmed=0.5, workers=0)
    batches = [made.read(number) for number in range(4)]
    assert {(batch.duration_s, batch.size) for batch in batches} == {(d, s) for d in (2.0, 4.0) for s in sizes}
    scenes = [found for batch in batches for found in batch.scenes]
    assert 5 <= sum(found.footage == "filmed" for found in scenes) <= 11
