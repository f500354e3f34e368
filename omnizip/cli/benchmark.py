"""`python -m omnizip eval BENCHMARK`: a public benchmark on the user's own download, as tables, CSV, JSON and a page.

Which clips are done is remembered in --state, one file a part; the same command goes on, and without --shard it puts the parts
together.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compressors import COMPRESSORS
from ..errors import OmniZipError, UsageError
from ..settings import Settings
from . import evaluate
from .command_line import spell
from .console import check_targets, report_error, say, write

if TYPE_CHECKING:
    from ..evaluation.arms import Entry
    from ..evaluation.benchmarks.annotations import BenchmarkReader
    from ..evaluation.benchmarks.examination import BenchmarkJob
    from ..evaluation.benchmarks.protocols import Protocol
    from ..evaluation.runner import Record, RecordStore, Task
    from ..model.qwen import QwenOmni

NAMES = {
    "worldsense": "WorldSense",
    "videomme": "Video-MME, by length, with --subtitles or without",
    "avut": "AVUT, the human-annotated part",
    "shortvid": "ShortVid-Bench",
    "dailyomni": "Daily-Omni",
    "omnivideobench": "OmniVideoBench",
    "captions": "descriptions of whole clips, in the manner of video-SALMONN 2's",
}
METHODS = "full,random,omnizip,glance"
SETTINGS = (*Settings.names("model"), "fps", "max_frames", "tokens_per_step", "max_new_tokens")
WHERE_RESULTS_GO = ("json", "markdown", "csv", "html", "records", "state", "workers", "gpus", "ray", "shard", "judge", "judge_model")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flags of a benchmark."""
    parser.add_argument("--data", required=True, metavar="FOLDER", help="the download, with its annotation and its videos")
    parser.add_argument("--annotations", metavar="FILE", help="the annotation file, where it lies elsewhere or is named otherwise")
    parser.add_argument("--paper", metavar="NAME", help="rows and protocol of a paper's table, such as omnizip-45; eval list names them")
    parser.add_argument("--protocol", metavar="NAME", help="inputs and words (default: exact, or the paper's); eval list names them")
    parser.add_argument(
        "--methods",
        metavar="NAME,NAME",
        help=f"methods at every --retention; all for every method (default, without --arm and --paper: {METHODS})",
    )
    parser.add_argument("--retention", default=evaluate.SHARES, metavar="R,R", help="shares to keep (default: %(default)s)")
    text = "one more line, such as omnizip@0.35:merge_size=15; without @ at every --retention; may be repeated"
    parser.add_argument("--arm", action="append", default=[], metavar="METHOD@R:OPTION=VALUE", help=text)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of random choice, pooled (default: %(default)s)")
    parser.add_argument("--subtitles", action="store_true", help="with the benchmark's subtitles in the question (videomme)")
    parser.add_argument("--limit", type=int, metavar="CLIPS", help="only so many clips, evenly over the annotation")
    parser.add_argument("--shard", metavar="I/N", help="only every N-th clip, the I-th of them; give all parts one --state")
    parser.add_argument("--workers", type=int, help="processes, one thread each (default: 1; with --ray one on each GPU or node)")
    parser.add_argument("--gpus", type=int, default=0, metavar="N", help="one process on each of N GPUs")
    text = "on the nodes of a Ray cluster: its address, auto, or local to start one here (needs requirements-ray.txt)"
    parser.add_argument("--ray", metavar="ADDRESS", help=text)
    parser.add_argument("--state", metavar="FOLDER", help="remember each clip there; the same command goes on after a stop")
    parser.add_argument("--judge", metavar="ADDRESS", help="OpenAI-style address that counts facts missed and invented (captions)")
    parser.add_argument("--judge-model", metavar="NAME", default="", help="model to ask there")
    parser.add_argument("--json", metavar="FILE", help="write the results; - for standard output")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there (default: standard output)")
    parser.add_argument("--csv", metavar="FILE", help="write the table as CSV")
    parser.add_argument("--html", metavar="FILE", help="write tables and plots as one page")
    parser.add_argument("--records", metavar="FILE", help="write every answer, one JSON line a clip")
    Settings.add_flags(parser.add_argument_group("settings"), SETTINGS)


def run(arguments: argparse.Namespace) -> None:
    """Measure, show and write. Raises OmniZipError for what a user can cause or cure, before the long work where possible."""
    targets = ("json", "markdown", "csv", "html", "records")
    check_targets({f"--{name}": getattr(arguments, name) for name in targets})
    if sum(getattr(arguments, name) == "-" for name in targets) > 1:
        raise UsageError("Only one of --json, --markdown, --csv, --html and --records may be -; write the others to files.")
    _check_ray(arguments)
    judge = _judge(arguments)
    part = _shard(arguments.shard)
    job, all_clips = _job(arguments)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")

    from ..evaluation.benchmarks import benchmark_tables, results_page
    from ..evaluation.runner import RecordStore

    tasks = job.tasks() if part is None else job.tasks()[part[0] - 1 :: part[1]]
    suffix = "" if part is None else f"-{part[0]}-of-{part[1]}"
    state = Path(arguments.state) if arguments.state else None
    measure = _on_cluster if arguments.ray else _here
    records, conditions = measure(arguments, job, tasks, lambda known: RecordStore(state, known, suffix))
    conditions |= _conditions(arguments, job, records, all_clips)
    verdicts = {}
    if judge is not None:
        verdicts = _verdicts(judge, records, job, state)
        conditions["judge"] = judge.name
    result = _result(job, records, conditions, verdicts)
    write(arguments.records, lambda: "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records))
    write(arguments.json, lambda: evaluate.as_json(result))
    write(arguments.csv, lambda: benchmark_tables.as_csv(result))
    write(arguments.html, lambda: results_page.page(result))
    if arguments.markdown is not None:
        write(arguments.markdown, lambda: benchmark_tables.markdown(result))
    elif "-" not in (getattr(arguments, name) for name in targets):
        say(benchmark_tables.markdown(result), end="")


def _here(
    arguments: argparse.Namespace, job: BenchmarkJob, tasks: Sequence[Task], open_store: Callable[[dict[str, Any]], RecordStore]
) -> tuple[list[Record], dict[str, Any]]:
    """The clips' records, made in processes of this machine, and what they were made with."""
    from ..evaluation import runner
    from ..model.qwen import QwenOmni

    gpus = _gpus(arguments.gpus)
    workers = len(gpus) or arguments.workers or 1
    model: QwenOmni | None = QwenOmni.load(job.settings)
    known, conditions = runner.identity(job, runner.digest(model)), asdict(model.conditions) | _machine(model)
    if gpus:
        model = None  # the workers have their own, one of them on the same GPU
        _free_gpu()
    records = runner.run(job, model, tasks, open_store(known), workers, sys.stderr, gpus)
    return records, conditions | {"weights": known["weights"], "workers": workers}


def _on_cluster(
    arguments: argparse.Namespace, job: BenchmarkJob, tasks: Sequence[Task], open_store: Callable[[dict[str, Any]], RecordStore]
) -> tuple[list[Record], dict[str, Any]]:
    """The same, made on the nodes of a Ray cluster. What with, its first worker tells: here there may be no GPU, and no model."""
    from ..evaluation import runner
    from ..evaluation.benchmarks.cluster_run import pool_on_ray, records

    with pool_on_ray(arguments.ray, job, len(tasks), arguments.workers, report_error) as pool:
        first = pool.first()
        store = open_store(first.known)
        found = runner.run(job, None, tasks, store, bar=sys.stderr, elsewhere=lambda todo: records(job, pool, todo))
        return found, first.conditions | {"weights": first.known["weights"], "workers": pool.count}


def list_all(arguments: argparse.Namespace) -> None:
    """Show the benchmarks with sizes, licences and homes, then protocols and papers."""
    from ..evaluation.benchmarks import READERS
    from ..evaluation.benchmarks.protocols import PAPERS, PROTOCOLS

    for name, reader in READERS.items():
        sizes = [f"{count:,} {what}" for count, what in ((reader.clips, "clips"), (reader.questions, "questions")) if count]
        if reader.mean_s:
            sizes.append(f"{reader.mean_s:g} s a clip")
        say(
            f"{name}: {reader.label} ({reader.paper}); {', '.join(sizes)}; licence: {reader.licence}.\n  {reader.home}\n  {reader.verified}"
        )
    say("\nProtocols (--protocol); tokens are of a step of two frames, at most:")
    for name, protocol in PROTOCOLS.items():
        inputs = (
            f"{protocol.fps:g} frames/s, {protocol.frames} frames ({protocol.long_frames} of long clips), {protocol.tokens_per_step} tokens"
        )
        say(
            f"  {name}: {inputs}, at most {protocol.max_new_tokens} tokens of answer. {protocol.source}."
            + (f" Departs: {protocol.departs}." if protocol.departs else "")
        )
    say("\nRows of papers (--paper):")
    for name, rows in PAPERS.items():
        on_avut = f"; on AVUT G = {rows.avut_merge_size}" if rows.avut_merge_size else ""
        say(f"  {name}: {rows.protocol.name}; full, {', '.join(rows.arms)}{on_avut}")


def _job(arguments: argparse.Namespace) -> tuple[BenchmarkJob, int]:
    """What is to be run, and how many clips the benchmark has in all."""
    from ..evaluation.benchmarks import READERS
    from ..evaluation.benchmarks.examination import BenchmarkJob, annotation_digest

    counts = (arguments.seeds, arguments.workers, arguments.limit)
    if min(1 if count is None else count for count in counts) < 1 or arguments.gpus < 0:
        raise UsageError("--limit, --seeds and --workers are whole numbers from 1 on, --gpus from 0 on.")
    reader = READERS[arguments.benchmark]
    protocol = _protocol(arguments)
    base = Settings.from_environment(os.environ)
    settings = replace(base, **protocol.settings(reader.long, base)).override(arguments)
    folder = Path(arguments.data)
    if arguments.ray:  # the nodes have working folders of their own
        folder = folder.absolute()
        if settings.model and Path(settings.model).is_dir():
            settings = replace(settings, model=os.path.abspath(settings.model))
    entries = _entries(arguments)
    clips = reader.load(folder, Path(arguments.annotations) if arguments.annotations else None)
    if arguments.subtitles and reader.name != "videomme":
        raise UsageError("--subtitles: only videomme has some; leave it out.")
    if arguments.subtitles and not any(clip.subtitles for clip in clips):
        raise UsageError(f"--subtitles: {arguments.data} has none for these videos; put ID.srt files into its folder subtitle.")
    count, asked = len(clips), annotation_digest(clips)
    if arguments.limit is not None and arguments.limit < count:
        clips = [clips[number * count // arguments.limit] for number in range(arguments.limit)]
    _check_videos(reader, [clip.video for clip in clips], arguments.data)
    return BenchmarkJob(settings, reader.name, protocol, entries, tuple(clips), arguments.subtitles, asked), count


def _check_videos(reader: BenchmarkReader, videos: Sequence[str], folder: str) -> None:
    """Raises UsageError where no video at all is there: that is a wrong folder, and not so many bad files."""
    if videos and not any(Path(video).is_file() for video in videos):
        raise UsageError(f"--data {folder} has none of the {len(videos)} videos of {reader.label}, such as {videos[0]}; unpack them there.")


def _protocol(arguments: argparse.Namespace) -> Protocol:
    from ..evaluation.benchmarks.protocols import PROTOCOLS, paper_rows

    if arguments.protocol is None:
        return paper_rows(arguments.paper).protocol if arguments.paper else PROTOCOLS["exact"]
    if arguments.protocol not in PROTOCOLS:
        raise UsageError(f"--protocol is {arguments.protocol!r}; choose of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[arguments.protocol]


def _entries(arguments: argparse.Namespace) -> tuple[Entry, ...]:
    from ..evaluation import arms
    from ..evaluation.benchmarks.protocols import paper_rows

    shares = evaluate.parse_shares(arguments.retention)
    lines = [*(paper_rows(arguments.paper).lines(arguments.benchmark) if arguments.paper else ()), *arguments.arm]
    found = [entry for line in lines for entry in arms.parse_arm(line, shares, arguments.seeds)]
    if arguments.methods or not lines:
        names = list(COMPRESSORS) if arguments.methods == "all" else (arguments.methods or METHODS).split(",")
        found = arms.method_entries(names, shares, arguments.seeds) + found
    return arms.with_full(found)


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        number, count = map(int, text.split("/"))
    except ValueError:
        number, count = 0, 0
    if not 1 <= number <= count:
        raise UsageError(f"--shard is {text!r}; give the part and how many there are, such as 1/4.")
    return number, count


def _gpus(count: int) -> list[str]:
    """Names of the GPUs for so many processes. Raises UsageError where there are fewer."""
    if not count:
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name for name in visible.split(",") if name] if visible is not None else [str(n) for n in range(torch.cuda.device_count())]
    if len(names) < count:
        raise UsageError(f"--gpus is {count}, and {len(names)} can be seen here; give fewer, or --workers for processes on the CPU.")
    return names[:count]


def _free_gpu() -> None:
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _check_ray(arguments: argparse.Namespace) -> None:
    """Raises UsageError where --ray was given and cannot be had."""
    from ..replicas.ray_session import require_ray

    if arguments.ray is None:
        return
    if not arguments.ray:
        raise UsageError("--ray is empty; give the address of a Ray cluster, auto, or local to start one here.")
    if arguments.gpus:
        raise UsageError(
            "--ray and --gpus exclude each other; with --ray there is a process on each GPU of the cluster, or --workers of them."
        )
    require_ray("--ray")


def _judge(arguments: argparse.Namespace) -> Any:
    from ..evaluation.benchmarks.judge import Judge

    if arguments.judge is None:
        return None
    if arguments.benchmark != "captions":
        raise UsageError("--judge reads descriptions; only captions has some.")
    if not arguments.judge_model:
        raise UsageError("--judge needs --judge-model, the name of the model to ask there.")
    return Judge(arguments.judge, arguments.judge_model)


def _verdicts(judge: Any, records: Sequence[Record], job: BenchmarkJob, state: Path | None) -> dict[Any, Any]:
    from ..evaluation.benchmarks.judge import INSTRUCTIONS, judge_all
    from ..evaluation.runner import RecordStore

    known = {"judge": judge.model, "address": judge.address, "instructions": INSTRUCTIONS}
    verdicts, reasons = judge_all(judge, records, job.entries, RecordStore(state / "judged" if state else None, known))
    for reason in reasons:
        report_error(reason)
    return verdicts


def _machine(model: QwenOmni) -> dict[str, Any]:
    from ..model.conditions import machine_conditions

    return machine_conditions(model.parts.device)


def _conditions(arguments: argparse.Namespace, job: BenchmarkJob, records: Sequence[Record], all_clips: int) -> dict[str, Any]:
    from ..evaluation.benchmarks import READERS

    reader, s = READERS[job.benchmark], job.settings
    return {
        "benchmark": job.benchmark,
        "label": reader.label,
        "clips": len(records),
        "all_clips": all_clips,
        "questions": sum(len(record["questions"]) for record in records),
        "subtitles": job.subtitles,
        "protocol": asdict(job.protocol),
        **{name: getattr(s, name) for name in ("fps", "max_frames", "tokens_per_step", "max_new_tokens")},
        "seeds_of_random": arguments.seeds,
        "shard": arguments.shard,
        "interval": "95 %, bootstrap over clips",
        "command": spell(f"python -m omnizip eval {job.benchmark}", add_flags, arguments, skipped=WHERE_RESULTS_GO),
    }


def _result(job: BenchmarkJob, records: Sequence[Record], conditions: dict[str, Any], verdicts: dict[Any, Any]) -> dict[str, Any]:
    from ..evaluation.benchmarks import scores

    if not records:
        raise OmniZipError("This part has no clips; give fewer parts with --shard.")
    result: dict[str, Any] = {"conditions": conditions, "results": scores.summarise(records, job.entries)}
    if job.benchmark == "captions":
        result["descriptions"] = scores.descriptions(records, job.entries, verdicts)
    return result
