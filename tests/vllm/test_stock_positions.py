"""vLLM's own positions of a clip with sound differ from transformers'; docs/serving.md tells how, for whoever mends it there.

Both are asked about the same prompt. When this fails, vLLM has changed, and the page has to be written anew.
"""

from types import SimpleNamespace

import pytest
import torch
from vllm_engine import EXAMPLES, example

from omnizip.model.qwen2_5_omni import AUDIO_STRIDE
from omnizip.types import Turn


def stock_positions(config, ids, offset, length, encoded):
    """(3, L) by vLLM's own class, without its weights."""
    from vllm.model_executor.models.qwen2_5_omni_thinker import Qwen2_5OmniThinkerForConditionalGeneration as Stock
    from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange

    def feature(modality, **data):
        held = {name: SimpleNamespace(data=torch.tensor(value)) for name, value in data.items()}
        return MultiModalFeatureSpec(data=held, modality=modality, identifier=modality, mm_position=PlaceholderRange(offset, length))

    merge, (steps, rows, columns) = config.vision_config.spatial_merge_size, encoded.grid
    video = feature(
        "video",
        video_grid_thw=[steps, rows * merge, columns * merge],
        second_per_grid_ts=encoded.second_per_step,
        use_audio_in_video=True,
    )
    audio = feature("audio", audio_feature_lengths=AUDIO_STRIDE * encoded.audio.shape[0])
    bare = object.__new__(Stock)
    bare.__dict__["config"] = config
    return bare.get_mrope_input_positions(ids, [video, audio])[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_where_they_differ(name, product):
    model, encoded = product.model, product.encode(example(name))
    processor = model.processor
    stream = model.stream(encoded, [Turn("What rings?")])
    media = processor.media_ids(encoded.grid, encoded.audio.shape[0], encoded.second_per_step)
    before, after = processor.prompt_ids([Turn("What rings?")], media)
    ids = torch.cat([before, after])
    offset = len(before) - len(media) + 1  # behind the marker of the picture
    stock = stock_positions(model.parts.thinker.config, ids.tolist(), offset, len(media) - 2, encoded)
    rule = stream.positions
    marker, first, end = offset, offset + 1, offset + len(media) - 3  # of sound; the clip's first token; that behind its last
    assert torch.equal(stock[:, :marker], rule[:, :marker])
    assert torch.equal(stock[:, marker : end - 1], rule[:, first:end])  # each token has the position of the next one
    assert not torch.equal(stock[:, first:end], rule[:, first:end])
    assert torch.equal(stock[:, end + 2 :], rule[:, end + 2 :] + 2)  # and the words behind are two further on
