"""Devices that are not here: a model on emulated GPUs, one or two of them, and flash-attn by its contract.

A conversation is what every device is asked for: each method, and a follow-up that goes on from what was read where it can.
"""

import importlib.machinery
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import tiny
import torch
from torch.nn.functional import scaled_dot_product_attention

from omnizip.bench.emulated_gpu import OnGpu
from omnizip.compressors import COMPRESSORS
from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.types import Sampling, Turn

QUESTIONS = ("What is it?", "And then?")
TOKENS = 2
LAYERS = 8


@dataclass
class Said:
    """What one turn came to, on the host."""

    keep: torch.Tensor
    source: torch.Tensor
    embeds: torch.Tensor
    ids: list
    reused: int
    left: list | None  # per layer, rows read by text, sound, picture; of methods inside the model


def converse(model, name, encoded, retention=0.4, sampling=None):
    """Two turns about a clip with a method."""
    said, prefix, history = [], None, ()
    for question in QUESTIONS:
        stream = model.stream(encoded, (*history, Turn(question)))
        method = COMPRESSORS[name].at_retention(retention, stream)
        compression = method.compress(stream)
        prompt = stream.prompt(compression)
        prefilled = model.prefill(prompt, method, stream) if prefix is None else model.resume(prefix, prompt)
        ids = list(model.decode(prefilled, sampling or Sampling(max_new_tokens=TOKENS)))
        left = prefilled.kept.layers if prefilled.kept else None
        said.append(Said(*(x.cpu() for x in (compression.keep, compression.source, prompt.embeds)), ids, prefilled.reused, left))
        if not method.reads_question:
            prefix = model.prefix(prefilled, prompt, ids)
        history = (*history, Turn(question, model.text(ids)))
    return said


def assert_alike(found, expected, tolerance):
    """Decisions and answers to the bit, embeddings to a tolerance."""
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.keep, other.keep) and torch.equal(one.source, other.source)
        assert one.ids == other.ids and one.left == other.left and one.reused == other.reused
        assert one.embeds.isfinite().all()
        torch.testing.assert_close(one.embeds.float(), other.embeds.float(), atol=tolerance, rtol=tolerance)


def model_of(thinker, settings):
    return QwenOmni(Loaded(Parts.of(thinker), tiny.tokenizer(), tiny.extractor(), {}), settings)


def on_one(gpus, model):
    """The same model on one GPU."""
    return model_of(gpus.put(model.parts.thinker), model.settings)


def on_two(gpus, model):
    """The same, with the second half of the layers and the head on another GPU, dispatched by accelerate."""
    from accelerate import dispatch_model

    thinker = gpus.put(model.parts.thinker)
    parts = Parts.of(thinker)
    names = {module: name for name, module in thinker.named_modules()}
    half = len(parts.language.layers) // 2
    far = {names[module] for module in (*parts.language.layers[half:], parts.language.norm, thinker.get_output_embeddings())}
    placed = {name: int(name in far) for name in _pieces(thinker, parts, names)}
    return model_of(dispatch_model(thinker, placed, main_device=0, force_hooks=True), model.settings)


def _pieces(thinker, parts, names):
    """Names that cover all of a thinker: both encoders, and of the language model each part."""
    inside = [child for child in parts.language.children() if not isinstance(child, torch.nn.ModuleList)]
    return [names[module] for module in (parts.audio, parts.vision, *inside, *parts.language.layers, thinker.get_output_embeddings())]


def in_precision(model, dtype, attention="sdpa"):
    """A copy of a model in another precision, on the host."""
    import copy

    thinker = copy.deepcopy(model.parts.thinker).to(dtype)
    parts = Parts.of(thinker)
    for part in (thinker, parts.language, parts.audio, parts.vision):
        part.config._attn_implementation = attention
    return model_of(thinker, replace(model.settings))


def _check(*tensors):
    for x in tensors:
        if x.dtype not in (torch.float16, torch.bfloat16):
            raise RuntimeError("FlashAttention only support fp16 and bf16 data type")
        if not isinstance(x, OnGpu):
            raise RuntimeError("FlashAttention only supports CUDA tensors")
    if len({x.dtype for x in tensors}) > 1:
        raise RuntimeError("query, key and value must have the same dtype")


def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, deterministic=False):
    """(B, Q, H, d) attention of queries (B, Q, H, d) to (B, K, G, d); a causal mask is aligned with the end of the keys."""
    _check(q, k, v)
    mask = None
    if causal:
        rows, columns = q.shape[1], k.shape[1]
        mask = torch.ones(rows, columns, dtype=torch.bool, device=q.device).tril(columns - rows)
    made = scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (q, k, v)), attn_mask=mask, scale=softmax_scale, enable_gqa=q.shape[2] != k.shape[2]
    )
    return made.transpose(1, 2)


def flash_attn_varlen_func(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1)
):
    """(T, H, d) attention within the pieces that cumulative lengths, int32 and on the device, cut."""
    _check(q, k, v)
    edges = []
    for cumulative in (cu_seqlens_q, cu_seqlens_k):
        if cumulative.dtype != torch.int32 or not isinstance(cumulative, OnGpu):
            raise RuntimeError("cu_seqlens must have dtype int32 and lie on the device")
        edges.append(cumulative.values.tolist())  # the kernel reads them where they are
    lengths = [end - start for cut in edges for start, end in zip(cut, cut[1:], strict=False)]
    if max(lengths) > max(int(max_seqlen_q), int(max_seqlen_k)):
        raise RuntimeError("max_seqlen is shorter than a sequence")
    made = []
    for (a, b), (c, d) in zip(*(list(zip(cut, cut[1:], strict=False)) for cut in edges), strict=True):
        if b > a:
            made.append(flash_attn_func(q[None, a:b], k[None, c:d], v[None, c:d], softmax_scale=softmax_scale, causal=causal)[0])
    return torch.cat(made)


@contextmanager
def flash_attn():
    """Within it, transformers finds flash-attn 2."""
    from transformers import modeling_flash_attention_utils as using

    package, padding = types.ModuleType("flash_attn"), types.ModuleType("flash_attn.bert_padding")
    package.__spec__ = importlib.machinery.ModuleSpec("flash_attn", None)
    package.flash_attn_func, package.flash_attn_varlen_func = flash_attn_func, flash_attn_varlen_func
    package.flash_attn_with_kvcache = None
    padding.pad_input = padding.unpad_input = None  # nothing is padded
    state = {name: None for name in vars(using) if name == "_loaded_implementation"}
    with (
        patch.dict(sys.modules, {"flash_attn": package, "flash_attn.bert_padding": padding}),
        patch.multiple(using, is_flash_attn_2_available=lambda: True, **state),
    ):
        yield
