"""OmniSIFT reproduces the reference on every stored vector; its stand-in and budget do what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from streams import make_stream

from omnizip import AudioSelector, OmniSIFT, Reason, TokenStream
from omnizip.errors import ModelError

FILES = sorted((Path(__file__).parents[1] / "golden" / "omnisift").glob("*.npz"))


def load(path):
    data = np.load(path)
    meta = json.loads(str(data["meta"]))
    stream = TokenStream.from_ids(
        torch.from_numpy(data["input_ids"]),
        torch.from_numpy(data["embeds"]),
        torch.from_numpy(data["position_ids"]),
        audio_token_id=meta["audio_token_id"],
        video_token_id=meta["video_token_id"],
        grid_thw=meta["grid_thw"],
    )
    state = {k.removeprefix("selector."): torch.from_numpy(data[k]) for k in data.files if k.startswith("selector.")}
    return stream, state, torch.from_numpy(data["keep"]), meta


def test_vectors_are_there():
    assert len(FILES) >= 10


@pytest.mark.independent("omnisift")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("prefix", ["", "thinker.compressor."])
def test_decides_as_the_reference(path, prefix):
    stream, state, keep, meta = load(path)
    selector = AudioSelector.from_state_dict({prefix + k: v for k, v in state.items()}, num_heads=meta["heads"])
    result = OmniSIFT(rho_audio=meta["rho_audio"], rho_video=meta["rho_video"], selector=selector).compress(stream)
    assert torch.equal(result.keep, keep)
    assert result.notes == ()


def test_the_released_size_is_the_papers():
    """4,856,321 parameters at width 3584, 3,283,457 at 2048."""
    for width, count in ((3584, 4_856_321), (2048, 3_283_457)):
        assert sum(p.numel() for p in AudioSelector(width).parameters()) == count


def test_missing_tensors_are_named():
    _, state, _, meta = load(FILES[0])
    with pytest.raises(ModelError, match="no audio selector"):
        AudioSelector.from_state_dict({"model.embed": torch.zeros(1)})
    del state["post_attn_norm.bias"]
    with pytest.raises(ModelError, match="post_attn_norm.bias"):
        AudioSelector.from_state_dict(state, num_heads=meta["heads"])
    with pytest.raises(ModelError, match="heads"):
        AudioSelector.from_state_dict(state, num_heads=3)


def test_the_stand_in_keeps_the_audio_that_is_like_the_kept_video_and_says_so():
    stream = make_stream(steps=2, audio=50)
    embeds = stream.embeds.clone()
    spies = stream.audio_index[[4, 17, 33]]
    for spy, patch in zip(spies, stream.video_index[[0, 13, 27]], strict=True):
        embeds[spy] = embeds[patch]
    stream = type(stream)(embeds, stream.positions, stream.modality, stream.window, stream.grid, stream.saliency, stream.saliency_windowed)
    result = OmniSIFT(rho_audio=0.94, rho_video=0.0).compress(stream)
    assert torch.equal((result.reason[stream.audio_index] == Reason.METHOD_SCORE).nonzero().flatten(), torch.tensor([4, 17, 33]))
    assert "No trained selector" in result.notes[0]


@pytest.mark.parametrize("clip", [{}, {"steps": 7, "audio": 180}, {"steps": 12, "audio": 300}, {"audio": 0}])
@pytest.mark.parametrize("retention", [0.45, 0.35, 0.25, 0.8])
def test_a_retention_is_met_to_the_token(clip, retention):
    stream = make_stream(**clip)
    kept = OmniSIFT.at_retention(retention, stream).compress(stream).keep[stream.modality != 0].sum()
    assert int(kept) == round(retention * (stream.n_audio + stream.n_video))


def released(seed=0, width=64, hidden=32):
    """Tensors named and shaped as the released checkpoint's."""
    torch.manual_seed(seed)
    return {f"thinker.compressor.{name}": value for name, value in AudioSelector(width, hidden).state_dict().items()}


def test_a_sharded_checkpoints_selector_is_read_and_nothing_else(tmp_path, monkeypatch):
    """Its tensors lie in two shards among others; the third shard is not even there, and every byte read is counted."""
    from pathlib import Path

    from safetensors.torch import save_file

    state = {name: value.bfloat16() for name, value in released().items()}
    names = sorted(state)
    big = {"thinker.model.layers.0.mlp.up_proj.weight": torch.zeros(1000, 1000)}
    shards = [{name: state[name] for name in names[:7]} | big, {name: state[name] for name in names[7:]}]
    where = {"lm_head.weight": "model-00003-of-00003.safetensors"}
    for number, shard in enumerate(shards, start=1):
        file = f"model-0000{number}-of-00003.safetensors"
        save_file(shard, tmp_path / file)
        where |= dict.fromkeys(shard, file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    count = [0]
    opens = Path.open

    def counting(path, *args, **kwargs):
        opened = opens(path, *args, **kwargs)
        reads = opened.read

        class Counted:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                opened.close()

            def seek(self, place):
                return opened.seek(place)

            def read(self, size=-1):
                data = reads(size)
                count[0] += len(data)
                return data

        return Counted()

    monkeypatch.setattr(Path, "open", counting)
    selector = AudioSelector.from_checkpoint(tmp_path)
    monkeypatch.undo()
    for name, value in selector.state_dict().items():
        assert torch.equal(value, state[f"thinker.compressor.{name}"].float())
    own = sum(2 * value.numel() for value in state.values())
    assert own < count[0] < own + 20_000 < 4_000_000  # headers besides, and not the megabytes of others
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        AudioSelector.from_checkpoint(tmp_path)


def test_a_checkpoint_with_a_selector_beside_it_uses_it(tmp_path):
    import tiny
    from safetensors.torch import save_file

    from omnizip.model.qwen import QwenOmni
    from omnizip.settings import Settings
    from omnizip.types import Turn

    folder = Path(tiny.save(tmp_path / "model"))
    assert AudioSelector.from_checkpoint(folder) is None
    clip, turns = tiny.clip(frames=8, sound_s=4.0), [Turn("What?")]
    model = QwenOmni.load(Settings(model=str(folder)))
    stream = model.stream(model.encode(clip), turns)
    assert "No trained selector" in OmniSIFT().compress(stream).notes[0]
    state = released(seed=3)
    save_file(state, folder / "selector.safetensors")
    model = QwenOmni.load(Settings(model=str(folder)))
    stream = model.stream(model.encode(clip), turns)
    result = OmniSIFT().compress(stream)
    given = OmniSIFT(selector=AudioSelector.from_state_dict(state)).compress(stream)
    assert result.notes == () and torch.equal(result.keep, given.keep)
