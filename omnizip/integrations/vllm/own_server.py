"""A server to measure on where no released checkpoint is at hand: the embedded model's encoders before a larger language model.

Its weights are random, which changes what it says and not how long it takes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...errors import ModelError
from ...model.full_layout import write_full_layout
from ...model.loading import embedded

# 155 million parameters; the sections of a head are Qwen2.5-Omni's, scaled to 64 numbers
LANGUAGE_MODEL = {
    "hidden_size": 768,
    "num_hidden_layers": 18,
    "max_window_layers": 18,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 3072,
}
START_S = 900
FLAGS = (
    *("--dtype", "float32", "--max-model-len", "4096", "--enforce-eager", "--max-num-seqs", "16", "--trust-request-mm-kwargs"),
    *("--limit-mm-per-prompt", '{"video": 1, "audio": 1, "image": 0}'),
    *("--media-io-kwargs", '{"video": {"fps": 2, "num_frames": -1}}'),
    *("--mm-processor-kwargs", '{"min_pixels": 1024, "max_pixels": 18432}'),
)


def random_checkpoint(folder: Path) -> Path:
    """Write the checkpoint to the new folder `folder`, in full layout; returns it."""
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration as Thinker

    source = embedded()
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["text_config"] |= LANGUAGE_MODEL
    config["text_config"].pop("layer_types", None)
    config["vision_config"]["out_hidden_size"] = config["audio_config"]["output_dim"] = LANGUAGE_MODEL["hidden_size"]
    torch.manual_seed(0)
    with TemporaryDirectory(dir=folder.parent) as made:
        alone = Path(made)
        Thinker(Thinker.config_class(**{name: value for name, value in config.items() if name != "architectures"})).save_pretrained(alone)
        for file in source.iterdir():
            if file.name not in ("config.json", "model.safetensors", "selector.safetensors") and file.is_file():
                shutil.copyfile(file, alone / file.name)
        return write_full_layout(alone, folder)


@contextmanager
def own_server() -> Iterator[str]:
    """The address of a server of such a checkpoint, with the plugin; gone afterwards. Raises ModelError where it does not start."""
    with TemporaryDirectory() as place, socket.socket() as free:
        checkpoint, log = random_checkpoint(Path(place) / "random-155m"), Path(place) / "log.txt"
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint), *FLAGS]
        command += ["--served-model-name", checkpoint.name, "--host", "127.0.0.1", "--port", str(port)]
        environment = {"OMNIZIP_VLLM_METHOD": "omnizip", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"} | os.environ
        with log.open("w") as written:
            server: Any = subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment)
        try:
            deadline = time.monotonic() + START_S
            while not _answers(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise ModelError(f"The server did not start: {log.read_text()[-300:]!r}.")
                time.sleep(1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
