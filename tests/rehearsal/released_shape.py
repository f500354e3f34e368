"""The dress rehearsal at the released size: Qwen2.5-Omni-3B's thinker in bfloat16 with weights of no meaning, fetched, loaded and read.

    PYTHONPATH=.:tests/support python tests/rehearsal/released_shape.py --json docs/results/rehearsal-3b.json

Takes 10 GB of disk under --folder and 14 GB of memory, for minutes. The hub's files are made while they are sent and lie nowhere.
The page fetches and loads; a second process then starts from the cache and reads every weight. No comparison is waited for: on a
processor without bfloat16 of its own the encoders alone take minutes.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from checkpoints import INDEX, TALKER, beside_the_weights
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from hub import REPO, hub_serving, until
from served import ROOT, free_port, served
from tiny import extractor, tokenizer

from omnizip.bench import compress, prefill
from omnizip.model.conditions import machine_conditions
from omnizip.model.memory import free_bytes

NAMES = {"model.audio_tower.": "thinker.audio_tower.", "model.visual.": "thinker.visual.", "model.language_model.": "thinker.model."}
SHARD = 5_000_000_000
POOL = 16_000_002  # bytes of bfloat16 that repeat; no multiple of a row
NEEDED_MEMORY, NEEDED_DISK = 14e9, 12e9
CUT = 2_000_000_000
READ = """
import json, sys, time
started = time.monotonic()
import torch
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
model = QwenOmni.load(Settings(model=sys.argv[1], device="cpu", dtype="bfloat16"))
loaded = time.monotonic()
thinker = model.parts.thinker
assert all(bool(torch.isfinite(p).all()) for p in thinker.parameters())
with torch.no_grad():
    assert torch.isfinite(thinker(input_ids=torch.tensor([[1, 2]])).logits).all()
seconds = {"start_from_cache_s": round(loaded - started, 1), "read_all_s": round(time.monotonic() - loaded, 1)}
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps(seconds | {"parameters": thinker.num_parameters(), "peak_resident_bytes": int(status["VmHWM"].split()[0]) * 1024}))
"""  # of a process that starts when all is in the cache


class Lazy:
    """A safetensors file that is made where it is read."""

    def __init__(self, shapes, pool):
        header, at = {"__metadata__": {"format": "pt"}}, 0
        for name, shape in shapes.items():
            size = 2 * torch.Size(shape).numel()
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self.head, self.size, self.pool = len(text).to_bytes(8, "little") + text, at, pool
        self.digest = self.blob_id = hashlib.sha1(self.head).hexdigest()

    def __len__(self):
        return len(self.head) + self.size

    def read(self, start, stop):
        first = self.head[start:stop]
        data = bytearray()
        at = max(start, len(self.head)) - len(self.head)
        while len(first) + len(data) < stop - start:
            place = at % len(self.pool)
            block = self.pool[place : place + stop - start - len(first) - len(data)]
            data += block
            at += len(block)
        return first + bytes(data)


def released_names(state):
    """Shapes by the names a released checkpoint has, whatever the installed transformers calls its modules."""
    shapes = {}
    for name, value in state.items():
        new = next((kept + name.removeprefix(own) for own, kept in NAMES.items() if name.startswith(own)), f"thinker.{name}")
        shapes[new] = tuple(value.shape)
    return shapes


def released_files(folder):
    """{name: content} of the repository; the last file is talker and vocoder alone, with shapes that stand for theirs."""
    parts = prefill.build("3b", compress.Bench(torch.device("meta"), torch.bfloat16), "sdpa")
    generator = torch.Generator().manual_seed(0)
    pool = (torch.randn(POOL // 2, generator=generator) * 0.02).bfloat16().view(torch.uint8).numpy().tobytes()
    shards, filled = [{}], 0
    for name, shape in released_names(parts.thinker.state_dict()).items():
        size = 2 * torch.Size(shape).numel()
        if filled and filled + size > SHARD:
            shards.append({})
            filled = 0
        shards[-1][name] = shape
        filled += size
    shards.append(TALKER)
    files, weight_map = {}, {}
    for i, shapes in enumerate(shards, start=1):
        file = f"model-{i:05}-of-{len(shards):05}.safetensors"
        files[file] = Lazy(shapes, pool)
        weight_map |= dict.fromkeys(shapes, file)
    files[INDEX] = json.dumps({"metadata": {}, "weight_map": weight_map}).encode()
    config = parts.thinker.config
    made, ids = tokenizer(), tokenizer().get_vocab()
    told = config.to_dict()
    for key, token in {
        "audio_token_id": "<|AUDIO|>",
        "image_token_id": "<|IMAGE|>",
        "video_token_id": "<|VIDEO|>",
        "audio_start_token_id": "<|audio_bos|>",
        "audio_end_token_id": "<|audio_eos|>",
    }.items():
        told[key] = ids[token]
        told.pop(key.replace("_id", "_index"), None)
    full = {"model_type": "qwen2_5_omni", "architectures": ["Qwen2_5OmniModel"], "thinker_config": told, "enable_audio_output": True}
    (folder / "config.json").write_text(json.dumps(full))
    made.save_pretrained(folder)
    extractor().save_pretrained(folder)
    return files | beside_the_weights(folder), [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]


class Watch(threading.Thread):
    """The most memory that the process on a port had, looked at ten times a second."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.peak_anonymous, self.peak_resident, self.ended = port, 0, 0, threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            for status in Path("/proc").glob("[0-9]*/status"):
                try:
                    if str(self.port) not in (status.parent / "cmdline").read_text().split("\0"):
                        continue
                    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
                    self.peak_anonymous = max(self.peak_anonymous, int(lines["RssAnon"].split()[0]) * 1024)
                    self.peak_resident = max(self.peak_resident, int(lines["VmHWM"].split()[0]) * 1024)
                except (OSError, KeyError):
                    continue


def rehearse(folder):
    """What it took, as plain data."""
    small, cache, port = folder / "small", folder / "hub", free_port()
    small.mkdir()
    files, shards = released_files(small)
    no_clip = folder / "no-clip.txt"
    no_clip.write_text("This is no clip.")
    took, started, watch = {}, time.monotonic(), Watch(port)
    conditions = machine_conditions(torch.device("cpu"))
    watch.start()

    def passed(name):
        nonlocal started
        took[name], started = round(time.monotonic() - started, 1), time.monotonic()

    with hub_serving(files) as hub:
        hub.faults.cuts = [CUT]
        environment = hub.environment(cache, OMP_NUM_THREADS="2")
        flags = ["--port", str(port), "--model", REPO, "--device", "cpu", "--dtype", "bfloat16"]
        with served(folder, environment, *flags, address=f"http://127.0.0.1:{port}/") as url:
            passed("page_up_s")
            snapshots = cache / f"models--{REPO.replace('/', '--')}" / "snapshots"
            until(lambda: all((snapshots / hub.head / name).exists() for name in shards[:-1]), 1200)
            passed("download_s")
            wait_for_model(Client(url, verbose=False), str(no_clip))
            passed("load_s")
        watch.ended.set()
        hub.asked.clear()
        command = [sys.executable, "-c", READ, REPO]
        again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=1200)
        return {
            "conditions": conditions | {"model": REPO, "dtype": "bfloat16", "weights": "random, of the released shape"},
            "bytes": {name: {"size": len(files[name]), "sent": hub.bytes_of(name), "starts": hub.starts.get(name, [])} for name in shards},
            "cut_after_bytes": CUT,
            "seconds": took,
            "peak_anonymous_bytes": watch.peak_anonymous,
            "peak_resident_bytes": watch.peak_resident,  # with pages of the files that were read
            "second_process": json.loads(again.stdout.splitlines()[-1]) | {"questions_to_the_hub": len(hub.asked)},
        }


def wait_for_model(client, no_clip):
    """Until the page complains of the file and no more of the model."""
    while True:
        try:
            client.predict(video=handle_file(no_clip), question="What is shown?", api_name="/compare")
        except AppError as problem:
            if "still being loaded" not in str(problem):
                assert "no-clip.txt" in str(problem) or "clip" in str(problem) or "video" in str(problem), str(problem)
                return
        time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=None, help="where 10 GB have room for a while")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-", dir=given.folder))
    try:
        if (free_bytes("cpu") or 0) < NEEDED_MEMORY or shutil.disk_usage(folder).free < NEEDED_DISK:
            sys.stderr.write("Less than 14 GB of memory or 12 GB of disk are free; run it elsewhere.\n")
            return 2
        given.json.write_text(json.dumps(rehearse(folder), indent=1) + "\n")
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
