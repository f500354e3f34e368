"""A thinker alone, written in the layout of a released checkpoint: the same weights, which the loader reads as it reads those."""

import json

import pytest
import tiny
import torch
from safetensors import safe_open

from omnizip.cli.main import main
from omnizip.errors import ModelError
from omnizip.model.full_layout import write_full_layout
from omnizip.model.loading import load
from omnizip.settings import Settings


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    tiny.save(folder)
    (folder / "selector.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      ")
    return folder


def test_the_weights_are_the_same_under_other_names(alone, tmp_path):
    folder = write_full_layout(alone, tmp_path / "new" / "full")
    own, full = (load(Settings(model=str(place), device="cpu")).parts.thinker.state_dict() for place in (alone, folder))
    assert own.keys() == full.keys() and all(torch.equal(own[name], full[name]) for name in own)
    with safe_open(folder / "model.safetensors", "pt") as opened:
        names = set(opened.keys())
    assert names and all(name.startswith("thinker.") and not name.startswith("thinker.thinker.") for name in names)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == names and set(index["weight_map"].values()) == {"model.safetensors"}


def test_the_thinkers_config_is_inside_and_everything_else_lies_beside(alone, tmp_path):
    folder = write_full_layout(alone, tmp_path / "full")
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "qwen2_5_omni" and config["thinker_config"] == json.loads((alone / "config.json").read_text())
    changed = {"config.json", "model.safetensors", "model.safetensors.index.json"}
    assert {file.name for file in folder.iterdir()} == {file.name for file in alone.iterdir()} | changed
    for file in folder.iterdir():
        assert file.name in changed or file.read_bytes() == (alone / file.name).read_bytes()


def test_any_precision_is_copied_as_it_is(tmp_path):
    tiny.save(tmp_path / "half", tiny.model().bfloat16())
    folder = write_full_layout(tmp_path / "half", tmp_path / "full")
    with safe_open(folder / "model.safetensors", "pt") as opened:
        assert {opened.get_tensor(name).dtype for name in opened.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_what_cannot_be_written_is_said_in_one_sentence(alone, tmp_path, capsys):
    full = write_full_layout(alone, tmp_path / "full")
    with pytest.raises(ModelError, match="no Qwen2.5-Omni thinker alone"):
        write_full_layout(full, tmp_path / "again")
    with pytest.raises(ModelError, match="not an empty folder"):
        write_full_layout(alone, full)
    with pytest.raises(ModelError, match="has no config.json"):
        write_full_layout(tmp_path, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    (tmp_path / "file").touch()
    assert main(["export", str(tmp_path / "file"), "--model", str(alone)]) == 2
    assert "is not an empty folder" in capsys.readouterr().err


def test_the_command_writes_the_embedded_model(tmp_path, capsys):
    assert main(["export", str(tmp_path / "nano")]) == 0
    assert str(tmp_path / "nano") in capsys.readouterr().out
    assert json.loads((tmp_path / "nano" / "config.json").read_text())["thinker_config"]["text_config"]["hidden_size"] == 256
    assert (tmp_path / "nano" / "selector.safetensors").is_file()
