"""Loads the thinker of an omni checkpoint: which device, which precision, which files, and whether it fits.

Only the thinker is read: of a full checkpoint's file, the talker and the vocoder (about a fifth of it) stay on the disk, or on the hub.
Requests that cannot be met raise a ModelError of one sentence before any weight is read, where that can be known.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import SafetensorsParsingError
from torch import Tensor, nn
from transformers import AutoTokenizer, BitsAndBytesConfig, PreTrainedConfig, WhisperFeatureExtractor
from transformers.utils import is_flash_attn_2_available, logging

from ..assets import asset
from ..errors import ModelError, OmniZipError
from ..settings import Settings
from ..types import ModelShape
from . import download
from .checkpoint import check_beside, check_complete, checked_family, optional_json
from .cuda import before_ampere, driver_problem
from .families import FAMILIES, family_of
from .family import Family
from .load_errors import as_model_errors, came_from_network
from .memory import PARAMETERS, Needs, free_by_gpu, free_bytes, needs, released_weights, tensors_in, weight_bytes

MARK = "omnizip.json"  # what a checkpoint says of itself: name, embedded


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

    @cached_property
    def family(self) -> Family:
        """What the thinker is one of."""
        return family_of(self.thinker.config)

    @property
    def watched_vision_attention(self) -> nn.Module:
        """The last attention of the vision encoder that sees a whole step."""
        return self.family.watched_layer(self.vision)

    @property
    def device(self) -> torch.device:
        """Where the language model's input goes."""
        return self.thinker.get_input_embeddings().weight.device

    @cached_property
    def gpus(self) -> tuple[int, ...]:
        """The CUDA devices it is spread over; none on the CPU."""
        return tuple(sorted({p.device.index or 0 for p in self.thinker.parameters() if p.device.type == "cuda"}))

    def synchronize(self) -> None:
        """Wait until every device it is on has done what it was given."""
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
        on_progress: called with "download" and the share of bytes fetched while files come from the hub, then with "load" and the
            share of weights read.
        host_rows: keep the embeddings of text on the CPU as well; the weights then reach the device by way of the CPU.

    Raises:
        ModelError: it does not exist, is not complete, is of no known family, or cannot run here as asked.
    """
    device = _device(settings)
    options = _options(settings, device)
    source, snapshot = _source(settings.model), None
    with _weights_reported(on_progress), as_model_errors(source), _transformers_quiet(progress=not Path(source).is_dir()):
        if not Path(source).is_dir():
            snapshot = download.find(source)
        folder = Path(source) if snapshot is None else snapshot.folder
        family = checked_family(source, PreTrainedConfig.get_config_dict(folder)[0])
        if settings.four_bit and family.no_four_bit:
            raise ModelError(f"{family.name} is not kept in 4 bits, since {family.no_four_bit}; leave out --four-bit.")
        kind = family.thinker
        config = kind.config_class.from_pretrained(folder)
        needed = _needs(source, snapshot, config.get_text_config(), family, settings, options["dtype"])
        if not host_rows:  # a GPU that is lent later cannot be asked now
            _check_fits(source, needed, device)
            if device == "cuda":
                options["device_map"] = device_map(needed, free_by_gpu())
        if snapshot is not None:
            folder = download.fetch_weights(snapshot, on_progress)
        if settings.four_bit:
            options["quantization_config"] = quantisation(config, options["dtype"])
        check_beside(source, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        extractor = WhisperFeatureExtractor.from_pretrained(folder)
        template = optional_json(folder / "chat_template.json")  # older checkpoints keep it beside the tokenizer
        if not tokenizer.chat_template and template:
            tokenizer.chat_template = template["chat_template"]
        with download.thinker_only(folder) as readable:
            thinker, report = kind.from_pretrained(readable, output_loading_info=True, **options)
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"The checkpoint {source} lacks {len(missing)} of the model's tensors ({missing[0]} and others); "
            "download it again or use a complete checkpoint."
        )
    if report["mismatched_keys"]:
        raise ModelError(f"The checkpoint {source} has weights of other sizes than its config says; download it again.")
    thinker, rows = _with_host_rows(thinker, device) if host_rows else (thinker, None)
    return Loaded(Parts.of(thinker.eval().requires_grad_(False)), tokenizer, extractor, optional_json(folder / MARK) or {}, rows)


def _with_host_rows(thinker: Any, device: str) -> tuple[Any, Tensor]:
    """The thinker on its device, and its embeddings of text on the host, wherever loading has put them: 4 bits go to a GPU at once."""
    rows = thinker.get_input_embeddings().weight.detach().to("cpu", copy=True)
    return thinker.to(device), rows


def text_shape(text: Any, itemsize: int, family: Family) -> ModelShape:
    """The sizes of a language model by its config, with caches of `itemsize` bytes a number and the sound of its family."""
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    experts = getattr(text, "num_experts", None) or 0
    chosen = text.num_experts_per_tok if experts else 0
    return ModelShape(
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        head_dim=head_dim,
        ffn=text.intermediate_size if not experts else chosen * text.moe_intermediate_size,
        vocabulary=text.vocab_size,
        kv_bytes=itemsize,
        experts=experts,
        chosen=chosen,
        audio_tokens_per_s=family.audio_tokens_per_s,
    )


def _needs(
    source: str, snapshot: download.Snapshot | None, text: Any, family: Family, settings: Settings, dtype: torch.dtype
) -> Needs | None:
    """What a checkpoint needs on its device; None where nothing tells its size before it is downloaded."""
    tensors = tensors_in(Path(source)) if snapshot is None else _hub_tensors(snapshot)
    weights = weight_bytes(tensors, dtype.itemsize, settings.four_bit)
    if not weights and source in PARAMETERS:
        weights = released_weights(source, dtype.itemsize, settings.four_bit)
    return needs(weights, text_shape(text, dtype.itemsize, family), settings, dtype.itemsize) if weights else None


def _hub_tensors(snapshot: download.Snapshot) -> Mapping[str, Sequence[int]]:
    """Shapes of a checkpoint by the headers of its files, which are a few kilobytes of those on the hub; empty where they do not tell."""
    tensors: dict[str, Sequence[int]] = tensors_in(snapshot.folder)
    try:
        for file in snapshot.missing:
            told = HfApi().parse_safetensors_file_metadata(snapshot.name, file, revision=snapshot.commit)
            tensors |= {name: info.shape for name, info in told.tensors.items()}
    except SafetensorsParsingError:
        return {}
    except Exception as error:
        if came_from_network(error):
            return {}  # if there is no way to the hub, the download says so
        raise
    return tensors


def _check_fits(source: str, needed: Needs | None, device: str) -> None:
    """Raise ModelError where weights, the caches of one chat and the work on a minute of clip are larger than the free memory."""
    free = free_bytes(device)
    if needed is None or free is None or needed.total <= free:
        return
    place = "the GPU's memory" if device == "cuda" else "memory"
    cure = "--four-bit, a smaller checkpoint, or more GPUs" if device == "cuda" else "a smaller checkpoint, or --dtype bfloat16"
    where = f"in {source}" if Path(source).is_dir() else source
    problem = f" {driver_problem()}" if device == "cpu" and driver_problem() else ""
    raise ModelError(
        f"The checkpoint {where} needs {needed.total / 1e9:.3g} GB ({needed.weights / 1e9:.3g} GB for its weights, "
        f"the rest to read a minute of clip), and {free / 1e9:.3g} GB of {place} are free; use {cure}.{problem}"
    )


def device_map(needed: Needs | None, free: Sequence[int]) -> Any:
    """Where accelerate puts a model: on the first GPU it fits whole, else spread over all of them.

    Args:
        free: bytes that may be taken of each GPU.
    """
    if len(free) == 1:
        return {"": 0}
    whole = [i for i, room in enumerate(free) if needed is not None and needed.total <= room]
    return {"": whole[0]} if whole else "auto"


def dtype_for(wanted: str, device: str) -> str:
    """The precision to use where `wanted` may be "auto": cards before Ampere compute in float16, not in bfloat16."""
    if wanted != "auto":
        return wanted
    return "float32" if device != "cuda" else "float16" if before_ampere() else "bfloat16"


def _device(settings: Settings) -> str:
    available, problem = torch.cuda.is_available(), driver_problem()
    if settings.device == "cuda" and not available:
        cure = "use --device cpu, or run on a machine with an NVIDIA GPU and its driver."
        raise ModelError(f"{problem} Or use --device cpu." if problem else f"No CUDA device is available here; {cure}")
    if settings.device == "auto" and problem:
        getLogger(__name__).warning("%s The model runs on the CPU meanwhile.", problem)
    return "cuda" if settings.device != "cpu" and available else "cpu"


def _options(settings: Settings, device: str) -> dict[str, Any]:
    """What `from_pretrained` is told of precision and attention. Raises ModelError for what cannot be had here."""
    dtype = dtype_for(settings.dtype, device)
    if settings.four_bit and device != "cuda":
        raise ModelError("4-bit weights need a CUDA device; leave out --four-bit, or run on a machine with an NVIDIA GPU.")
    if settings.four_bit and importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError("4-bit weights need bitsandbytes; install it with `pip install bitsandbytes`, or leave out --four-bit.")
    return {"dtype": getattr(torch, dtype), "attn_implementation": attention_for(settings.attention, device, dtype)}


def quantisation(config: Any, dtype: torch.dtype) -> BitsAndBytesConfig:
    """4-bit weights for the layers of the language model alone."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=unquantised_modules(config),
    )


def unquantised_modules(config: Any) -> list[str]:
    """Names of what stays in its own precision: both encoders and the output layer. They are small, and features, saliency and
    logits come from them. Read off the modules, since releases of transformers name them differently."""
    with torch.device("meta"):
        thinker = family_of(config).thinker(config)
    parts = Parts.of(thinker)
    kept = {parts.audio, parts.vision, thinker.get_output_embeddings()}
    return [name for name, module in thinker.named_modules() if module in kept]


def attention_for(wanted: str, device: str, dtype: str) -> str:
    """The attention backend to use where `wanted` may be "auto". Raises ModelError for one that cannot run here."""
    possible = device == "cuda" and dtype != "float32" and is_flash_attn_2_available() and not before_ampere()
    if wanted == "flash_attention_2" and not possible:
        raise ModelError(
            "flash_attention_2 needs a CUDA device of the Ampere generation or newer, a 16-bit precision and the flash-attn package; "
            "use --attention sdpa."
        )
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
        check_complete(folder)
        return str(folder)
    if folder.exists() or model.startswith(("/", ".", "~")) or model.count("/") != 1:
        raise ModelError(
            f"{model} is neither a folder with a checkpoint nor a hub id such as {FAMILIES[0].example}; "
            "check the path or leave --model out."
        )
    return model


@contextmanager
def _weights_reported(on_progress: Callable[[str, float | None], None] | None) -> Iterator[None]:
    """Report transformers' count of loaded weights as "load" and a share."""

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
    """A progress bar that reports each step."""

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
