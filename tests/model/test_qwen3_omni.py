"""Qwen3-Omni's side against its stock model and stock processor: same prompts, same tokens, a pruned prompt that is the masked full one."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import tiny
import tiny_qwen3
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, Qwen3OmniMoeProcessor

from omnizip.compressors import COMPRESSORS
from omnizip.errors import ModelError
from omnizip.model import encoders, loading
from omnizip.model.caching import with_cache
from omnizip.model.families import family_of
from omnizip.model.generate import LanguageModel
from omnizip.model.qwen import QwenOmni
from omnizip.report.flops import audio_flops, encoder_flops
from omnizip.settings import Settings
from omnizip.stream import Modality, Reason
from omnizip.types import Sampling, Turn

STEPS = 40
TURNS = [Turn("What is loud?")]
CLIPS = {
    "sound": {"frames": 9, "sound_s": 4.6},
    "no sound": {"frames": 9, "sound_s": None},
    "fractions of a second": {"frames": 12, "sound_s": 5.3, "fps": 2 / 0.7},
    "long sound": {"frames": 6, "sound_s": 17.9},
    "a moment": {"frames": 2, "sound_s": 0.3, "height": 400},
}


@pytest.fixture(scope="module")
def qwen():
    return tiny_qwen3.opened()


def stock_inputs(qwen, clip, turns=TURNS):
    """What the stock model's own forward takes for the same clip and chat, in ids of the stock processor's own layout."""
    processor = qwen.processor
    grid = processor.grid(*clip.frames.shape[:3], max_tokens=tiny_qwen3.TOKENS_PER_STEP)
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
    text = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": turn.question}]} for turn in turns],
        tokenize=False,
        add_generation_prompt=True,
    )
    ids = processor.tokenizer(
        text.replace("<|video_pad|>", stock_clip(inputs, n_audio, 2 / clip.fps)), add_special_tokens=False, return_tensors="pt"
    ).input_ids
    return inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def stock_clip(inputs, n_audio, second_per_step):
    """The clip as the stock processor writes it out, without the video processor it cannot be made without."""
    stock = object.__new__(Qwen3OmniMoeProcessor)
    stock.video_processor = stock.image_processor = SimpleNamespace(merge_size=2)
    stock.video_token, stock.audio_token, stock.image_token = "<|video_pad|>", "<|audio_pad|>", "<|image_pad|>"
    stock.audio_bos_token, stock.audio_eos_token = "<|audio_start|>", "<|audio_end|>"
    stock.vision_bos_token, stock.vision_eos_token = "<|vision_start|>", "<|vision_end|>"
    rate = {"position_id_per_seconds": 13, "seconds_per_chunk": 2}
    if hasattr(stock, "replace_video_with_audio_token"):
        video = {"video_grid_thw": inputs["video_grid_thw"], "video_second_per_grid": [second_per_step]}
        told = {"load_audio_from_video": n_audio > 0, **rate}
        return stock.replace_video_token(video, 0, {"num_audio_tokens": [n_audio]}, [0 if n_audio else None], **told)
    seen = int(inputs["video_grid_thw"].prod()) // 4
    if not n_audio:
        return "<|video_pad|>" * seen
    written = stock.replace_multimodal_special_tokens(
        ["<|vision_start|><|video_pad|><|vision_end|>"],
        iter([n_audio]),
        iter([]),
        iter(inputs["video_grid_thw"]),
        video_second_per_grid=iter([second_per_step]),
        use_audio_in_video=True,
        **rate,
    )[0]
    return written.removeprefix("<|vision_start|>").removesuffix("<|vision_end|>")


def full_prompt(qwen, encoded, turns=TURNS):
    stream = qwen.stream(encoded, turns)
    return stream.prompt(COMPRESSORS["full"]().compress(stream))


def ids_of(qwen, encoded, turns=TURNS):
    return qwen._prompt(encoded, turns)[0]


@pytest.mark.parametrize("clip", CLIPS)
def test_prompts_are_the_stock_processors(qwen, clip):
    clip = tiny.clip(**CLIPS[clip])
    encoded, stock = qwen.encode(clip), stock_inputs(qwen, clip)
    assert ids_of(qwen, encoded).tolist() == stock["input_ids"][0].tolist()
    mask = stock.get("feature_attention_mask")
    positions, delta = qwen.parts.thinker.get_rope_index(
        stock["input_ids"],
        video_grid_thw=stock["video_grid_thw"],
        attention_mask=stock["attention_mask"],
        use_audio_in_video=stock["use_audio_in_video"],
        audio_seqlens=None if mask is None else mask.sum(dim=1),
        second_per_grids=stock["video_second_per_grid"],
    )
    stream = qwen.stream(encoded, TURNS)
    assert stream.positions.dtype == torch.float32
    assert torch.equal(stream.positions, positions[:, 0].float())
    prompt = full_prompt(qwen, encoded)
    assert prompt.next_position == pytest.approx(float(delta) + stream.n_tokens, abs=1e-4)


@pytest.mark.parametrize("clip", CLIPS)
def test_sound_is_the_stock_extractors(qwen, clip):
    clip = tiny.clip(**CLIPS[clip])
    if clip.waveform is None:
        return
    stock = qwen.processor.extractor(
        clip.waveform, sampling_rate=16000, padding=True, truncation=False, return_attention_mask=True, return_tensors="pt"
    )
    mel = qwen.processor.log_mel(clip.waveform)
    assert mel.shape == stock["input_features"][0].shape and (mel - stock["input_features"][0]).abs().max() < 1e-3
    valid = stock["attention_mask"].sum(-1)
    told = qwen.parts.thinker.get_audio_features(stock["input_features"], feature_attention_mask=stock["attention_mask"]).last_hidden_state
    assert qwen.processor.audio_tokens(int(valid)) == told.shape[0]


def test_mel_frames_and_tokens_are_the_models_rule(qwen):
    from transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe import _get_feat_extract_output_lengths

    family = qwen.processor.family
    for frames in range(1, 1701):
        assert family.audio_tokens(frames) == int(_get_feat_extract_output_lengths(torch.tensor(frames)))
    for tokens in range(1, 300):
        assert family.audio_tokens(family.mel_frames(tokens)) == tokens


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clip", list(CLIPS)[:3])
def test_full_equals_stock_generate(seed, clip):
    qwen = tiny_qwen3.opened(seed)
    clip = tiny.clip(**CLIPS[clip], seed=seed)
    prefilled = qwen.prefill(full_prompt(qwen, qwen.encode(clip)))
    logits = [prefilled.logits]

    class Recording(LanguageModel):
        def advance(self, *args):
            logits.append(super().advance(*args))
            return logits[-1]

    forbidden = torch.cat([qwen.processor.suppressed_ids, torch.tensor(sorted(qwen.processor.end_ids))])
    endless = Recording(qwen.parts, forbidden, end_ids=frozenset())
    ids = list(endless.decode(prefilled, Sampling(max_new_tokens=STEPS)))
    stock = qwen.parts.thinker.generate(
        **stock_inputs(qwen, clip),
        max_new_tokens=STEPS,
        do_sample=False,
        eos_token_id=-1,
        suppress_tokens=forbidden.tolist(),
        return_dict_in_generate=True,
        output_logits=True,
    )
    assert ids == stock.sequences[0, -STEPS:].tolist()
    assert len(set(ids)) >= 3 and len(ids) == len(logits) == STEPS
    for ours, theirs in zip(logits, stock.logits, strict=True):
        assert (ours - theirs[0]).abs().max() < 1e-4


@pytest.mark.parametrize("clip", list(CLIPS)[:3])
def test_a_pruned_prefill_equals_the_masked_full_one(clip):
    """The whole prompt, with a mask that hides from every row what was dropped, gives the kept rows the same states."""
    qwen = tiny_qwen3.opened(1)
    language = qwen.parts.language
    stream = qwen.stream(qwen.encode(tiny.clip(**CLIPS[clip], seed=2)), TURNS)
    compression = COMPRESSORS["random"].at_retention(0.4, stream).compress(stream)
    prefilled = qwen.prefill(stream.prompt(compression))
    n = stream.n_tokens
    hidden = ~(compression.keep[None] & torch.ones(n, n, dtype=torch.bool).tril())
    mask = torch.zeros(1, 1, n, n).masked_fill(hidden, torch.finfo(torch.float32).min)
    video = (stream.modality == Modality.VIDEO)[None]
    with torch.no_grad():
        states = language(
            inputs_embeds=stream.embeds[None],
            position_ids=stream.positions[:, None],
            attention_mask=mask,
            visual_pos_masks=video,
            deepstack_visual_embeds=list(stream.deepstack),
            **with_cache(language, DynamicCache(config=language.config)),
        ).last_hidden_state
        logits = qwen.parts.thinker.lm_head(states[0, -1])
    assert (logits - prefilled.logits).abs().max() < 1e-5 * max(1.0, float(logits.abs().max()))
    without = qwen.language_model.prefill(stream.prompt(compression).__class__(*[*vars(stream.prompt(compression)).values()][:4]))
    assert (without.logits - logits).abs().max() > 0.05, "the rows added deeper make a difference here"


@pytest.mark.parametrize("name", ["fastv", "pyramiddrop"])
def test_cuts_before_the_last_layer_that_is_added_to(name):
    """Rows leave between layers while the picture is still being added to: as hooks on the stock forward that blank what was dropped."""
    qwen = tiny_qwen3.opened(3, layers=8)
    stream = qwen.stream(qwen.encode(tiny.clip(frames=12, sound_s=6.0, seed=3)), TURNS)
    method = COMPRESSORS[name].at_retention(0.5, stream)
    prompt = stream.prompt(method.compress(stream))
    prefilled = qwen.prefill(prompt, method, stream)
    kept = prefilled.kept
    first = next(number for number, read in enumerate(kept.read) if read.numel() < prompt.index.numel())
    assert first < tiny_qwen3.DEEP, "the cut is among the layers that are added to"

    language, n = qwen.parts.language, prompt.index.numel()

    def masked(layer, args, kwargs, number):
        there = torch.zeros(n, dtype=torch.bool)
        there[kept.read[number]] = True
        hidden = ~(there[None] & torch.ones(n, n, dtype=torch.bool).tril())
        mask = torch.zeros(1, 1, n, n).masked_fill(hidden, torch.finfo(torch.float32).min)
        return args, {**kwargs, "attention_mask": mask}

    handles = [
        layer.register_forward_pre_hook(lambda module, args, kwargs, i=i: masked(module, args, kwargs, i), with_kwargs=True)
        for i, layer in enumerate(language.layers)
    ]
    try:
        with torch.no_grad():
            states = language(
                inputs_embeds=prompt.embeds[None],
                position_ids=prompt.positions[:, None],
                visual_pos_masks=(stream.modality == Modality.VIDEO)[None],
                deepstack_visual_embeds=list(stream.deepstack),
                **with_cache(language, DynamicCache(config=language.config)),
            ).last_hidden_state
            logits = qwen.parts.thinker.lm_head(states[0, -1])
    finally:
        for handle in handles:
            handle.remove()
    assert (logits - prefilled.logits).abs().max() < 1e-5 * max(1.0, float(logits.abs().max()))


def test_folded_pictures_carry_their_deeper_rows_likewise(qwen):
    """A plain mean of embeddings is a plain mean of what is added deeper; kept rows that took nothing in stay as they were."""
    stream = qwen.stream(qwen.encode(tiny.clip(frames=12, sound_s=6.0, seed=5)), TURNS)
    method = COMPRESSORS["omnizip"](rho_audio=0.4, rho_video=0.5, temporal="fold")
    compression = method.compress(stream)
    prompt = stream.prompt(compression)
    assert prompt.deepstack.shape == (tiny_qwen3.DEEP, int(compression.keep[stream.video_index].sum()), 64)
    assert torch.equal(prompt.index[prompt.video_rows], stream.video_index[compression.keep[stream.video_index]])
    video, changed = stream.video_index.tolist(), 0
    for row, place in enumerate(prompt.index[prompt.video_rows].tolist()):
        group = [place, *((compression.reason == Reason.FOLDED) & (compression.source == place)).nonzero().flatten().tolist()]
        changed += len(group) > 1
        expected = stream.deepstack[:, [video.index(i) for i in group]].mean(dim=1)
        torch.testing.assert_close(prompt.deepstack[:, row], expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(prompt.embeds[prompt.video_rows[row]], stream.embeds[group].mean(dim=0), atol=1e-5, rtol=1e-5)
    assert changed > 3


@pytest.mark.parametrize("name", ["visionzip", "prumerge", "flashvid", "omnirefine"])
def test_every_fold_takes_deeper_rows_along(qwen, name):
    """With deeper rows that are the embeddings themselves, whatever weights a method folds by, both end the same."""
    stream = qwen.stream(qwen.encode(tiny.clip(frames=24, height=90, width=150, sound_s=2.6, seed=5)), TURNS)
    twin = dataclasses.replace(stream, deepstack=stream.embeds[stream.video_index][None].clone())
    compression = COMPRESSORS[name].at_retention(0.5, twin).compress(twin)
    prompt = twin.prompt(compression)
    torch.testing.assert_close(prompt.deepstack[0], prompt.embeds[prompt.video_rows], atol=1e-5, rtol=1e-5)
    assert not torch.equal(prompt.embeds[prompt.video_rows], twin.embeds[prompt.index[prompt.video_rows]]), "something was folded"


def test_encoding_in_batches_equals_encoding_at_once(qwen, monkeypatch):
    clip = tiny.clip(frames=11, sound_s=21.3, seed=4)
    monkeypatch.setattr(encoders, "PATCHES_PER_BATCH", 100)
    monkeypatch.setattr(encoders, "MEL_PER_BATCH", 800)
    encoded, inputs = qwen.encode(clip), stock_inputs(qwen, clip)
    with torch.no_grad():
        video = qwen.parts.thinker.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"])
        audio = qwen.parts.thinker.get_audio_features(
            inputs["input_features"], feature_attention_mask=inputs["feature_attention_mask"]
        ).last_hidden_state
    torch.testing.assert_close(encoded.video, torch.cat(tuple(video.pooler_output)), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.audio, audio, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoded.deepstack, qwen.processor.family.deepstack(video), atol=1e-5, rtol=1e-5)
    assert encoded.saliency.shape == encoded.saliency_windowed.shape == (audio.shape[0],)


def test_saliency_is_the_audio_encoders_own_attention(qwen):
    """Through whole matrices, of blocks of eight seconds, as eager attention computes them."""
    clip = tiny.clip(frames=4, sound_s=11.7, seed=6)
    encoded = qwen.encode(clip)
    weights, layer = [], qwen.parts.audio.layers[-1].self_attn
    module = __import__(type(layer).__module__, fromlist=["eager_attention_forward"])
    stock = module.eager_attention_forward

    def noting(asked, *args, **kwargs):
        made = stock(asked, *args, **kwargs)
        if asked is layer:
            weights.append(made[1][0])
        return made

    module.eager_attention_forward = noting
    qwen.parts.audio.config._attn_implementation = "eager"
    try:
        qwen.encoder.listen(clip)
    finally:
        module.eager_attention_forward = stock
        qwen.parts.audio.config._attn_implementation = "sdpa"
    assert [w.shape[-1] for w in weights] == [104, encoded.audio.shape[0] - 104]
    received = torch.cat([w.mean(dim=0).sum(dim=0) for w in weights]) / encoded.audio.shape[0]
    torch.testing.assert_close(encoded.saliency_windowed, received.detach(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_places_that_are_chosen_are_encoded_alone(qwen, share):
    """All of them are the whole encoding; of a part, what the stock encoder makes of a picture whose other patches nothing attends to."""
    clip = tiny.clip(frames=8, height=90, width=150, sound_s=None)
    heard, whole = qwen.encoder.listen(clip), qwen.encode(clip)
    keep = torch.rand(heard.seen.shape, generator=torch.Generator().manual_seed(1)) < share if share < 1 else torch.ones_like(heard.seen)
    part = qwen.encoder.encode_seen(heard, keep)
    assert part.video.shape[0] == int(keep.sum()) and part.deepstack.shape[:2] == (tiny_qwen3.DEEP, int(keep.sum()))
    if share == 1:
        torch.testing.assert_close(part.video, whole.video, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(part.deepstack, whole.deepstack, atol=1e-5, rtol=1e-5)
        return
    vision, grid = qwen.parts.vision, heard.grid
    pixels = qwen.processor.patches(clip.frames, *grid[1:])
    there = keep.flatten().repeat_interleave(4)  # patches of a step, a group's together
    per_step = 4 * grid[1] * grid[2]
    before = vision.config._attn_implementation
    from transformers import AttentionInterface

    def hiding(module, query, key, value, attention_mask=None, scaling=None, **_):
        step = hiding.calls % grid[0]
        hiding.calls += 1
        mask = there[step * per_step : (step + 1) * per_step][None, None, None].expand(1, 1, per_step, -1)
        made = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
        return made.transpose(1, 2), None

    hiding.calls = 0
    AttentionInterface.register("hiding-patches", hiding)
    try:
        vision.config._attn_implementation = "hiding-patches"
        with torch.no_grad():
            output = qwen.parts.thinker.get_video_features(pixels, torch.tensor([[grid[0], 2 * grid[1], 2 * grid[2]]]))
    finally:
        vision.config._attn_implementation = before
    torch.testing.assert_close(part.video, torch.cat(tuple(output.pooler_output))[keep.flatten()], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(part.deepstack, qwen.processor.family.deepstack(output)[:, keep.flatten()], atol=1e-5, rtol=1e-5)


def test_a_further_question_goes_on_behind_what_was_read(qwen):
    encoded = qwen.encode(tiny.clip(frames=8, sound_s=4.0))
    prompt = full_prompt(qwen, encoded)
    prefilled = qwen.prefill(prompt)
    answer = list(qwen.decode(prefilled, Sampling(max_new_tokens=6)))
    prefix = qwen.prefix(prefilled, prompt, answer)
    later = full_prompt(qwen, encoded, [Turn(TURNS[0].question, "It."), Turn("And then?")])
    shared = prefix.shared(later)
    assert shared > int(later.video_rows[-1])
    other = later.__class__(**{**vars(later), "deepstack": later.deepstack + (torch.arange(later.video_rows.numel()) > 5)[:, None]})
    assert prefix.shared(other) == int(later.video_rows[6]), "rows that carry something else deeper were not read before"
    resumed, anew = qwen.resume(prefix, later), qwen.prefill(later)
    assert resumed.reused == shared
    assert (resumed.logits - anew.logits).abs().max() < 1e-4


def test_part_of_the_picture_may_be_read_again(qwen):
    """Where two prompts part within the picture, what is added deeper is added to the rest alone."""
    stream = qwen.stream(qwen.encode(tiny.clip(frames=8, sound_s=4.0)), TURNS)
    first, second = (COMPRESSORS["random"].at_retention(share, stream).compress(stream) for share in (0.6, 0.8))
    prompt = stream.prompt(first)
    prefix = qwen.prefix(qwen.prefill(prompt), prompt, [])
    later = stream.prompt(second)
    shared = prefix.shared(later)
    assert 0 < shared < int(later.video_rows[-1])
    assert (qwen.resume(prefix, later).logits - qwen.prefill(later).logits).abs().max() < 1e-4


def test_windows_are_two_seconds(qwen):
    stream = qwen.stream(qwen.encode(tiny.clip(frames=14, sound_s=9.1)), TURNS)
    assert torch.equal(stream.structure.audio_window, torch.arange(stream.n_audio) // 26)
    assert stream.structure.step_window.tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert stream.n_windows == 5


def test_thinker_alone_is_read_of_a_full_checkpoint(tmp_path):
    keys = tiny_qwen3.save_full(tmp_path / "full")
    assert any(key.startswith("talker.") for key in keys) and any(key.startswith("code2wav.") for key in keys)
    (tmp_path / "full" / "talker.safetensors").write_bytes(b"never opened")
    qwen = QwenOmni.load(Settings(model=str(tmp_path / "full"), tokens_per_step=12))
    assert not [name for name, _ in qwen.parts.thinker.named_modules() if "talker" in name or "code2wav" in name]
    assert qwen.conditions.parameters == sum(p.numel() for p in tiny_qwen3.model().parameters())
    alone = QwenOmni.load(Settings(model=tiny_qwen3.save(tmp_path / "alone"), tokens_per_step=12))
    clip = tiny.clip(frames=6, sound_s=3.0)
    wanted = tiny_qwen3.opened().prefill(full_prompt(tiny_qwen3.opened(), tiny_qwen3.opened().encode(clip))).logits
    for loaded in (qwen, alone):
        torch.testing.assert_close(loaded.prefill(full_prompt(loaded, loaded.encode(clip))).logits, wanted, atol=1e-4, rtol=1e-4)


def test_weights_that_lack_are_said(tmp_path):
    folder = tmp_path / "full"
    tiny_qwen3.save_full(folder)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    lost = next(name for name in index["weight_map"] if "visual.merger" in name)
    del index["weight_map"][lost]
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    from safetensors.torch import load_file, save_file

    for file in folder.glob("model-*.safetensors"):
        save_file({k: v for k, v in load_file(file).items() if k != lost}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 of the model's tensors"):
        QwenOmni.load(Settings(model=str(folder)))


def test_four_bits_are_refused_in_one_sentence(tmp_path, monkeypatch):
    folder = tiny_qwen3.save(tmp_path / "tiny")
    monkeypatch.setattr(loading, "_options", lambda settings, device: {"dtype": torch.float32, "attn_implementation": "sdpa"})
    with pytest.raises(ModelError, match="Qwen3-Omni is not kept in 4 bits, since its experts.*--four-bit"):
        loading.load(Settings(model=folder, four_bit=True))


@pytest.mark.parametrize("share", [1.0, 0.4], ids=["all", "a part"])
def test_the_count_of_operations_is_what_torch_counts(share, monkeypatch):
    """Torch counts the products that are really called: of the picture with eager attention, of the sound without attention."""
    qwen = tiny_qwen3.opened()
    monkeypatch.setattr(qwen.parts.vision.config, "_attn_implementation", "eager")
    heard = qwen.encoder.listen(tiny.clip(frames=8, height=90, width=150, sound_s=6.0))
    keep = torch.rand(heard.seen.shape, generator=torch.Generator().manual_seed(2)) < share if share < 1 else torch.ones_like(heard.seen)
    shape = qwen.encoder_shape
    with FlopCounterMode(display=False) as counted:
        qwen.encoder.encode_seen(heard, keep)
    assert encoder_flops(shape, heard.grid, keep, 0) == counted.get_total_flops()
    mel = qwen.encoder._log_mel(heard.clip)
    with FlopCounterMode(display=False) as counted:
        qwen.encoder._encode_audio(mel, lambda part: None)
    tokens = heard.audio.shape[0]
    attention = 4 * shape.audio_width * tokens**2 * shape.audio_layers  # one block, which the CPU's kernel computes unseen
    assert tokens == 78 and audio_flops(shape, tokens) == counted.get_total_flops() + attention


@pytest.mark.parametrize("part", ["thinker_config", "audio_config", "vision_config", "text_config"])
@pytest.mark.parametrize("left", ["nothing", None, []])
def test_a_config_without_sizes_is_refused_before_the_released_ones_fill_the_memory(tmp_path, monkeypatch, part, left):
    tiny_qwen3.save_full(tmp_path)
    monkeypatch.setattr(family_of({"model_type": "qwen3_omni_moe"}).thinker, "from_pretrained", lambda *_, **__: pytest.fail("read"))
    config = json.loads((tmp_path / "config.json").read_text())
    holder = config if part == "thinker_config" else config["thinker_config"]
    del holder[part]
    if left != "nothing":
        holder[part] = left
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=f"has no {part}, which tells the model's sizes; download it again."):
        QwenOmni.load(Settings(model=str(tmp_path)))
