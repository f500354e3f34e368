"""What vLLM's language model is given of a clip is what the product gives its own: tokens, positions, embeddings, and the answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from vllm_engine import EXAMPLES, Served, example

from omnizip.integrations.vllm.pruning import COUNTED
from omnizip.model.qwen2_5_omni import AUDIO_STRIDE
from omnizip.stream import Modality

QUESTIONS = {
    "bell": "What rings?",
    "green-heart": "How many shapes are there?",
    "whistle": "What is seen last?",
    "stripes": "What colour is the star?",
    "music": "Is there music?",
    "two-hearts": "How many hearts are there?",
}


@pytest.fixture(scope="module")
def served(product, tmp_path_factory):
    return Served(product, tmp_path_factory.mktemp("nano") / "full", max_num_batched_tokens=4096)


@pytest.fixture(scope="module")
def clips():
    return {name: example(name) for name in EXAMPLES}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_read_as_the_product_reads_it(name, served, clips):
    for retention in (0.35, 0.25):
        _, truth = served.check(clips[name], QUESTIONS[name], retention=retention, asked=retention != 0.35)  # 0.35 is the server's own
        read = truth.decision.keep[truth.stream.media_index].sum()
        assert int(read) == round(retention * truth.stream.media_index.numel())


@pytest.mark.parametrize("method", COUNTED)
def test_every_method_is_read_as_the_product_reads_it(method, served, clips):
    for name in ("bell", "music"):
        served.check(clips[name], QUESTIONS[name], method)


def test_what_glance_chooses_is_what_it_chooses_where_the_rest_is_not_encoded(product, clips):
    """The product encodes what was chosen alone; the tokens that are read are the same ones."""
    from omnizip.compressors import COMPRESSORS
    from omnizip.types import Turn

    model, heard = product.model, product.model.encoder.listen(clips["bell"])
    method = COMPRESSORS["glance"].at_retention(0.35, model.stream(product.encode(clips["bell"]), [Turn("?")]))
    seen, _ = model.look(heard, method)
    sparse = method.compress(model.stream(model.encoder.encode_seen(heard, seen), [Turn("?")]))
    assert torch.equal(sparse.keep, product.read(clips["bell"], "?", "glance").decision.keep)


def test_options_are_the_products(served, clips):
    served.check(clips["stripes"], "What is seen?", retention=0.5, merge_size=6, saliency_scope="window", neighbours=3)
    served.check(clips["stripes"], "What is seen?", "glance", audio="energy", picture="variance")


def test_one_clip_at_two_shares_is_two_entries_of_every_cache(product, served, clips):
    """Neither the processor's cache, nor the encoder's, nor the prefix cache may give one share what belongs to the other."""
    clip, question = clips["green-heart"], QUESTIONS["green-heart"]
    requests = {share: served.request(clip, question, {"retention": share}) for share in (0.3, 0.6)}
    lengths = {}
    for share in (0.3, 0.6, 0.3, 0.6):  # the second time from the caches
        truth = product.read(clip, question, retention=share)
        (result,) = served.generate([requests[share]])
        assert len(result.prompt_token_ids) == truth.prompt.embeds.shape[0] and served.answer(result) == truth.answer
        cached = result.num_cached_tokens
        assert share not in lengths or cached >= lengths[share] - 128  # all whole blocks
        assert share in lengths or cached < 128  # the words before the clip alone
        lengths[share] = len(result.prompt_token_ids)
    assert lengths[0.3] < lengths[0.6]
    served.check(clip, question, retention=0.3)
    served.check(clip, question, "random", 0.3)  # as many tokens, other ones


def test_one_picture_with_two_sounds_is_two_clips(served, clips):
    one = clips["bell"]
    other = replace(one, waveform=clips["stripes"].waveform[: len(one.waveform)].copy())
    for clip in (one, other, one):
        served.check(clip, "What is heard?")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"waveform": None}, id="no sound"),
        pytest.param({"waveform": np.zeros(128000, np.float32), "silent": True}, id="silence"),
        pytest.param({"frames": 15}, id="an odd frame"),
        pytest.param({"frames": 2}, id="two frames"),
        pytest.param({"sound": 100000}, id="sound that ends before the picture"),
        pytest.param({"frames": 6}, id="picture that ends before the sound"),
        pytest.param({"fps": 1.3}, id="frames at another pace"),
    ],
)
@pytest.mark.parametrize("method", ["omnizip", "glance", "omnisift"])
def test_clips_as_people_have_them(change, method, served, clips):
    clip = clips["bell"]
    if "frames" in change:
        clip = replace(clip, frames=clip.frames[: change["frames"]])
    elif "sound" in change:
        clip = replace(clip, waveform=clip.waveform[: change["sound"]])
    else:
        clip = replace(clip, **change)
    served.check(clip, "What is seen?", method)


def test_many_requests_at_once_are_answered_each_for_itself(product, served, clips):
    asked = [(name, share) for name in EXAMPLES for share in (0.25, 0.5)]
    served.llm.reset_prefix_cache()
    requests = [served.request(clips[name], QUESTIONS[name], {"retention": share}) for name, share in asked]
    for (name, share), result in zip(asked, served.generate(requests), strict=True):
        truth = product.read(clips[name], QUESTIONS[name], retention=share)
        assert len(result.prompt_token_ids) == truth.prompt.embeds.shape[0]
        assert served.answer(result) == truth.answer, (name, share)


def test_a_further_question_reads_the_clip_from_the_prefix_cache(product, served, clips):
    served.llm.reset_prefix_cache()
    for question, at_least in (("What rings?", 0), ("How many shapes are there?", 200)):
        truth = product.read(clips["bell"], question)
        (result,) = served.generate([served.request(clips["bell"], question)])
        assert served.answer(result) == truth.answer and result.num_cached_tokens >= at_least


def test_two_clips_in_one_conversation(product, served, clips):
    """Each is read as it is alone; positions are transformers' rule on the whole of both."""
    processor, names, question = product.model.processor, ("bell", "music"), "What differs?"
    truths = [product.read(clips[name], question, media=served.media(clips[name])) for name in names]
    alone = served.request(clips["bell"], question)
    prompt = alone["prompt"].replace("<|vision_eos|>", "<|vision_eos|>and<|vision_bos|><|VIDEO|><|vision_eos|>", 1)
    request = alone | {
        "prompt": prompt,
        "multi_modal_data": {
            "video": [clips[name].frames for name in names],
            "audio": [(clips[name].waveform, 16000) for name in names],
        },
    }
    result, embeds, positions = served.read(request)
    ids = torch.tensor(result.prompt_token_ids)
    own = [truth.prompt.embeds[truth.stream.modality[truth.prompt.index] != Modality.TEXT] for truth in truths]
    assert torch.allclose(embeds[ids == processor.video_id], torch.cat(own), rtol=0, atol=1e-5)

    encoded = [product.encode(clips[name]) for name in names]
    whole, kept, left = [], [], ids.tolist()
    for clip, truth in zip(encoded, truths, strict=True):
        begin = left.index(processor.vision_start_id)
        end = left.index(processor.vision_end_id) + 1
        media = processor.media_ids(clip.grid, clip.audio.shape[0], clip.second_per_step)
        keep = torch.ones(len(media), dtype=torch.bool)
        keep[2:-2] = truth.decision.keep[truth.stream.media_index]
        whole += [*left[:begin], *media.tolist()]
        kept += [*[True] * begin, *keep.tolist()]
        left = left[end:]
    whole, kept = torch.tensor([*whole, *left]), torch.tensor([*kept, *[True] * len(left)])
    merge = processor.merge
    rule, _ = product.model.parts.thinker.get_rope_index(
        whole[None],
        video_grid_thw=torch.tensor([[s, r * merge, c * merge] for s, r, c in (clip.grid for clip in encoded)]),
        use_audio_in_video=True,
        audio_seqlens=torch.tensor([AUDIO_STRIDE * clip.audio.shape[0] for clip in encoded]),
        second_per_grids=torch.tensor([clip.second_per_step for clip in encoded]),
    )
    assert torch.equal(positions, rule[:, 0][:, kept])


def test_what_is_no_clip_is_read_as_before(product, served, clips):
    """Words alone, and sound alone: what the product's class leaves to vLLM's."""
    result, _, positions = served.read({"prompt": "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"})
    assert torch.equal(positions, torch.arange(len(result.prompt_token_ids)).expand(3, -1))
    sound = {"prompt": "<|audio_bos|><|AUDIO|><|audio_eos|>What?", "multi_modal_data": {"audio": (clips["bell"].waveform, 16000)}}
    result, embeds, positions = served.read(sound)
    audio = product.encode(clips["bell"]).audio
    assert torch.allclose(embeds[1 : 1 + len(audio)], audio, rtol=0, atol=1e-5)
    assert torch.equal(positions, torch.arange(len(result.prompt_token_ids)).expand(3, -1))

    picture = {
        "prompt": "<|vision_bos|><|IMAGE|><|vision_eos|>What?",
        "multi_modal_data": {"image": Image.fromarray(clips["bell"].frames[0][:192, :256])},
    }
    result, _, positions = served.read(picture)
    rows, columns = 7, 9  # 112 x 144: as near to the picture's sides as 18432 pixels allow
    assert result.prompt_token_ids.count(product.model.parts.thinker.config.image_token_id) == rows * columns
    grid = torch.stack(torch.meshgrid(torch.arange(1), torch.arange(rows), torch.arange(columns), indexing="ij")).reshape(3, -1)
    after = torch.arange(len(result.prompt_token_ids) - 1 - rows * columns).expand(3, -1) + max(rows, columns) + 1
    assert torch.equal(positions, torch.cat([torch.zeros(3, 1), grid + 1, after], dim=1).long())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"omnizip": {"method": "fastv"}}, "fastv cannot say beforehand"),
        ({"omnizip": {"retention": 2}}, "The retention is 2"),
        ({"omnizip": "glance"}, "give an object with some of method, retention, options"),
        ({"sounds": 2}, "1 videos came with 2 sounds"),
        ({"seconds": 301}, "cut the clip"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(change, said, served, clips):
    request = served.request(clips["bell"], "What?")
    if "omnizip" in change:
        request["mm_processor_kwargs"] |= change
    elif "sounds" in change:
        request["multi_modal_data"]["audio"] = [(clips["bell"].waveform, 16000)] * 2
    else:
        request["multi_modal_data"]["audio"] = (np.zeros(16000 * change["seconds"], np.float32), 16000)
    with pytest.raises(Exception, match=said) as refused:
        served.generate([request])
    assert "\n" not in str(refused.value)
    served.check(clips["bell"], "What?")  # who asked for it is refused, and nobody else
