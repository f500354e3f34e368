"""What vLLM's second runner for GPUs does with the rows of clips, on the CPU: its own class asks for the positions, piece by piece."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from vllm_engine import example

from omnizip.integrations.vllm.clip_layout import ClipLayout
from omnizip.integrations.vllm.clip_processing import MEL_FRAMES
from omnizip.integrations.vllm.position_channels import with_positions
from omnizip.model.qwen2_5_omni import AUDIO_STRIDE


class HeldPositions:
    """The two ends of vLLM's RopeState that the pruner uses."""

    def __init__(self, positions):
        self.positions, self.delta = positions, None

    def read_prefill_positions(self, index, length):
        return self.positions[:, :length].int()

    def update_prefill_positions(self, index, positions, delta):
        self.positions, self.delta = positions.int(), delta


@pytest.mark.parametrize("piece", [50, 400])
@pytest.mark.parametrize("samples", [128000, 100000])  # of sound: as long as the picture, and so that the clip ends behind its markers
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pieces_are_placed_as_the_product_places_them(piece, samples, dtype, product):
    from vllm.multimodal.inputs import MultiModalFeatureSpec, MultiModalFieldElem, MultiModalKwargsItem, PlaceholderRange
    from vllm.v1.worker.gpu.model_states.mm_pruning import MultiModalPruner

    from omnizip.integrations.vllm.pruned_model import PrunedQwen2_5Omni

    clip = example("bell")
    truth = product.read(replace(clip, waveform=clip.waveform[:samples]), "?")
    assert samples == 128000 or int(truth.prompt.positions[0, -1]) + 1 < truth.prompt.next_position
    stream, prompt, config = truth.stream, truth.prompt, product.model.parts.thinker.config
    width = prompt.embeds.shape[1]
    model = object.__new__(PrunedQwen2_5Omni)
    model.__dict__ |= {"config": config, "width": width}

    (steps, rows, columns), merge = stream.grid, config.vision_config.spatial_merge_size
    layout = ClipLayout(stream.grid, stream.n_audio, 1.0)
    kept = truth.decision.keep[stream.media_index]
    left = with_positions(torch.randn(int(kept.sum()), width).to(dtype), layout.positions[:, kept])
    media = (stream.modality[prompt.index] != 0).nonzero().flatten()
    ids = torch.zeros(len(prompt.index), dtype=torch.int64)
    ids[media] = config.video_token_id
    fields = {
        "video_grid_thw": torch.tensor([steps, rows * merge, columns * merge]),
        "second_per_grid_ts": torch.tensor(1.0),
        MEL_FRAMES: torch.tensor(AUDIO_STRIDE * stream.n_audio),
    }
    begin, length = int(media[0]) - 1, len(media) + 2
    chosen = torch.ones(length, dtype=torch.bool)
    chosen[[0, -1]] = False
    feature = MultiModalFeatureSpec(
        data=MultiModalKwargsItem({name: MultiModalFieldElem(value, None) for name, value in fields.items()}),
        modality="video",
        identifier="clip",
        mm_position=PlaceholderRange(begin, length, chosen),
    )
    positions, delta = model.get_mrope_input_positions(ids.tolist(), [feature])
    held = HeldPositions(positions)
    pruner = MultiModalPruner(model, held, SimpleNamespace(mm_features={"request": [feature]}), width)
    for start in range(0, len(ids), piece):
        count = min(piece, len(ids) - start)
        here = (media >= start) & (media < start + count)
        if not bool(here.any()):
            continue
        batch = SimpleNamespace(
            req_ids=["request"],
            idx_mapping_np=np.array([0]),
            prefill_len_np=np.array([len(ids)]),
            num_computed_prefill_tokens_np=np.array([start]),
            num_scheduled_tokens=np.array([count]),
        )
        requests = SimpleNamespace(all_token_ids=SimpleNamespace(gpu=ids[None]))
        (rows_read,) = pruner.recompute([left[here]], batch, requests)
        assert torch.equal(rows_read, left[here][:, :width])
    assert torch.equal(held.positions.long(), prompt.positions)
    assert held.delta == delta == prompt.next_position - len(ids)
