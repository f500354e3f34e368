"""vLLM with the plugin on the embedded model, in this process, and the product beside it as the truth."""

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace

os.environ |= {  # before vLLM is imported
    "HF_HUB_OFFLINE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "OMNIZIP_VLLM_METHOD": "omnizip",
    "OMNIZIP_VLLM_RETENTION": "0.35",
}

import torch

from omnizip.assets import asset
from omnizip.compressors import COMPRESSORS
from omnizip.media import load
from omnizip.model.full_layout import write_full_layout
from omnizip.model.loading import embedded
from omnizip.model.qwen import QwenOmni
from omnizip.model.qwen2_5_omni import SYSTEM
from omnizip.settings import Settings
from omnizip.stream import Compression, Prompt, TokenStream
from omnizip.types import Sampling, Turn

EXAMPLES = ("bell", "green-heart", "whistle", "stripes", "music", "two-hearts")
LONGEST = 24  # tokens of an answer
PIXELS = {"min_pixels": 1024, "max_pixels": 18432}  # of a picture, as the embedded model's checkpoint has them


def example(name):
    """An example clip as the product decodes it."""
    return load(asset("examples") / f"{name}.mp4", Settings())


def key_of(clip):
    """Equal for equal contents."""
    sound = None if clip.waveform is None else clip.waveform.tobytes()
    return clip.frames.tobytes(), sound, clip.silent, clip.fps


@dataclass
class Truth:
    """What the product reads and answers."""

    stream: TokenStream
    decision: Compression
    prompt: Prompt
    answer: list[int]


class Product:
    """The product, with the embedded model in one precision."""

    def __init__(self, dtype="float32"):
        self.model = QwenOmni.load(Settings(model="", dtype=dtype))
        self._encoded = {}

    def encode(self, clip):
        if key_of(clip) not in self._encoded:
            self._encoded[key_of(clip)] = self.model.encode(clip)
        return self._encoded[key_of(clip)]

    def read(self, clip, question, method="omnizip", retention=0.35, media=None, **options):
        """What is read of a clip. A method that chooses before encoding is given the encoding of everything, as vLLM has it.

        Args:
            media: (M, D) embeddings of the clip's tokens to decide by instead of the product's own.
        """
        encoded = self.encode(clip)
        stream = self.model.stream(encoded, [Turn(question)])
        if media is not None:
            stream = replace(stream, embeds=stream.embeds.index_copy(0, stream.media_index, media))
        compressor = COMPRESSORS[method].at_retention(retention, stream, **options)
        if compressor.chooses_before_encoding:
            seen, _ = self.model.look(encoded, compressor)
            stream = replace(stream, seen=seen)
        decision = compressor.compress(stream)
        prompt = stream.prompt(decision)
        answer = list(self.model.decode(self.model.prefill(prompt), Sampling(max_new_tokens=LONGEST)))
        return Truth(stream, decision, prompt, answer)


class Served:
    """vLLM, and what its language model was given."""

    def __init__(self, product, folder, **options):
        from vllm import LLM

        self.product, self._media = product, {}
        write_full_layout(embedded(), folder)
        self.llm = LLM(
            str(folder),
            max_model_len=4096,
            enforce_eager=True,
            max_num_seqs=8,
            mm_processor_kwargs=PIXELS,
            limit_mm_per_prompt={"video": 2, "audio": 3, "image": 1},
            **{"dtype": "float32"} | options,
        )
        self.model = self.llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner.model

    def request(self, clip, question, pruning=None):
        """The prompt the product would write, with the clip behind it."""
        before, after = self.product.model.processor._rendered([Turn(question)], SYSTEM)
        data = {"video": clip.frames}
        kwargs = {"fps": clip.fps} | ({} if pruning is None else {"omnizip": pruning})
        if clip.waveform is not None:
            data["audio"] = (clip.waveform, 16000)
            kwargs["use_audio_in_video"] = True
        return {
            "prompt": f"{before}<|vision_bos|><|VIDEO|><|vision_eos|>{after}",
            "multi_modal_data": data,
            "mm_processor_kwargs": kwargs,
        }

    def generate(self, requests):
        """One result a request, all asked at once."""
        from vllm import SamplingParams

        return self.llm.generate(requests, SamplingParams(temperature=0, max_tokens=LONGEST), use_tqdm=False)

    def answer(self, result):
        """Ids without the one that ends the turn."""
        return [i for i in result.outputs[0].token_ids if i not in self.product.model.processor.end_ids]

    def read(self, request):
        """(result, (L, D) embeddings, (3, L) positions) of one request, as the language model was given them."""
        self.llm.reset_prefix_cache()
        with self._given() as seen:
            (result,) = self.generate([request])
        length = len(result.prompt_token_ids)
        embeds, positions = torch.cat([part[0] for part in seen]), torch.cat([part[1] for part in seen], dim=1)
        self.answered = positions[:, length:]  # where each answered token was read
        return result, embeds[:length], positions[:, :length]

    def media(self, clip):
        """(M, D) what vLLM's encoders say of a clip, which is what the product's say but for the order of sums."""
        if key_of(clip) not in self._media:
            truth = self.product.read(clip, "?", "full")
            _, embeds, positions = self.read(self.request(clip, "?", {"method": "full"}))
            assert torch.equal(positions, truth.prompt.positions)
            assert torch.allclose(embeds, truth.prompt.embeds, rtol=0, atol=1e-5), (embeds - truth.prompt.embeds).abs().max()
            self._media[key_of(clip)] = embeds[truth.stream.media_index]
        return self._media[key_of(clip)]

    def check(self, clip, question, method="omnizip", retention=0.35, asked=True, **options):
        """The result and what the product reads, once both were found the same: tokens, positions, embeddings to 1e-5, answer.

        Where patches are alike, sums in another order break ties, so the product decides by vLLM's numbers here, which
        `media` has compared with its own; decided by its own it keeps as many, and nearly all the same (noise of 1e-6 on the
        product's numbers moves a twelfth of OmniSIFT's choice on the checked picture of `whistle`, and nothing of most).
        """
        wanted = self.product.read(clip, question, method, retention, self.media(clip), **options)
        own = self.product.read(clip, question, method, retention, **options)
        pruning = {"method": method, "retention": retention, "options": options} if asked else None
        result, embeds, positions = self.read(self.request(clip, question, pruning))
        assert embeds.shape == wanted.prompt.embeds.shape == own.prompt.embeds.shape
        assert torch.equal(positions, wanted.prompt.positions)
        assert torch.allclose(embeds, wanted.prompt.embeds, rtol=0, atol=1e-5), (embeds - wanted.prompt.embeds).abs().max()
        assert int((own.decision.keep != wanted.decision.keep).sum()) <= 0.1 * len(own.prompt.index)
        assert self.answer(result) == wanted.answer == own.answer
        steps = torch.arange(self.answered.shape[1]).expand(3, -1)
        assert torch.equal(self.answered, wanted.prompt.next_position + steps) and steps.shape[1] >= len(wanted.answer) - 1
        return result, own

    @contextmanager
    def _given(self):
        seen, model = [], type(self.model)
        stock = model.forward

        def noted(this, input_ids, positions, intermediate_tensors=None, inputs_embeds=None, **kwargs):
            seen.append((inputs_embeds.clone(), positions.clone()))
            return stock(this, input_ids, positions, intermediate_tensors, inputs_embeds, **kwargs)

        model.forward = noted
        try:
            yield seen
        finally:
            model.forward = stock
