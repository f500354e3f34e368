"""The released layout of a full Qwen2.5-Omni checkpoint, in shards as they lie on the hub, with weights of no meaning."""

import json
from pathlib import Path

import tiny
import torch
from safetensors.torch import load_file, save

INDEX = "model.safetensors.index.json"
TALKER = {  # what follows the thinker in a released checkpoint; shapes are small, names are those it has
    "talker.codec_head.weight": (64, 48),
    "talker.model.embed_tokens.weight": (64, 48),
    "talker.model.layers.0.self_attn.q_proj.weight": (48, 48),
    "talker.thinker_to_talker_proj.weight": (48, 64),
    "token2wav.code2wav_bigvgan_model.conv_pre.weight": (512, 80, 7),
    "token2wav.code2wav_dit_model.input_embed.proj.weight": (512, 400),
}
MIXED = 2  # of the talker's tensors, how many share the last file of the thinker


def full_checkpoint(folder, seed=0):
    """{name: bytes} of a repository; the thinker fills the first shard and part of the second, the third is all talker and vocoder."""
    folder = Path(folder)
    tiny.save(folder, seed=seed)
    tiny.rename_to_full(folder)
    own = {name: value for name, value in load_file(folder / "model.safetensors").items() if name.startswith("thinker.")}
    (folder / "model.safetensors").unlink()
    generator = torch.Generator().manual_seed(seed)
    rest = {name: torch.randn(shape, generator=generator) for name, shape in TALKER.items()}
    thinker, talker = sorted(own), list(rest)
    half = len(thinker) // 2
    shards = [thinker[:half], thinker[half:] + talker[:MIXED], talker[MIXED:]]
    files, weight_map = {}, {}
    for i, names in enumerate(shards, start=1):
        file = f"model-{i:05}-of-{len(shards):05}.safetensors"
        tensors = {name: (own | rest)[name].clone() for name in names}
        files[file] = save(tensors, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    size = sum(len(data) for data in files.values())
    files[INDEX] = json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}).encode()
    return files | beside_the_weights(folder)


def beside_the_weights(folder):
    """Small files as a released repository has them: the template in a file of its own, and some that nobody here reads."""
    template = folder / "chat_template.jinja"
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template.read_text()}))
    template.unlink()
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2], "max_new_tokens": 2048}))
    (folder / "README.md").write_text("---\nlicense: other\n---\nA model.")
    (folder / "LICENSE").write_text("None.")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (folder / "spk_dict.pt").write_bytes(bytes(50_000))  # the talker's voices
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}
