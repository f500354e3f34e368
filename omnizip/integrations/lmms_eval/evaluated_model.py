"""The model that lmms-eval asks: any method of this project on any checkpoint it loads, one clip at a time.

A task brings the words and the limit of an answer; what is read of a clip (frames, pixels) and the system text are a protocol's, as
in `python -m omnizip eval`, whose answers these are. Questions about one clip are answered together, so it is encoded once. As in
lmms-eval's own models of Qwen, `until` cuts nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from lmms_eval.api.model import lmms
from tqdm import tqdm

from ... import media
from ...engine.events import Arm
from ...engine.out_of_memory import SecondTry
from ...errors import OmniZipError, UsageError
from ...evaluation.benchmarks.protocols import PROTOCOLS
from ...evaluation.benchmarks.respondent import Respondent, plain
from ...model.prefix_cache import Prefixes
from ...model.qwen import QwenOmni
from ...settings import Settings
from ...types import Sampling
from .documents import FAILED

READ = ("device", "dtype", "attention", "four_bit", "fps", "max_frames", "tokens_per_step", "seed")  # settings that are arguments here


class EvaluatedModel(lmms):
    """`--model omnizip`; its arguments are this class's."""

    def __init__(
        self,
        pretrained: str = "",
        method: str = "omnizip",
        retention: float | None = None,
        protocol: str = "lmms-eval",
        long: bool = False,
        on_error: str = "stop",
        records: str = "",
        batch_size: int = 1,
        **more: Any,
    ) -> None:
        """Load the model.

        Args:
            pretrained: hub id or folder of a checkpoint; empty for the embedded model.
            retention: share of audio and video tokens to keep, unless rates of the method are given.
            protocol: whose frames, pixels and system text; `python -m omnizip eval list` shows them.
            long: with the protocol's frames for clips of up to an hour.
            on_error: "stop" the run, or "mark" the answer as none, which only this project's tasks count apart.
            records: file that gets one JSON line a question: the answer, what was read, what each part took.
            batch_size: 1.
            more: settings (device, dtype, fps, max_frames, ...), and options of the method (such as merge_size).

        Raises:
            OmniZipError: any of these cannot be.
        """
        super().__init__()
        if PartialState().num_processes > 1 or int(batch_size) != 1:
            raise UsageError("--model omnizip runs in one process with batch_size 1; for several GPUs, python -m omnizip eval has --gpus.")
        if protocol not in PROTOCOLS:
            raise UsageError(f"protocol is {protocol!r}; choose of {', '.join(PROTOCOLS)}.")
        if on_error not in ("stop", "mark"):
            raise UsageError(f"on_error is {on_error!r}; choose stop or mark.")
        chosen = PROTOCOLS[protocol]
        options = {name: value for name, value in more.items() if name not in READ}
        self._arm = Arm(method, None if retention is None else float(retention), options)
        rates = [item.name for item in self._arm.method_class().options() if item.is_rate]
        if rates and retention is None and not set(rates) & set(options):
            raise UsageError(f"method={method} needs to know how much to keep; add retention=0.35, or its own {' and '.join(rates)}.")
        base = Settings.from_environment(os.environ)
        settings = replace(base, model=str(pretrained), **chosen.settings(long, base))
        self._settings = replace(settings, **{name: value for name, value in more.items() if name in READ})
        self._system, self._stops = chosen.system, on_error == "stop"
        self._records = Path(records) if records else None
        self._model = QwenOmni.load(self._settings)
        self._asked: tuple[tuple[str, Sampling], Respondent] | None = None

    def generate_until(self, requests: list[Any]) -> list[str]:
        """The answers, in the order of the requests."""
        clips = [self._clip(request) for request in requests]
        answers = [""] * len(requests)
        order = sorted(range(len(requests)), key=clips.__getitem__)
        for number in tqdm(order, desc="Model Responding"):
            request, context = requests[number], requests[number].args[0]
            try:
                answers[number] = self._answer(request, clips[number], self._sampling(request.args[1]))
            except Exception as error:
                if self._stops:
                    raise
                reason = str(error) if isinstance(error, OmniZipError) else f"{type(error).__name__}: {error}"
                answers[number] = f"{FAILED}{reason}"
                self._note(request, {"failed": reason})
            else:
                self.cache_hook.add_partial("generate_until", (context, request.args[1]), answers[number])
        return answers

    def _clip(self, request: Any) -> str:
        """The path of a request's video. Raises UsageError where it has something else."""
        _, _, doc_to_visual, doc_id, task, split = request.args
        found = doc_to_visual(self.task_dict[task][split][doc_id])
        if len(found) != 1 or not isinstance(found[0], str):
            kinds = ", ".join(sorted({type(item).__name__ for item in found})) or "nothing"
            raise UsageError(f"The task {task} shows {len(found)} items ({kinds}) to look at; --model omnizip reads one video file.")
        return found[0]

    def _sampling(self, given: dict[str, Any]) -> Sampling:
        """How a request wants its answer written. Raises UsageError for beams, which there are none of here."""
        if (given.get("num_beams") or 1) > 1:
            raise UsageError(f"num_beams is {given['num_beams']}; --model omnizip writes one answer, set it to 1.")
        greedy = given.get("do_sample") is False
        temperature = 0.0 if greedy else float(given.get("temperature") or 0)
        most = int(given.get("max_new_tokens") or self._settings.max_new_tokens)
        return Sampling(most, temperature, float(given.get("top_p") or 1.0), self._settings.seed)

    def _answer(self, request: Any, video: str, sampling: Sampling) -> str:
        respondent = self._respondent(video, sampling)
        memory = SecondTry(self._model, Prefixes(0), respondent.whole.clip.frames.shape)
        reply = memory.run(lambda: respondent.reply("only", self._arm, request.args[0]))
        self._note(request, plain(reply))
        return reply.text

    def _respondent(self, video: str, sampling: Sampling) -> Respondent:
        """The model with this clip before it, encoded once for all its questions."""
        if self._asked is None or self._asked[0] != (video, sampling):
            self._asked = None  # freed before another is made
            read = media.load(video, self._settings)
            encoded = SecondTry(self._model, Prefixes(0), read.frames.shape).run(lambda: self._model.encode(read))
            self._asked = (video, sampling), Respondent(self._model, encoded, sampling, self._system)
        return self._asked[1]

    def _note(self, request: Any, found: dict[str, Any]) -> None:
        if self._records is not None:
            _, _, _, doc_id, task, _ = request.args
            line = {"task": task, "doc_id": doc_id, "method": self._arm.method, "retention": self._arm.retention, **found}
            with self._records.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Not offered: methods inside the model read a prompt for its end."""
        raise UsageError("--model omnizip writes answers; choose a task that asks for text, not for the likelihood of options.")

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Not offered."""
        raise UsageError("--model omnizip answers one question at a time; choose a task of one round.")
