"""The model's side against the stock model: same features, same positions, same tokens; and hooks that leave no trace."""

import dataclasses

import pytest
import tiny
import torch

from omnizip.compressors import COMPRESSORS
from omnizip.model import encoders
from omnizip.model.captured_input import captured_input
from omnizip.model.generate import LanguageModel
from omnizip.model.loading import Loaded, Parts
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
from omnizip.stream import Modality
from omnizip.types import Sampling, Turn

STEPS = 40
TURNS = [Turn("What is loud?")]


def open_model(seed=0, **settings):
    return QwenOmni(Loaded(Parts.of(tiny.model(seed)), tiny.tokenizer(), tiny.extractor(), {}), Settings(tokens_per_step=12, **settings))


@pytest.fixture(scope="module")
def qwen():
    return open_model()


def stock_inputs(qwen, clip, turns):
    """What the stock model's own forward takes for the same clip and chat."""
    processor = qwen.processor
    grid = processor.grid(*clip.frames.shape[:3], max_tokens=12)
    inputs = {
        "pixel_values_videos": processor.patches(clip.frames, *grid[1:]),
        "video_grid_thw": torch.tensor([[grid[0], grid[1] * 2, grid[2] * 2]]),
        "video_second_per_grid": torch.tensor([2 / clip.fps]),
        "use_audio_in_video": clip.waveform is not None,
    }
    n_audio = 0
    if clip.waveform is not None:
        mel = processor.log_mel(clip.waveform)
        n_audio = processor.audio_tokens(mel.shape[1])
        inputs |= {"input_features": mel[None], "feature_attention_mask": torch.ones(1, mel.shape[1], dtype=torch.int64)}
    ids = torch.cat(processor.prompt_ids(turns, processor.media_ids(grid, n_audio, 2 / clip.fps)))
    return inputs | {"input_ids": ids[None], "attention_mask": torch.ones_like(ids[None])}


def full_prompt(qwen, encoded, turns=TURNS):
    stream = qwen.stream(encoded, turns)
    return stream.prompt(COMPRESSORS["full"]().compress(stream))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sound_s", [4.6, None], ids=["sound", "no sound"])
def test_full_equals_stock_generate(seed, sound_s):
    qwen = open_model(seed)
    clip = tiny.clip(frames=9, sound_s=sound_s, seed=seed)
    prefilled = qwen.prefill(full_prompt(qwen, qwen.encode(clip)))
    logits = [prefilled.logits]

    class Recording(LanguageModel):
        def advance(self, *args):
            logits.append(super().advance(*args))
            return logits[-1]

    # No end of turn, on either side: all steps are compared.
    forbidden = torch.cat([qwen.processor.suppressed_ids, torch.tensor(sorted(qwen.processor.end_ids))])
    endless = Recording(qwen.parts, forbidden, end_ids=frozenset())
    ids = list(endless.decode(prefilled, Sampling(max_new_tokens=STEPS)))

    stock = qwen.parts.thinker.generate(
        **stock_inputs(qwen, clip, TURNS),
        max_new_tokens=STEPS,
        do_sample=False,
        eos_token_id=-1,
        suppress_tokens=forbidden.tolist(),
        return_dict_in_generate=True,
        output_logits=True,
    )
    assert ids == stock.sequences[0, -STEPS:].tolist()
    assert len(set(ids)) >= 8
    assert len(ids) == len(logits) == STEPS
    for ours, theirs in zip(logits, stock.logits, strict=True):
        assert (ours - theirs[0]).abs().max() < 1e-4


def test_a_pruned_prompt_continues_as_stock_generate_does(qwen):
    """Stock takes the pruned embeddings with their positions; both must go on from the same place."""
    encoded = qwen.encode(tiny.clip(frames=12, sound_s=6.0, seed=3))
    stream = qwen.stream(encoded, TURNS)
    compression = COMPRESSORS["omnizip"].at_retention(0.4, stream).compress(stream)
    prompt = stream.prompt(compression)
    ids = list(qwen.decode(qwen.prefill(prompt), Sampling(max_new_tokens=24)))
    rows = torch.cat([torch.arange(prompt.index.numel())[None], prompt.positions])  # stock puts the places in the cache first
    stock = qwen.parts.thinker.generate(
        inputs_embeds=prompt.embeds[None],
        position_ids=rows[:, None],
        attention_mask=torch.ones(1, prompt.index.numel(), dtype=torch.int64),
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=sorted(qwen.processor.end_ids),
        suppress_tokens=qwen.processor.suppressed_ids.tolist(),
        pad_token_id=0,
    )
    assert ids == [i for i in stock[0].tolist() if i not in qwen.processor.end_ids]
    assert prompt.next_position == int(stream.positions.max()) + 1 > prompt.index.numel()


@pytest.mark.parametrize("seconds", [0.9, 2.0, 13.37])
def test_encoding_in_batches_equals_encoding_at_once(qwen, monkeypatch, seconds):
    clip = tiny.clip(frames=11, sound_s=seconds, seed=4)
    monkeypatch.setattr(encoders, "PATCHES_PER_BATCH", 100)
    monkeypatch.setattr(encoders, "MEL_PER_BATCH", 400)
    heard = []
    encoded = qwen.encode(clip, heard.append)
    assert heard == sorted(heard) and heard[-1] == 1.0 and len(heard) > 3
    inputs = stock_inputs(qwen, clip, TURNS)
    with torch.no_grad():
        video = qwen.parts.thinker.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"]).pooler_output[0]
        audio = qwen.parts.thinker.get_audio_features(
            inputs["input_features"], feature_attention_mask=inputs["feature_attention_mask"]
        ).last_hidden_state
    torch.testing.assert_close(encoded.video, video, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.audio, audio, atol=1e-5, rtol=1e-5)
    assert encoded.saliency.shape == encoded.saliency_windowed.shape == (audio.shape[0],)
    assert encoded.encode_ms > 0 and encoded.saliency_ms > 0 and encoded.saliency_windowed_ms > 0


@pytest.mark.parametrize(("sound_s", "frames", "height"), [(5.3, 7, 60), (1.0, 12, 60), (9.0, 3, 60), (None, 6, 60), (0.08, 2, 800)])
def test_the_stream_says_what_each_token_is_and_where(qwen, sound_s, frames, height):
    """The last clip's picture reaches farther down than its sound does in time; the text behind it goes on where the clip's end is."""
    encoded = qwen.encode(tiny.clip(frames=frames, sound_s=sound_s, height=height))
    turns = [Turn("What is it?", "A dog."), Turn("And then?")]
    stream = qwen.stream(encoded, turns)
    inputs = stock_inputs(qwen, encoded.clip, turns)
    ids = inputs["input_ids"][0]
    assert stream.n_tokens == ids.numel()
    for modality, media_id in ((Modality.AUDIO, qwen.processor.audio_id), (Modality.VIDEO, qwen.processor.video_id)):
        assert torch.equal(stream.modality == modality, ids == media_id)
    n_audio = 0 if sound_s is None else round(sound_s * 25 - 0.1)
    assert stream.n_audio == n_audio
    whole = qwen.positions(ids, encoded.grid, n_audio, encoded.second_per_step)
    assert torch.equal(stream.positions, whole)
    media = stream.modality != Modality.TEXT
    time = whole[0][media]
    assert torch.equal(stream.window[media], (time - time.min()) // 50)
    assert bool((stream.window[~media] == -1).all())
    assert stream.n_windows == max(-(-frames // 4), 0 if sound_s is None else -(-n_audio // 50))
    heard = stream.modality == Modality.AUDIO
    assert torch.equal(stream.saliency.isnan(), ~heard)
    assert torch.equal(stream.saliency[heard], encoded.saliency)
    assert torch.equal(stream.saliency_windowed[heard], encoded.saliency_windowed)


def test_positions_follow_the_rate_that_was_sampled(qwen):
    encoded = qwen.encode(tiny.clip(frames=6, sound_s=None, fps=0.5))
    assert encoded.second_per_step == 4.0
    stream = qwen.stream(encoded, TURNS)
    time = stream.positions[0][stream.video_index].unique()
    assert (time - time[0]).tolist() == [0, 100, 200]
    assert stream.window[stream.video_index].unique().tolist() == [0, 2, 4]


def test_a_silent_track_is_uniform(qwen):
    encoded = qwen.encode(tiny.clip(sound_s=3.0, silent=True))
    assert encoded.saliency_kind == "uniform"
    assert encoded.saliency.shape == encoded.saliency_windowed.shape == (75,)
    assert len(encoded.saliency.unique()) == len(encoded.saliency_windowed.unique()) == 1
    assert qwen.stream(encoded, TURNS).saliency_kind == "uniform"


def test_sound_too_short_for_a_token_is_no_sound(qwen):
    encoded = qwen.encode(tiny.clip(sound_s=0.015))
    assert encoded.audio is None and encoded.saliency.shape == (0,)
    assert qwen.stream(encoded, TURNS).n_audio == 0


def hooks(module):
    return [hook for part in module.modules() for hook in (*part._forward_pre_hooks.values(), *part._forward_hooks.values())]


def test_hooks_are_gone_after_encoding_and_after_an_error(qwen, monkeypatch):
    before = hooks(qwen.parts.thinker)
    qwen.encode(tiny.clip())
    assert hooks(qwen.parts.thinker) == before

    seen = []

    def fail(*args, **kwargs):
        seen.extend(hooks(qwen.parts.thinker))
        raise RuntimeError("the encoder fails")

    monkeypatch.setattr(qwen.parts.last_audio_attention, "forward", fail)
    with pytest.raises(RuntimeError, match="the encoder fails"):
        qwen.encode(tiny.clip())
    assert len(seen) == len(before) + 1
    assert hooks(qwen.parts.thinker) == before


def test_a_hook_is_gone_when_its_context_raises():
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(ZeroDivisionError), captured_input(layer) as seen:
        layer(torch.ones(1, 2))
        assert len(seen) == 1
        raise ZeroDivisionError
    assert not hooks(layer)


def test_only_the_last_position_is_projected(qwen):
    shapes = []
    handle = qwen.parts.thinker.lm_head.register_forward_pre_hook(lambda module, args: shapes.append(tuple(args[0].shape)))
    try:
        prefilled = qwen.prefill(full_prompt(qwen, qwen.encode(tiny.clip())))
    finally:
        handle.remove()
    assert shapes == [(1, 64)]
    assert prefilled.logits.shape == (qwen.processor.vocabulary,)


def test_stop_is_heard_within_one_token(qwen):
    prompt = full_prompt(qwen, qwen.encode(tiny.clip()))
    said = []
    for token in qwen.decode(qwen.prefill(prompt), Sampling(max_new_tokens=50), stop=lambda: len(said) >= 3):
        said.append(token)
    assert len(said) == 3
    assert list(qwen.decode(qwen.prefill(prompt), Sampling(), stop=lambda: True)) == []


def test_an_end_of_turn_ends_the_answer_and_is_not_said(qwen):
    prefilled = qwen.prefill(full_prompt(qwen, qwen.encode(tiny.clip())))
    for end in qwen.processor.end_ids:
        logits = prefilled.logits.clone()
        logits[end] = 1e4
        assert list(qwen.decode(dataclasses.replace(prefilled, logits=logits), Sampling())) == []
    logits = prefilled.logits.clone()
    logits[qwen.processor.suppressed_ids] = 1e4
    [token] = qwen.decode(dataclasses.replace(prefilled, logits=logits), Sampling(max_new_tokens=1))
    assert token not in qwen.processor.suppressed_ids


def test_sampling_is_seeded_and_bounded(qwen):
    prompt = full_prompt(qwen, qwen.encode(tiny.clip()))

    def say(**how):
        return list(qwen.decode(qwen.prefill(prompt), Sampling(max_new_tokens=12, **how)))

    greedy = say()
    drawn = [say(temperature=1.5, seed=seed) for seed in range(4)]
    assert drawn[0] == say(temperature=1.5, seed=0)
    assert len({tuple(ids) for ids in drawn}) > 1
    assert say(temperature=1.5, top_p=1e-6, seed=1) == greedy
    for cold in (1e-4, 1e-6, 1e-45, 1e-300):  # the last two are none to a float32, and logits over them no numbers
        assert say(temperature=cold, seed=1) == greedy


def test_sampling_draws_from_the_softmax_of_the_logits(qwen):
    """Shares of 4,000 draws of one position against the tempered softmax, cut at top-p."""
    prefilled = qwen.prefill(full_prompt(qwen, qwen.encode(tiny.clip())))
    logits = torch.full_like(prefilled.logits, -torch.inf)
    logits[:4] = torch.tensor([2.0, 1.0, 0.0, -3.0])
    flat = dataclasses.replace(prefilled, logits=logits)
    counts = torch.zeros(4)
    for seed in range(4000):
        [token] = qwen.decode(flat, Sampling(max_new_tokens=1, temperature=2.0, top_p=0.9, seed=seed))
        counts[token] += 1
    expected = torch.tensor([1.0, 0.5, 0.0]).softmax(0)  # the fourth holds 4 % and is cut
    assert counts[3] == 0
    assert (counts[:3] / 4000 - expected).abs().max() < 0.03


def test_warm_up_runs_each_length_once(qwen):
    model, read = open_model(), []
    handle = model.parts.language.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    try:
        model.warm_up([30, 20, 30])
        model.warm_up([20, 0])
    finally:
        handle.remove()
    assert read == [30, 1, 20, 1]


def test_what_it_costs_is_read_off_the_model(qwen):
    shape, thinker = qwen.shape, qwen.parts.thinker
    assert (shape.layers, shape.width, shape.heads, shape.kv_heads, shape.head_dim, shape.ffn) == (3, 64, 4, 2, 16, 128)
    assert shape.vocabulary == qwen.processor.vocabulary and shape.kv_bytes == 4
    assert qwen.conditions.parameters == sum(p.numel() for p in thinker.parameters())
    assert (qwen.conditions.device, qwen.conditions.dtype, qwen.conditions.attention) == ("cpu", "float32", "sdpa")
    assert qwen.conditions.threads == 1
    assert qwen.peak_memory_bytes() is None
    prefilled = qwen.prefill(full_prompt(qwen, qwen.encode(tiny.clip())))
    assert prefilled.cache.get_seq_length() == full_prompt(qwen, qwen.encode(tiny.clip())).index.numel()
