"""What the plugin for vLLM is asked: counts that are known beforehand, and what cannot be had, in one sentence at the start."""

import importlib.metadata
import json
import subprocess
import sys

import pytest
import tiny
import torch

from omnizip import COMPRESSORS
from omnizip.errors import MethodError
from omnizip.integrations import vllm
from omnizip.integrations.vllm import pruning
from omnizip.integrations.vllm.clip_layout import ClipLayout
from omnizip.integrations.vllm.pooled_patches import pooled_patches
from omnizip.integrations.vllm.pruning import COUNTED, FIELDS, PROBED, Pruning, probe_of
from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
from omnizip.types import Turn

LAYOUTS = [*PROBED, ClipLayout((8, 6, 12), 200, 1.0), ClipLayout((9, 2, 7), 333, 2.5), ClipLayout((2, 3, 3), 7, 0.4)]


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("retention", [0.25, 0.35, 0.7])
def test_a_counted_method_keeps_equally_many_of_any_clip_of_a_size(name, retention):
    asked = Pruning(name, retention)
    for layout in LAYOUTS:
        counts = set()
        for seed in range(3, 8):
            stream = probe_of(layout, seed)
            counts.add(int(asked.compressor(stream).compress(stream).keep.sum()))
        assert counts == {asked.kept(layout)}


@pytest.mark.parametrize("name", ["omnizip", "glance", "random", "dycoke"])
def test_the_count_is_the_share_that_was_asked_for(name):
    for layout in LAYOUTS[3:5]:
        assert Pruning(name, 0.35).kept(layout) == round(0.35 * layout.modality.numel())


@pytest.fixture(scope="module")
def model():
    return QwenOmni(Loaded(Parts.of(tiny.model()), tiny.tokenizer(), tiny.extractor(), {}), Settings(device="cpu"))


def test_the_count_is_what_the_product_reads(model):
    encoded = model.encode(tiny.clip())
    stream = model.stream(encoded, [Turn("?")])
    layout = ClipLayout(encoded.grid, encoded.audio.shape[0], encoded.second_per_step)
    for name in COUNTED:
        decision = COMPRESSORS[name].at_retention(0.35, stream).compress(stream)
        assert int(decision.keep[stream.media_index].sum()) == Pruning(name, 0.35).kept(layout), name


def test_every_other_method_is_refused_in_one_sentence():
    others = set(COMPRESSORS) - set(COUNTED)
    assert "omnizip-official" in others and "fastv" in others
    for name in others:
        with pytest.raises(MethodError, match="cannot say beforehand how many tokens it keeps") as refused:
            Pruning(name)
        assert str(refused.value).count(". ") == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "nonsense"}, "There is no method 'nonsense'"),
        ({"method": ["omnizip"]}, "There is no method"),
        ({"method": "omnizip", "retention": 0}, "The retention is 0"),
        ({"method": "omnizip", "retention": "half"}, "The retention is 'half'"),
        ({"method": "omnizip", "options": {"rho_audio": 0.5}}, "are not all options of omnizip"),  # the share sets it
        ({"method": "omnizip", "options": [1]}, "are not all options of omnizip"),
        ({"method": "omnizip", "options": {"merge_size": 99}}, "merge_size is 99"),
        ({"method": "omnizip", "options": {"video_selector": "visionzip"}}, "needs saliency_video, which vLLM does not give"),
    ],
)
def test_what_cannot_be_had_is_said(asked, said):
    with pytest.raises(MethodError) as refused:
        Pruning(**asked)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["omnizip-official"])
def test_a_count_that_follows_the_contents_is_found_out(name, monkeypatch):
    """Though a method were listed by mistake: two clips of a size are tried."""
    monkeypatch.setattr(pruning, "COUNTED", (*COUNTED, name))
    with pytest.raises(MethodError, match="keeps more of one clip than of another"):
        Pruning(name)


def test_the_environment_asks_for_the_whole_server():
    assert Pruning.from_environment({}) is None and Pruning.from_environment({"OMNIZIP_VLLM_METHOD": " "}) is None
    asked = {"OMNIZIP_VLLM_METHOD": "omnizip", "OMNIZIP_VLLM_RETENTION": "0.5", "OMNIZIP_VLLM_OPTIONS": '{"merge_size": 5}'}
    assert Pruning.from_environment(asked) == Pruning("omnizip", 0.5, {"merge_size": 5})
    for broken in ({"OMNIZIP_VLLM_RETENTION": "a third"}, {"OMNIZIP_VLLM_OPTIONS": "merge_size=5"}):
        with pytest.raises(MethodError, match="is no JSON"):
            Pruning.from_environment(asked | broken)


def test_a_request_asks_for_itself_alone():
    server = Pruning("omnizip", 0.35, {"merge_size": 5})
    assert server.asked(None) is server
    assert server.asked({"retention": 0.5}) == Pruning("omnizip", 0.5, {"merge_size": 5})
    assert server.asked({"method": "random"}) == Pruning("random", 0.35)  # options belong to the method
    for broken in ({"ratio": 0.5}, "random", {"method": "fastv"}):
        with pytest.raises(MethodError):
            server.asked(broken)


def test_equal_settings_are_equal_text_and_come_back():
    asked = Pruning("omnizip", 0.5, {"merge_size": 5, "neighbours": 3})
    assert Pruning.from_json(asked.to_json()) == asked and set(json.loads(asked.to_json())) == set(FIELDS)
    assert asked.to_json() == Pruning("omnizip", 0.5, {"neighbours": 3, "merge_size": 5}).to_json() != Pruning("omnizip", 0.51).to_json()


def test_pixels_averaged_by_patches_are_those_averaged_by_pictures(model):
    processor, frames = model.processor, tiny.clip(frames=7).frames
    steps, rows, columns = processor.grid(*frames.shape[:3], max_tokens=40)
    patches = processor.patches(frames, rows, columns)
    made = pooled_patches(patches, steps, processor.merge, processor.temporal_patch)
    assert torch.allclose(made, processor.pooled(frames, rows, columns), atol=1e-5) and made.shape[1] == rows * columns


def test_counting_does_not_depend_on_what_new_tensors_are_like():
    """While vLLM loads a model, they have its precision and are on its device."""
    wanted = Pruning("omnizip", 0.41).kept(LAYOUTS[3])
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            assert Pruning("omnizip", 0.4101).kept(LAYOUTS[3]) == wanted and torch.get_default_dtype() == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_plugin_does_nothing_unless_asked(monkeypatch):
    """vLLM is not installed here, so that doing anything would raise ImportError."""
    monkeypatch.delenv("OMNIZIP_VLLM_METHOD", raising=False)
    assert vllm.register() is None
    monkeypatch.setenv("OMNIZIP_VLLM_METHOD", "fastv")
    with pytest.raises(MethodError, match="cannot say beforehand"):
        vllm.register()


def test_an_installation_tells_vllm_of_the_plugin():
    import tomllib
    from pathlib import Path

    told = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]["vllm.general_plugins"]
    point = importlib.metadata.EntryPoint("omnizip", told["omnizip"], "vllm.general_plugins")
    assert point.load() is vllm.register


def test_choosing_needs_torch_alone():
    """What stands in vLLM's environment besides is vLLM's; the plugin's plan must not ask for more."""
    program = (
        "import sys\n"
        "for name in ('transformers', 'av', 'accelerate', 'huggingface_hub', 'safetensors', 'PIL'): sys.modules[name] = None\n"
        "from omnizip.integrations.vllm import clip_layout, pooled_patches, position_channels, pruning\n"
        "print(pruning.Pruning('omnizip').kept(clip_layout.ClipLayout((2, 2, 2), 50, 1.0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and int(done.stdout) > 0, done.stderr
