"""A checkpoint of Qwen2.5-Omni -> its thinker in memory, ready to be asked. Names of transformers' classes and modules end here.

Only the thinker is read: of a full checkpoint's file, the talker and the vocoder (about a fifth of it) stay on the disk.
Requests that cannot be met raise a ModelError of one sentence before any weight is read, where that can be known.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedConfig, WhisperFeatureExtractor
from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Thinker
from transformers.utils import cached_file, is_flash_attn_2_available, logging

from ..assets import asset
from ..errors import ModelError, OmniZipError
from ..settings import Settings
from .memory import free_bytes, weight_bytes

MARK = "omnizip.json"  # what a checkpoint says of itself: name, embedded
MODEL_TYPES = ("qwen2_5_omni", "qwen2_5_omni_thinker")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, eq=False)
class Parts:
    """The networks of a thinker, wherever the installed transformers keeps them."""

    thinker: nn.Module
    audio: nn.Module
    vision: nn.Module
    language: nn.Module

    @classmethod
    def of(cls, thinker: nn.Module) -> Parts:
        """From 5.21 on the encoders are in the thinker's `model`, and the language model is below that."""
        if hasattr(thinker, "audio_tower"):
            return cls(thinker, thinker.audio_tower, thinker.visual, thinker.model)
        return cls(thinker, thinker.model.audio_tower, thinker.model.visual, thinker.model.language_model)

    @property
    def last_audio_attention(self) -> nn.Module:
        """The self-attention whose queries and keys give the saliency."""
        return self.audio.layers[-1].self_attn

    @property
    def last_full_vision_attention(self) -> nn.Module:
        """The last attention of the vision encoder that sees a whole step; others see a window of it."""
        return self.vision.blocks[max(self.vision.config.fullatt_block_indexes)].attn

    @property
    def device(self) -> torch.device:
        """Where the language model's input goes."""
        return self.thinker.get_input_embeddings().weight.device

    @property
    def gpus(self) -> range:
        """The CUDA devices it may be spread over; none on the CPU."""
        return range(torch.cuda.device_count() if self.device.type == "cuda" else 0)

    def synchronize(self) -> None:
        """Wait until every device has done what it was given."""
        for i in self.gpus:
            torch.cuda.synchronize(i)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A thinker with all that belongs to its checkpoint."""

    parts: Parts
    tokenizer: Any
    extractor: Any
    mark: dict[str, Any]
    host_rows: Tensor | None = None  # (vocabulary, D) embeddings of text, on the CPU


def load(settings: Settings, on_progress: Callable[[str, float | None], None] | None = None, host_rows: bool = False) -> Loaded:
    """Read the checkpoint `settings.model` names onto the device and in the precision asked for.

    Args:
        on_progress: hears of the "load" of weights as a share, where the size of the checkpoint is known.
        host_rows: keep the embeddings of text on the CPU as well; the weights then reach the device by way of the CPU.

    Raises:
        ModelError: it does not exist, is not complete, is no Qwen2.5-Omni, or cannot run here as asked.
    """
    device = _device(settings)
    options = _options(settings, device)
    if host_rows:
        options.pop("device_map", None)
    source = _source(settings.model)
    if Path(source).is_dir():
        _check_fits(Path(source), settings, device)
    with _weights_reported(on_progress), _as_model_errors(source), _transformers_quiet(progress=not Path(source).is_dir()):
        _check_kind(source, PreTrainedConfig.get_config_dict(source)[0])
        tokenizer = AutoTokenizer.from_pretrained(source)
        extractor = WhisperFeatureExtractor.from_pretrained(source)
        template = _optional_json(source, "chat_template.json")  # older checkpoints keep it beside the tokenizer
        if not tokenizer.chat_template and template:
            tokenizer.chat_template = template["chat_template"]
        thinker, report = Thinker.from_pretrained(source, output_loading_info=True, **options)
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"The checkpoint {source} lacks {len(missing)} of the model's tensors ({missing[0]} and others); "
            "download it again or use a complete Qwen2.5-Omni checkpoint."
        )
    if report["mismatched_keys"]:
        raise ModelError(f"The checkpoint {source} has weights of other sizes than its config says; download it again.")
    rows = thinker.get_input_embeddings().weight.detach().clone() if host_rows else None
    if host_rows:
        thinker = thinker.to(device)
    return Loaded(Parts.of(thinker.eval().requires_grad_(False)), tokenizer, extractor, _optional_json(source, MARK) or {}, rows)


def _check_fits(folder: Path, settings: Settings, device: str) -> None:
    """Raise ModelError where the weights alone are larger than the memory that is free."""
    bits = 4 if settings.four_bit else 8 * getattr(torch, dtype_for(settings.dtype, device)).itemsize
    needed, free = weight_bytes(folder, bits), free_bytes(device)
    if needed and free is not None and needed > free:
        place = "the GPU's memory" if device == "cuda" else "memory"
        cure = "--four-bit, a smaller checkpoint, or more GPUs" if device == "cuda" else "a smaller checkpoint, or --dtype bfloat16"
        raise ModelError(
            f"The checkpoint in {folder} needs {needed / 1e9:.3g} GB for its weights, "
            f"and {free / 1e9:.3g} GB of {place} are free; use {cure}."
        )


def dtype_for(wanted: str, device: str) -> str:
    """The precision to use where `wanted` may be "auto"."""
    return wanted if wanted != "auto" else "bfloat16" if device == "cuda" else "float32"


def _device(settings: Settings) -> str:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("No CUDA device is available here; use --device cpu, or run on a machine with an NVIDIA GPU and its driver.")
    return "cuda" if settings.device != "cpu" and torch.cuda.is_available() else "cpu"


def _options(settings: Settings, device: str) -> dict[str, Any]:
    """What `from_pretrained` is told. Raises ModelError for what cannot be had here."""
    dtype = dtype_for(settings.dtype, device)
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "attn_implementation": attention_for(settings.attention, device, dtype)}
    if device == "cuda":
        options["device_map"] = "auto" if torch.cuda.device_count() > 1 else {"": 0}
    if settings.four_bit:
        if device != "cuda":
            raise ModelError("4-bit weights need a CUDA device; leave out --four-bit, or run on a machine with an NVIDIA GPU.")
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ModelError("4-bit weights need bitsandbytes; install it with `pip install bitsandbytes`, or leave out --four-bit.")
        from transformers import BitsAndBytesConfig

        # The encoders and the output layer stay as they are: they are small, and saliency and logits come from them.
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=options["dtype"],
            llm_int8_skip_modules=["lm_head", "audio_tower", "visual"],
        )
    return options


def attention_for(wanted: str, device: str, dtype: str) -> str:
    """The attention backend to use where `wanted` may be "auto". Raises ModelError for one that cannot run here."""
    possible = device == "cuda" and dtype != "float32" and is_flash_attn_2_available()
    if wanted == "flash_attention_2" and not possible:
        raise ModelError("flash_attention_2 needs a CUDA device, a 16-bit precision and the flash-attn package; use --attention sdpa.")
    if wanted == "auto":
        return "flash_attention_2" if possible else "sdpa"
    return wanted


def embedded() -> Path:
    """The folder of the embedded model. Raises ModelError where this installation lacks it."""
    try:
        return asset("nano")
    except OmniZipError as error:
        raise ModelError(
            "The embedded model is not part of this installation; install it again, run from a clone of the repository or give --model."
        ) from error


def _source(model: str) -> str:
    """A folder that is complete, or a hub id."""
    if not model:
        return str(embedded())
    folder = Path(model).expanduser()
    if folder.is_dir():
        _check_complete(folder)
        return str(folder)
    if folder.exists() or model.startswith(("/", ".", "~")) or model.count("/") != 1:
        raise ModelError(
            f"{model} is neither a folder with a checkpoint nor a hub id such as Qwen/Qwen2.5-Omni-3B; check the path or leave --model out."
        )
    return model


def _check_complete(folder: Path) -> None:
    """Raise ModelError unless the config and every file of weights are there in full length."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"The folder {folder} has no config.json; give the folder of a downloaded Qwen2.5-Omni checkpoint.")
    names = [name for name in WEIGHTS if (folder / name).is_file()][:1]
    for index in (folder / f"{name}.index.json" for name in WEIGHTS):
        if not names and index.is_file():
            names = sorted(set(_json(index).get("weight_map", {}).values()))
    if not names:
        raise ModelError(f"The folder {folder} has no weights ({WEIGHTS[0]}); finish the download or give another folder.")
    for name in names:
        if not (folder / name).is_file() or not _is_whole(folder / name):
            raise ModelError(f"The checkpoint in {folder} is not complete: {name} is missing or cut short; finish the download.")


def _is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says; other formats are taken as they are."""
    if file.suffix != ".safetensors":
        return True
    size = file.stat().st_size
    with file.open("rb") as opened:
        header = int.from_bytes(opened.read(8), "little")
        if size < 8 or header > size - 8:
            return False
        try:
            tensors = json.loads(opened.read(header))
        except ValueError:
            return False
    return size == 8 + header + max((entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"), default=0)


def _json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ModelError(f"{file} is not readable as JSON; download the checkpoint again.") from None


def _optional_json(source: str, name: str) -> dict[str, Any] | None:
    """A JSON file of the checkpoint, if it has one."""
    found = cached_file(
        source,
        name,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return None if found is None else _json(Path(found))


def _check_kind(source: str, config: dict[str, Any]) -> None:
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise ModelError(
            f"{source} holds a model of type {kind}, not Qwen2.5-Omni; give a Qwen2.5-Omni checkpoint such as Qwen/Qwen2.5-Omni-3B."
        )


@contextmanager
def _as_model_errors(source: str) -> Iterator[None]:
    """What libraries raise while they read a checkpoint, as one sentence. The cause stays attached."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError(
            f"The checkpoint {source} does not fit the GPU's memory; use --four-bit, a smaller checkpoint, or more GPUs."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if Path(source).is_dir():
            cause = str(error).strip().split("\n")[0].rstrip(".")
            raise ModelError(f"The checkpoint in {source} cannot be read ({cause}); download it again or give another folder.") from error
        raise ModelError(
            f"The checkpoint {source} could not be fetched from the Hugging Face hub; check its name and the network, or give a folder."
        ) from error


@contextmanager
def _weights_reported(on_progress: Callable[[str, float | None], None] | None) -> Iterator[None]:
    """Pass transformers' count of loaded weights on as "load" and a share."""

    def hook(make: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        bar = make(*args, **kwargs)
        if on_progress is None or not args or not hasattr(args[0], "__len__"):
            return bar
        return _ReportingBar(bar, len(args[0]), on_progress)

    before = logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


class _ReportingBar:
    """A bar of progress whose steps are told on."""

    def __init__(self, bar: Any, total: int, on_progress: Callable[[str, float | None], None]) -> None:
        self._bar, self._total, self._report = bar, total, on_progress

    def __iter__(self) -> Iterator[Any]:
        for i, item in enumerate(self._bar):
            self._report("load", i / self._total)
            yield item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bar, name)


@contextmanager
def _transformers_quiet(progress: bool) -> Iterator[None]:
    """Keep transformers from listing the talker's tensors, left out on purpose, as a warning of several screens.

    Bars of progress are shown only where they tell of a download.
    """
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not progress:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
