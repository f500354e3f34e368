"""Which clips and questions are drawn, what the controls take away, and the truth that S_a is compared with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnizip.evaluation import dataset, density
from omnizip.evaluation.world import scene as world
from omnizip.evaluation.world.questions import DESCRIPTION, about
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
from training import model
from training.model import Student


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    torch.manual_seed(0)
    student = Student.fresh()
    return Settings(model=str(model.save(student.thinker, student.words, tmp_path_factory.mktemp("nano"))), device="cpu")


@pytest.fixture(scope="module")
def product(settings):
    return QwenOmni.load(settings)


@pytest.fixture(scope="module")
def pair(product, settings, tmp_path_factory):
    """Two clips of one length, read back from files."""
    choice, folder = dataset.Choice(seconds=4.0), tmp_path_factory.mktemp("clips")
    return [dataset.encode(product, scene, folder, settings) for scene in (choice.scene(0), choice.partner(2))]


def test_clips_are_held_out_and_of_the_standard_size():
    choice = dataset.Choice()
    for number in range(30):
        scene = choice.scene(number)
        assert scene.seed in world.HELD_OUT_SEEDS
        assert scene.duration_s == 8
        assert 64 <= scene.width * scene.height / 256 <= 72
        assert choice.partner(number).seed not in {choice.scene(n).seed for n in range(100)}
    assert dataset.Choice(ambient="hum", pattern="dotted").scene(3).ambient == "hum"


@pytest.mark.parametrize("per_clip", [5, 10])
def test_every_cross_modal_kind_that_a_scene_supports_is_asked(per_clip):
    choice = dataset.Choice(per_clip=per_clip)
    for number in range(40):
        asked = [q.kind for q in choice.questions(number)]
        supported = {q.kind for q in about(choice.scene(number), np.random.default_rng(0), dataset.GROUPS["cross-modal"])}
        assert supported <= set(asked)
        assert len(asked) <= per_clip + 1 and asked.count(DESCRIPTION) == 1
        assert set(asked) <= {*dataset.LISTED, DESCRIPTION}
        others = {q.kind for q in about(choice.scene(number), np.random.default_rng(0), dataset.LISTED)}
        assert len(set(asked)) - 1 == min(per_clip, len(others)), "no kind is asked twice before every kind was asked once"


def test_questions_are_the_same_every_time_and_right():
    choice = dataset.Choice(describe_every=3, auxiliary=True)
    for number in range(6):
        questions = choice.questions(number)
        assert questions == choice.questions(number)
        assert any(q.kind == DESCRIPTION for q in questions) == (number % 3 == 0)
        assert [q.text for q in questions] != [q.text for q in dataset.Choice(seed=1, auxiliary=True).questions(number)]
        plain = dataset.Choice(describe_every=3).questions(number)
        assert questions[: len(plain)] == plain, "questions about time come besides"
        kinds = [q.kind for q in questions[len(plain) :]]
        assert kinds and len(set(kinds)) == len(kinds) and set(kinds) <= set(dataset.AUXILIARY)
    assert not any(q.kind == DESCRIPTION for q in dataset.Choice(describe_every=0).questions(0))


def test_a_blanked_clip_has_nothing_left_but_its_length(product, pair):
    blank = dataset.blank(product, pair[0])
    assert blank.clip.frames.shape == pair[0].clip.frames.shape and not blank.clip.frames.any()
    assert blank.clip.waveform.shape == pair[0].clip.waveform.shape and not blank.clip.waveform.any()
    assert blank.saliency_kind == "uniform"
    assert torch.equal(blank.video, dataset.blank(product, pair[0]).video)
    steps = blank.video.view(blank.grid[0], -1)
    assert torch.allclose(steps, steps[:1].expand_as(steps), atol=1e-5), "every black step looks alike"
    assert not torch.equal(blank.video, pair[0].video) and not torch.equal(blank.audio, pair[0].audio)


def test_a_halved_picture_has_a_quarter_of_the_tokens_and_the_same_sound(product, pair):
    whole, half = pair[0], dataset.halve(product, pair[0])
    (steps, rows, columns), (height, width) = whole.grid, whole.clip.frames.shape[1:3]
    assert half.grid == (steps, (rows + 1) // 2, (columns + 1) // 2)
    assert torch.equal(half.audio, whole.audio) and half.clip.frames.shape[1:3] == (height // 2, width // 2)
    square = whole.clip.frames[3, 10:12, 20:22].astype(float).mean((0, 1))
    assert np.abs(half.clip.frames[3, 5, 10] - square).max() <= 0.5


def test_a_mixed_clip_is_what_one_file_with_both_would_be(product, pair):
    mixed = dataset.mix(*pair)
    whole = product.encode(replace(pair[0].clip, waveform=pair[1].clip.waveform, silent=pair[1].clip.silent))
    assert whole.saliency_kind == "attention"
    assert torch.equal(mixed.video, whole.video) and torch.equal(mixed.audio, whole.audio)
    assert torch.equal(mixed.saliency, whole.saliency) and mixed.grid == whole.grid


def test_priors_and_what_one_sense_leaves_open():
    assert dataset.prior(["red", "red", "blue", "green"]) == 0.5
    moments = tuple(
        world.Moment(
            world.Actor(shape, colour, start, start + 1.5, 0.5, 0.5, 0.2, "still", 0.0, 0.0),
            world.SoundEvent(sound, start, start + 1, 0.5) if sound else None,
            start,
            start + 1.5,
        )
        for start, colour, shape, sound in ((0.0, "red", "star", "bell"), (2.0, "blue", "star", "bell"), (4.0, "red", "ring", None))
    )
    scene = world.Scene(0, 8.0, 128, 128, "plain", (60.0, 60.0, 60.0), 0.0, "silence", 0.0, moments)
    seen = {kind: dataset.candidates(scene, kind, heard=False) for kind in dataset.GROUPS["cross-modal"]}
    assert seen == {"colour at sound": 2, "shape at sound": 2, "seen at sound": 4, "sound at shape": None}
    assert dataset.candidates(scene, "sound at shape", heard=True) == 2  # the bell, or none
    assert dataset.candidates(scene, "colour at sound", heard=True) is None


def test_density_is_the_share_of_a_window_in_which_something_happens():
    actors = (
        world.Actor("star", "red", 0.0, 1.5, 0.5, 0.5, 0.2, "still", 0.0, 0.0),
        world.Actor("ring", "blue", 3.0, 5.0, 0.5, 0.5, 0.2, "left", 0.1, 0.0),
    )
    sounds = (world.SoundEvent("bell", 0.25, 1.0, 0.5), world.SoundEvent("drum", 3.5, 4.5, 0.5))
    moments = tuple(world.Moment(a, s, a.start_s, a.end_s) for a, s in zip(actors, sounds, strict=True))
    scene = world.Scene(0, 7.0, 128, 128, "plain", (60.0, 60.0, 60.0), 0.0, "silence", 0.0, moments)
    found = density.densities(scene, 4)
    assert found["sound"] == pytest.approx([0.375, 0.25, 0.25, 0.0], abs=0.006)
    assert found["picture"] == pytest.approx([0.25, 0.5, 0.75, 0.0], abs=0.006)


def test_guidance_names_the_clips_on_which_it_is_worst():
    def record(seed, guide, ambient):
        series = {"sound": [0.1, 0.2, 0.3, 0.4], "picture": [0.5, 0.5, 0.5, 0.5]}
        return {"seed": seed, "seconds": 8.0, "ambient": ambient, "pattern": "plain", "density": {**series, "guidance": {"0.35": guide}}}

    good, bad, flat = [0.2, 0.4, 0.6, 0.8], [0.8, 0.6, 0.4, 0.2], [0.5] * 4
    records = [record(1, good, "hum"), record(2, bad, "hiss"), record(3, flat, "hum"), record(4, [0.2, None, 0.6, 0.1], "hum")]
    found = density.summarise(records)
    assert [case["seed"] for case in found["worst"]] == [2, 4, 1]
    everything, hiss, hum = found["rows"][:3]
    assert (everything["group"], hiss["group"], hum["group"]) == ("all", "ambient: hiss", "ambient: hum")
    assert everything["sound spearman"]["n"] == 3 and hiss["sound spearman"]["mean"] == pytest.approx(-1)
    assert everything["sound spearman"]["mean"] == pytest.approx((1 - 1 - 0.5) / 3)
    assert everything["picture spearman"] == {"n": 0, "mean": None, "ci95": None}


def test_clips_may_begin_at_seeds_that_no_tuning_has_seen_and_be_filmed():
    choice = dataset.Choice(clips_from=world.REPORT_SEEDS.start, footage="filmed")
    assert [choice.scene(number).seed for number in range(3)] == [2_000_000_000, 2_000_000_001, 2_000_000_002]
    assert choice.partner(0).seed in world.REPORT_SEEDS and choice.scene(0).footage == "filmed"
    assert dataset.Choice().scene(0).seed == world.HELD_OUT_SEEDS.start and dataset.Choice().scene(0).footage == "drawn"
