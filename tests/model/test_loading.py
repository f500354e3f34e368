"""Loading: a full checkpoint's thinker and nothing else; what cannot be had is said in one sentence."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file
from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Thinker

from omnizip.errors import ModelError
from omnizip.model import cuda, download, loading, memory
from omnizip.model.load_errors import as_model_errors
from omnizip.model.loading import Parts
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
from omnizip.types import Sampling, Turn
from training import model as nano


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def weights(model):
    return dict(model.parts.thinker.state_dict())


def assert_is_the_tiny_model(model):
    expected = tiny.model().state_dict()
    got = weights(model)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(got[name], value), name


def test_a_saved_thinker_comes_back(folder):
    heard = []
    model = QwenOmni.load(Settings(model=folder), lambda name, fraction: heard.append((name, fraction)))
    assert_is_the_tiny_model(model)
    assert not model.parts.thinker.training
    assert not any(p.requires_grad for p in model.parts.thinker.parameters())
    assert heard[-1] == ("load", 1.0)
    assert model.conditions.model == folder
    assert not model.conditions.embedded


def test_a_full_checkpoint_gives_its_thinker_alone(copied):
    names = tiny.rename_to_full(copied)
    assert any(name.startswith("talker.") for name in names) and any(name.startswith("token2wav.") for name in names)
    model = QwenOmni.load(Settings(model=str(copied)))
    assert_is_the_tiny_model(model)
    assert not any("talker" in name or "token2wav" in name for name in weights(model))
    assert list(model.decode(model.prefill(prompt_of(model)), Sampling(max_new_tokens=3)))


def prompt_of(model):
    from omnizip.compressors import COMPRESSORS

    stream = model.stream(model.encode(tiny.clip()), [Turn("What is it?")])
    return stream.prompt(COMPRESSORS["full"]().compress(stream))


def test_a_full_checkpoint_in_shards(copied):
    """Shards as a download has them: the thinker's tensors over two files, the talker's in a third."""
    from safetensors.torch import save_file

    tiny.rename_to_full(copied)
    tensors = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    thinker = sorted(name for name in tensors if name.startswith("thinker."))
    rest = sorted(set(tensors) - set(thinker))
    weight_map = {}
    for i, names in enumerate((thinker[::2], thinker[1::2], rest), start=1):
        file = f"model-{i:05}-of-00003.safetensors"
        save_file({name: tensors[name].clone() for name in names}, copied / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    (copied / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert_is_the_tiny_model(QwenOmni.load(Settings(model=str(copied))))

    (copied / "model-00003-of-00003.safetensors").unlink()  # the talker's, which nobody here reads
    assert_is_the_tiny_model(QwenOmni.load(Settings(model=str(copied))))
    (copied / "model-00002-of-00003.safetensors").unlink()
    refused(str(copied), "model-00002-of-00003.safetensors is missing or cut short")


def test_the_talkers_and_vocoders_modules_are_not_built(copied):
    tiny.rename_to_full(copied)
    model = QwenOmni.load(Settings(model=str(copied)))
    kinds = {type(module).__name__ for module in model.parts.thinker.modules()}
    assert not [kind for kind in kinds if "Talker" in kind or "Token2Wav" in kind or "DiT" in kind]


def test_precision_is_chosen(folder):
    halved = QwenOmni.load(Settings(model=folder, dtype="bfloat16"))
    assert {p.dtype for p in halved.parts.thinker.parameters()} == {torch.bfloat16}
    assert halved.conditions.dtype == "bfloat16" and halved.shape.kv_bytes == 2
    assert list(halved.decode(halved.prefill(prompt_of(halved)), Sampling(max_new_tokens=3)))
    assert QwenOmni.load(Settings(model=folder)).conditions.dtype == "float32"


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_backend_is_chosen(folder, attention):
    model = QwenOmni.load(Settings(model=folder, attention=attention))
    assert model.conditions.attention == attention
    for part in (model.parts.audio, model.parts.vision, model.parts.language):
        assert part.config._attn_implementation == attention


def test_a_small_model_takes_one_thread(folder):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert QwenOmni.load(Settings(model=folder)).conditions.threads == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_a_chat_template_beside_the_tokenizer_is_used(copied):
    (copied / "chat_template.jinja").unlink()
    template = "{{ '<|im_start|>a' }}" + tiny.TEMPLATE
    (copied / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    processor = QwenOmni.load(Settings(model=str(copied))).processor
    before, _ = processor.prompt_ids([Turn("Why?")], torch.tensor([processor.video_id]))
    assert processor.tokenizer.decode(before[:3]).startswith("<|im_start|>a")


def refused(model, *parts, **settings):
    with pytest.raises(ModelError) as caught:
        QwenOmni.load(Settings(model=model, **settings))
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 400
    for part in parts:
        assert part in sentence, sentence


without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="asks for what a machine without a GPU cannot do")


@without_cuda
def test_what_needs_a_gpu_is_refused_without_one(folder):
    refused(folder, "4-bit weights need a CUDA device", "leave out --four-bit", four_bit=True)
    refused(folder, "No CUDA device", "--device cpu", device="cuda")
    refused(folder, "flash_attention_2 needs a CUDA device", "--attention sdpa", attention="flash_attention_2")


@pytest.fixture
def gpus(monkeypatch):
    """One card of the Ampere generation, as far as torch tells; nothing is loaded onto it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: (8, 0))
    monkeypatch.setattr(loading, "is_flash_attn_2_available", lambda: False)
    return monkeypatch


def test_what_is_asked_of_a_gpu(gpus):
    """The request that would go to transformers."""
    options = loading._options(Settings(), loading._device(Settings()))
    assert options == {"dtype": torch.bfloat16, "attn_implementation": "sdpa"}
    gpus.setattr(loading, "is_flash_attn_2_available", lambda: True)
    assert loading._options(Settings(), "cuda") == options | {"attn_implementation": "flash_attention_2"}
    assert loading._options(Settings(dtype="float32"), "cuda")["attn_implementation"] == "sdpa"
    gpus.setattr(loading.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install bitsandbytes"):
        loading._options(Settings(four_bit=True), "cuda")


def test_a_card_before_ampere_computes_in_float16_without_flash_attention(gpus):
    gpus.setattr(torch.cuda, "get_device_capability", lambda i: (7, 5))
    gpus.setattr(loading, "is_flash_attn_2_available", lambda: True)
    assert loading._options(Settings(), "cuda") == {"dtype": torch.float16, "attn_implementation": "sdpa"}
    with pytest.raises(ModelError, match="Ampere"):
        loading._options(Settings(attention="flash_attention_2"), "cuda")
    assert "older than Ampere" in cuda.capability_note()
    gpus.setattr(torch.cuda, "get_device_capability", lambda i: (9, 0))
    assert cuda.capability_note() == ""


def test_a_model_that_fits_one_of_several_gpus_is_put_on_it():
    needed = memory.Needs(60, 20, 20)
    assert loading.device_map(needed, [1]) == {"": 0}
    assert loading.device_map(needed, [50, 100, 200]) == {"": 1}
    assert loading.device_map(needed, [60, 60]) == "auto"
    assert loading.device_map(None, [1000, 1000]) == "auto"


@pytest.fixture
def old_driver(monkeypatch, tmp_path):
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\n")
    monkeypatch.setattr(cuda, "DRIVER", version)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return monkeypatch


def test_a_driver_too_old_for_cuda_is_said(old_driver, folder, caplog):
    refused(folder, "built for CUDA 13.0", "driver 580.65 or newer", "470.57.02 is installed", "--device cpu", device="cuda")
    model = QwenOmni.load(Settings(model=folder))
    assert model.conditions.device == "cpu" and "built for CUDA 13.0" in model.conditions.notes[0] and "CUDA 13.0" in caplog.text
    assert QwenOmni.load(Settings(model=folder, device="cpu")).conditions.notes == ()
    old_driver.setattr(torch.version, "cuda", None)
    assert cuda.driver_problem() == "", "a build without CUDA needs no driver"
    old_driver.setattr(torch.version, "cuda", "13.0")
    old_driver.setattr(cuda, "DRIVER", cuda.DRIVER.parent / "none")
    old_driver.setattr(cuda.shutil, "which", lambda name: None)
    assert cuda.driver_problem() == "", "a machine without an NVIDIA GPU has none"


@pytest.fixture
def on_the_hub(monkeypatch, folder):
    """The tiny checkpoint's small files stand for any id on the hub; fetching weights fails the test."""

    def found(name):
        return download.Snapshot(name, "0" * 40, bare, {"model.safetensors": download.Stored(1, "0" * 64)})

    bare = Path(folder).parent / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    monkeypatch.setattr(download, "find", found)
    monkeypatch.setattr(download, "fetch_weights", lambda *_: pytest.fail("weights were fetched"))
    monkeypatch.setattr(loading, "free_bytes", lambda device: 16 * 10**9)
    return monkeypatch


def headers_say(monkeypatch, info):
    from huggingface_hub.utils import SafetensorsFileMetadata, TensorInfo

    tensors = {name: TensorInfo(dtype="BF16", shape=shape, data_offsets=(0, 1)) for name, shape in info.items()}
    told = SafetensorsFileMetadata(metadata={}, tensors=tensors)
    monkeypatch.setattr(loading.HfApi, "parse_safetensors_file_metadata", lambda self, name, file, revision: told)


def headers_out_of_reach(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no way there")

    monkeypatch.setattr(loading.HfApi, "parse_safetensors_file_metadata", fail)


def test_a_released_model_that_does_not_fit_is_not_downloaded_whatever_the_hub_tells(on_the_hub):
    headers_out_of_reach(on_the_hub)
    refused("Qwen/Qwen2.5-Omni-7B", "35.7 GB for its weights", "16 GB of memory are free")


def test_any_model_on_the_hub_is_measured_by_its_headers_before_it_is_downloaded(on_the_hub):
    headers_say(on_the_hub, {"thinker.model.embed_tokens.weight": (10**5, 10**5), "talker.x": (10**6, 10**6)})
    refused("someone/tuned-omni", "40 GB for its weights")


def test_a_hub_out_of_reach_does_not_end_the_check_with_a_traceback(on_the_hub):
    headers_out_of_reach(on_the_hub)
    assert loading._hub_tensors(download.find("someone/tuned-omni")) == {}


def test_both_encoders_and_the_output_layer_stay_out_of_four_bits():
    names = set(loading.unquantised_modules(tiny.config()))
    parts = Parts.of(tiny.model())
    found = {name for name, module in parts.thinker.named_modules() if module in (parts.audio, parts.vision, parts.thinker.lm_head)}
    assert names == found and len(names) == 3
    skipped = loading.quantisation(tiny.config(), torch.bfloat16).llm_int8_skip_modules
    assert set(skipped) == names


def test_a_model_in_four_bits_has_them_in_the_language_models_layers_alone(folder):
    bitsandbytes = pytest.importorskip("bitsandbytes", reason="4-bit loading needs bitsandbytes")
    config = Thinker.config_class.from_pretrained(folder)
    quantised = Thinker.from_pretrained(folder, quantization_config=loading.quantisation(config, torch.float32), device_map="cpu")
    parts = Parts.of(quantised)
    inside = [m for m in parts.language.layers.modules() if isinstance(m, torch.nn.Linear)]
    assert inside and all(isinstance(m, bitsandbytes.nn.Linear4bit) for m in inside)
    outside = [m for m in quantised.modules() if isinstance(m, bitsandbytes.nn.Linear4bit) and m not in set(inside)]
    assert outside == []


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (ImportError("flash_attn_2_cuda.so: undefined symbol: _ZN3c10"), ("undefined symbol", "--attention sdpa")),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore"), ("no kernels for this GPU",)),
        (RuntimeError("a thing broke"), ("could not be loaded (a thing broke)",)),
        (OSError(28, "No space left on device"), ("No space left on device",)),
    ],
)
@pytest.mark.parametrize("source", ["someone/model", "folder"])
def test_what_is_not_the_hubs_fault_is_not_blamed_on_it(error, parts, source, tmp_path):
    source = str(tmp_path) if source == "folder" else source
    with pytest.raises(ModelError) as caught, as_model_errors(source):
        raise error
    sentence = str(caught.value)
    assert all(part in sentence for part in parts) and caught.value.__cause__ is error
    assert "Hugging Face" not in sentence and "download" not in sentence and "\n" not in sentence and sentence.endswith(".")


def test_what_is_the_hubs_fault_is():
    from huggingface_hub.errors import LocalEntryNotFoundError

    with pytest.raises(ModelError, match="could not be fetched"), as_model_errors("someone/model"):
        try:
            raise LocalEntryNotFoundError("offline")
        except LocalEntryNotFoundError as error:
            raise OSError("We couldn't connect") from error


def test_a_missing_folder(tmp_path):
    refused(str(tmp_path / "nowhere"), "nowhere is neither a folder", "hub id")
    refused("nowhere", "neither a folder")
    refused("./a/b", "neither a folder")
    file = tmp_path / "file.txt"
    file.write_text("x")
    refused(str(file), "neither a folder")


def test_an_empty_or_half_downloaded_folder(copied, tmp_path):
    refused(str(tmp_path / "copy" / ".."), "no config.json")
    content = (copied / "model.safetensors").read_bytes()
    for cut in (len(content) - 1, 200, 3, 0):
        (copied / "model.safetensors").write_bytes(content[:cut])
        refused(str(copied), "model.safetensors is missing or cut short", "finish the download")
    (copied / "model.safetensors").write_bytes((20).to_bytes(8, "little") + b"no json, only bytes.")
    refused(str(copied), "cut short")
    (copied / "model.safetensors").unlink()
    refused(str(copied), "has no weights")


@pytest.mark.parametrize("name", ["preprocessor_config.json", "tokenizer.json"])
def test_a_small_file_that_is_missing_is_named(copied, name):
    (copied / name).unlink()
    refused(str(copied), f"has no {name}; download it again")


def test_missing_tensors_are_named(copied):
    from safetensors.torch import save_file

    tensors = load_file(copied / "model.safetensors")
    gone = next(name for name in tensors if name.endswith("layers.1.mlp.down_proj.weight"))
    del tensors[gone]
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    refused(str(copied), "lacks 1 of the model's tensors", "layers.1.mlp.down_proj.weight")


def test_another_model(copied):
    (copied / "config.json").write_text(json.dumps({"model_type": "llama"}))
    refused(str(copied), "type llama", "Qwen2.5-Omni")
    (copied / "config.json").write_text("{}")
    refused(str(copied), "config.json is empty")
    (copied / "config.json").write_text("no json")
    refused(str(copied), "config.json")


def test_an_unreachable_hub(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused("nobody/not-a-checkpoint-anyone-has", "could not be fetched", "give a folder")


def test_verbosity_and_bars_are_as_before(folder):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    QwenOmni.load(Settings(model=folder))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    with pytest.raises(ModelError), as_model_errors(folder), loading._transformers_quiet(progress=False):
        raise OSError("broken")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_the_embedded_model_is_laid_out_as_its_maker_lays_it_out():
    stored = loading.embedded()
    assert (stored / "tokenizer.json").read_text() == nano.tokenizer().backend_tokenizer.to_str(pretty=True)
    assert json.loads((stored / "preprocessor_config.json").read_text()) == nano.PREPROCESSOR
    kept = load_file(stored / "model.safetensors")
    fresh = nano.untrained_model(nano.tokenizer()).state_dict()  # the names on disk are those of a released checkpoint
    assert sorted(tuple(value.shape) for value in kept.values()) == sorted(tuple(value.shape) for value in fresh.values())
    assert {value.dtype for value in kept.values()} == {torch.bfloat16}
    assert sum(file.stat().st_size for file in stored.iterdir()) < 25_000_000


@pytest.fixture(scope="module")
def embedded():
    return QwenOmni.load(Settings(max_new_tokens=64))


def test_the_embedded_model_says_what_it_is(embedded):
    assert embedded.conditions.embedded
    assert embedded.conditions.model == nano.NAME
    assert 3_000_000 < embedded.conditions.parameters < 6_000_000
    processor = embedded.processor
    assert (processor.patch, processor.merge, processor.temporal_patch, processor.block_frames) == (8, 2, 2, 200)
    assert processor.positions_per_second == 25
    assert embedded.parts.audio.config.num_mel_bins == 128


def test_thirty_seconds_at_default_settings_take_seconds(embedded):
    """Of this process's own work: about 1.5 s on an idle core, and a generous bound."""
    import time

    started = time.process_time()
    encoded = embedded.encode(tiny.clip(frames=60, height=480, width=640, sound_s=30.0))
    stream = embedded.stream(encoded, [Turn("What happens?")])
    assert stream.n_audio == 750 and 1500 < stream.n_video <= 30 * 72
    from omnizip.compressors import COMPRESSORS

    prefilled = embedded.prefill(stream.prompt(COMPRESSORS["full"]().compress(stream)))
    assert list(embedded.decode(prefilled, Sampling(max_new_tokens=64)))
    assert time.process_time() - started < 90


def header_of(text):
    return len(text).to_bytes(8, "little") + text.encode() + b"\0" * 8


DAMAGE = {
    "header is a list": ("model.safetensors", header_of("[]"), "cut short"),
    "header is a number": ("model.safetensors", header_of("5"), "cut short"),
    "an entry without offsets": ("model.safetensors", header_of('{"a": {"dtype": "F32", "shape": [2]}}'), "cut short"),
    "an entry that is a list": ("model.safetensors", header_of('{"a": []}'), "cut short"),
    "offsets that are words": ("model.safetensors", header_of('{"a": {"data_offsets": ["a", "b"]}}'), "cut short"),
    "a header of brackets": ("model.safetensors", header_of("[" * 100_000), "cut short"),
    "config is a list": ("config.json", b"[]", "config.json holds no names"),
    "config is a word": ("config.json", b'"a"', "config.json holds no names"),
    "config is empty": ("config.json", b"{}", "config.json is empty"),
    "no text in the config": ("config.json", b"", "config.json is not readable"),
    "preprocessor is empty": ("preprocessor_config.json", b"{}", "preprocessor_config.json is empty"),
    "preprocessor is a list": ("preprocessor_config.json", b"[1]", "preprocessor_config.json holds no names"),
    "tokenizer config is a number": ("tokenizer_config.json", b"7", "tokenizer_config.json holds no names"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_sentence_that_names_the_file(copied, damage):
    name, content, sentence = DAMAGE[damage]
    (Path(copied) / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        QwenOmni.load(Settings(model=str(copied)))
    said = str(caught.value)
    assert sentence in said and said.count("\n") == 0 and said.endswith("."), said
