"""What somebody asked a checkpoint about the first example is the first look of that checkpoint, and of nothing else."""

import dataclasses
import os
from threading import Event as Flag

import pytest
import tiny
import torch

from omnizip.engine import Engine
from omnizip.model.fingerprint import weights_digest
from omnizip.settings import Settings
from ui import first_look, handlers
from ui.examples import examples_of
from ui.kept_looks import MOST, KeptLooks
from ui.model_host import ModelHost


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("models") / "tiny", seed=1)


@pytest.fixture(scope="module")
def host(folder):
    return ModelHost.of(Engine.open(Settings(model=folder, device="cpu", max_new_tokens=4, max_frames=4)))


def asked(host, question=None, retention=first_look.RETENTION, path=None):
    """The conversation that Compare ends with."""
    example = examples_of(host.settings)[0]
    options = first_look._options()
    updates = handlers.compare(host, path or str(example.path), question or example.question, first_look.METHOD, retention, options, Flag())
    return [update["chat"] for update in updates if "chat" in update][-1]


@pytest.fixture(scope="module")
def chat(host):
    return asked(host)


def test_what_was_asked_is_shown_again_as_it_was(host, chat, tmp_path):
    looks = KeptLooks(tmp_path)
    assert looks.shown(host) is None
    assert looks.keep(host, chat)
    example, look, lens = looks.shown(host)
    assert example == examples_of(host.settings)[0] and look["chat"].path == str(example.path)
    assert [run.answer for run in look["chat"].report.runs] == [run.answer for run in chat.report.runs]
    assert "computed earlier" in look["origin"] and "of the tokens read" in look["headline"]
    assert lens["clip"]["source"] == str(example.path) and len(lens["maps"]["shown"]) == 1


def test_other_questions_shares_and_clips_are_nobodys_first_look(host, chat, tmp_path):
    looks = KeptLooks(tmp_path)
    another = str(examples_of(host.settings)[1].path)
    for given in ({"question": "And now?"}, {"retention": "25 %"}, {"path": another}):
        assert not looks.keep(host, asked(host, **given))
    stopped = dataclasses.replace(chat.report.runs[1], answer=dataclasses.replace(chat.report.runs[1].answer, finish="stopped"))
    report = dataclasses.replace(chat.report, runs=(chat.report.runs[0], stopped))
    assert not looks.keep(host, dataclasses.replace(chat, report=report))
    assert list(tmp_path.iterdir()) == [] and looks.shown(host) is None


def test_another_models_is_never_shown(host, chat, folder, tmp_path):
    """The same name, shapes and settings, and other weights: a folder may be written anew."""
    looks = KeptLooks(tmp_path)
    assert looks.keep(host, chat)
    again = ModelHost.of(Engine.open(host.settings))
    assert looks.shown(again) is not None, "the same weights, loaded another time"
    with torch.no_grad():
        again.engine.model.parts.language.layers[-1].self_attn.q_proj.weight.mul_(1.01)
    again.engine.model.__dict__.pop("weights_digest")
    assert looks.shown(again) is None
    longer = ModelHost.of(Engine(host.engine.model, dataclasses.replace(host.settings, max_new_tokens=5)))
    assert looks.shown(longer) is None, "other settings give other answers"
    served_elsewhere = ModelHost.of(Engine(host.engine.model, dataclasses.replace(host.settings, port=7000)))
    assert looks.shown(served_elsewhere) is not None, "these do not"


def test_while_a_model_is_to_come_or_its_gpu_is_lent_there_is_none(host, chat, tmp_path):
    looks = KeptLooks(tmp_path)
    assert looks.keep(host, chat)
    assert looks.shown(ModelHost(host.settings)) is None
    lent = ModelHost(host.settings, lambda work, **_: work)
    lent._engine, lent._state = host.engine, host.state
    assert looks.shown(lent) is None and not looks.keep(lent, chat)


def test_the_embedded_model_keeps_the_one_it_comes_with(tmp_path):
    host = ModelHost.of(Engine.open(Settings(device="cpu", max_new_tokens=2, max_frames=4)))
    looks = KeptLooks(tmp_path)
    assert not looks.keep(host, asked(host)) and looks.shown(host) is None


def test_what_is_no_longer_whole_is_passed_over_and_the_oldest_go(host, chat, tmp_path):
    looks = KeptLooks(tmp_path)
    for number in range(MOST + 3):
        (tmp_path / f"{number}.json").write_text("{}")
        os.utime(tmp_path / f"{number}.json", (number, number))
    assert looks.keep(host, chat)
    assert len(list(tmp_path.iterdir())) == MOST and not (tmp_path / "0.json").exists()
    (kept,) = [file for file in tmp_path.iterdir() if len(file.stem) == 64]
    for broken in ("", "[]", '{"made": {}}', kept.read_text().replace('"RunReport"', '"RunRapport"')):
        kept.write_text(broken)
        assert looks.shown(host) is None
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert not KeptLooks(blocked / "below").keep(host, chat), "a disk that refuses is no visitor's concern"


def test_weights_are_told_apart_by_values_names_and_types():
    made = torch.nn.Linear(300, 7)
    digest = weights_digest(made)
    assert weights_digest(made) == digest != weights_digest(made.to(torch.bfloat16))
    made = made.float()
    with torch.no_grad():
        made.bias[-1] += 1
    assert weights_digest(made) != digest
