"""Methods inside the model against a slow reading: eager attention over all rows, dropped ones masked from their layer on."""

import math

import pytest
import tiny
import torch
from tiny import DEEP, INSIDE, deep_model
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import apply_rotary_pos_emb

from omnizip import COMPRESSORS
from omnizip.compressors.fastav import FastAV
from omnizip.compressors.fastv import FastV
from omnizip.compressors.layer_pruner import Cut, Rows
from omnizip.compressors.pyramiddrop import PyramidDrop
from omnizip.compressors.seats import Seats
from omnizip.engine.clips import TimedClip
from omnizip.engine.comparison import Comparison, Stop
from omnizip.engine.events import Arm, ArmDone
from omnizip.model.layer_pruning import pruned
from omnizip.model.prefix_cache import Prefixes
from omnizip.report.flops import CountedFlops, layered_paper_flops, layered_prefill_flops, paper_flops, prefill_flops
from omnizip.settings import Settings
from omnizip.stream import Modality
from omnizip.types import Sampling, Turn

TURNS = [Turn("What is loud?")]
REACHED = {"fastv": 0.4, "fastav": 0.6, "pyramiddrop": 0.4, "seats": 0.4}


@pytest.fixture(scope="module")
def deep():
    return deep_model()


@pytest.fixture(scope="module")
def stream(deep):
    return deep.stream(deep.encode(tiny.clip(frames=13, sound_s=6.6, seed=3)), TURNS)


def read(model, stream, method):
    compression = method.compress(stream)
    prompt = stream.prompt(compression)
    return compression, prompt, model.prefill(prompt, method, stream)


def products(attention, normed, rotary):
    """(N,) the last row's products with all rows, averaged over heads, by the library's own rotation."""
    both = [projection(normed) for projection in (attention.q_proj, attention.k_proj)]
    split = [part.view(1, len(normed), -1, attention.head_dim).transpose(1, 2) for part in both]
    queries, keys = apply_rotary_pos_emb(*split, *rotary)
    keys = keys[0].repeat_interleave(queries.shape[1] // keys.shape[1], dim=0)
    return torch.einsum("hd,hnd->hn", queries[0, :, -1], keys).mean(0) / attention.head_dim**0.5


class Dense:
    """Every row through every layer, with a mask for what each layer may still see; the matrices are made in full."""

    def __init__(self, model, prompt, kept_by_layer, forgets=False):
        self.model, self.language, self.prompt = model, model.parts.language, prompt
        self.allowed = kept_by_layer  # per layer (K,) bool of the prompt's rows
        self.forgets = forgets

    def forward(self, ids=()):
        """(R, vocabulary) logits of the prompt's last row and of every id behind it, and per layer (H, N, N) attention."""
        rows, n = self.prompt.embeds.shape[0], self.prompt.embeds.shape[0] + len(ids)
        hidden = torch.cat([self.prompt.embeds, self.model.language_model.embed(list(ids))])[None] if ids else self.prompt.embeds[None]
        behind = torch.arange(len(ids)) + self.prompt.next_position
        places = torch.cat([self.prompt.positions, behind.expand(3, -1)], dim=1)
        rotary = self.language.rotary_emb(hidden, places[:, None])
        weights, self.products = [], []
        attention, self.language.config._attn_implementation = self.language.config._attn_implementation, "eager"
        try:
            for layer, allowed in zip(self.language.layers, self.allowed, strict=True):
                sees = torch.ones(n, n, dtype=torch.bool).tril()
                sees[:, :rows] &= allowed | torch.eye(n, rows, dtype=torch.bool)  # a dropped row is nobody's business but its own
                if self.forgets:
                    sees[rows:, :rows] &= self.allowed[-1]
                mask = torch.zeros(1, 1, n, n).masked_fill(~sees, torch.finfo(torch.float32).min)
                normed = layer.input_layernorm(hidden)
                self.products.append(products(layer.self_attn, normed[0], rotary))
                out, weight = layer.self_attn(hidden_states=normed, attention_mask=mask, position_embeddings=rotary)
                weights.append(weight[0])
                hidden = hidden + out
                hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        finally:
            self.language.config._attn_implementation = attention
        states = self.language.norm(hidden)[0, rows - 1 :]
        return self.model.parts.thinker.lm_head(states).float(), weights


def masks_of(prefilled, stream, prompt, choose):
    """Per layer the rows read, found layer by layer with the slow model: `choose(layer, attention, products, allowed, count)`."""
    counts = [audio + video for _, audio, video in prefilled.kept.layers]
    media = stream.modality[prompt.index] != Modality.TEXT
    allowed = [torch.ones_like(media)]
    for number in range(1, len(counts)):
        if counts[number] == counts[number - 1]:
            allowed.append(allowed[-1])
            continue
        if not counts[number]:
            allowed.append(~media)
            continue
        probe = Dense(choose.model, prompt, allowed + [allowed[-1]] * (len(counts) - number))
        _, weights = probe.forward()
        row = weights[number - 1][:, -1].mean(dim=0)
        allowed.append(~media | choose(number, row, probe.products[number - 1], allowed[-1] & media, counts[number]))
    return allowed


class Most:
    """The `count` rows most attended to by the last one."""

    def __init__(self, model, first_by_place=None):
        self.model, self.first_by_place = model, first_by_place

    def __call__(self, number, row, looked, allowed, count):
        candidates = allowed.nonzero().flatten().tolist()
        ranked = candidates if number == self.first_by_place else sorted(candidates, key=lambda i: -float(row[i]))
        keep = torch.zeros_like(allowed)
        keep[ranked[:count]] = True
        return keep


@pytest.mark.independent("fastv", "fastav", "pyramiddrop")
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["fastv", "fastav", "pyramiddrop"])
@torch.no_grad()
def test_choice_and_answer_equal_a_dense_model_with_masks(name, attention):
    model = deep_model(attention=attention)
    stream = model.stream(model.encode(tiny.clip(frames=9, sound_s=4.6, seed=5)), TURNS)
    method = COMPRESSORS[name].at_retention(REACHED[name], stream)
    _, prompt, prefilled = read(model, stream, method)
    first_place = DEEP // 2 if name == "fastav" else None
    allowed = masks_of(prefilled, stream, prompt, Most(model, first_place))
    assert [int(a.sum()) for a in allowed] == [sum(layer) for layer in prefilled.kept.layers] == list(prefilled.lengths)
    assert set(prefilled.kept.index.tolist()) == set(allowed[-1].nonzero().flatten().tolist())
    assert len(set(prefilled.lengths)) > 1
    follows(model, prompt, prefilled, Dense(model, prompt, allowed))


def follows(model, prompt, prefilled, dense):
    """Twelve greedy tokens, their logits, and the score of another answer, against the dense model."""
    torch.testing.assert_close(prefilled.logits, dense.forward()[0][0], atol=2e-4, rtol=1e-3)
    said, other = [], [5, 9, 40, 7, 7, 21, 3] * 4
    log = model.language_model._log_likelihoods(dense.forward(other[:-1])[0])
    expected = float(log.gather(1, torch.tensor(other)[:, None]).mean())
    agreement = model.score(prefilled, other)
    assert agreement.mean_log_likelihood == pytest.approx(expected, abs=1e-4) and agreement.tokens == len(other)
    assert agreement.first_rank == sorted(log[0].tolist(), reverse=True).index(float(log[0, other[0]])) + 1
    logits = prefilled.logits
    for step in range(12):
        said.append(int(logits.argmax()))
        logits = model.language_model.advance(prefilled, said[-1], step)
        torch.testing.assert_close(logits, dense.forward(said)[0][-1], atol=2e-4, rtol=1e-3)
    assert len(set(said)) > 3
    assert model.score(prefilled, other).mean_log_likelihood == pytest.approx(agreement.mean_log_likelihood, abs=1e-6)
    assert prefilled.fed == 12


@pytest.mark.independent("seats")
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_seats_forgets_as_a_dense_model_with_masks_does(attention):
    model = deep_model(attention=attention)
    stream = model.stream(model.encode(tiny.clip(frames=9, sound_s=4.6, seed=5)), TURNS)
    _, prompt, prefilled = read(model, stream, Seats.at_retention(0.4, stream))
    assert prefilled.kept.layers[-1][1:] == (0, 0), "the last layers read text only"
    assert set(prefilled.lengths) == {prefilled.kept.layers[-1][0]}, "nothing of the clip is left in any cache"
    media = stream.modality[prompt.index] != Modality.TEXT
    allowed, at = [], 0
    counts = [audio + video for _, audio, video in prefilled.kept.layers]
    survivors = torch.zeros_like(media)
    survivors[prefilled.kept.index] = True
    middle = masks_of(prefilled, stream, prompt, ByWindow(model, stream, prompt))
    for at, count in enumerate(counts):
        allowed.append(middle[at] if count else ~media)
    last = max(i for i, count in enumerate(counts) if count)
    assert torch.equal(allowed[last], survivors)
    follows(model, prompt, prefilled, Dense(model, prompt, allowed, forgets=True))


class ByWindow(Most):
    """SEATS, window by window: demand from a softmax over windows, the most attended to within each."""

    def __init__(self, model, stream, prompt):
        super().__init__(model)
        self.modality, self.window = stream.modality[prompt.index], stream.window[prompt.index]

    def __call__(self, number, row, looked, allowed, count):
        demand = [0.0] * (int(self.window.max()) + 1)
        for kind in (Modality.AUDIO, Modality.VIDEO):
            mine = [[i for i in self._of(w, allowed) if self.modality[i] == kind] for w in range(len(demand))]
            if not any(mine):
                continue
            means = [sum(float(looked[i]) for i in rows) / len(rows) / 0.1 if rows else -math.inf for rows in mine]
            shares = [math.exp(m - max(means)) for m in means]
            demand = [d + s / sum(shares) for d, s in zip(demand, shares, strict=True)]
        sizes = [len(self._of(w, allowed)) for w in range(len(demand))]
        demand = [max(d, 1e-12) if n else 0.0 for d, n in zip(demand, sizes, strict=True)]  # room for those nobody looked at
        budget, full = [0.0] * len(demand), set()
        while True:  # what a full window does not take goes to the others in proportion
            left = count - sum(sizes[w] for w in full)
            scale = left / sum(d for w, d in enumerate(demand) if w not in full)
            budget = [float(sizes[w]) if w in full else d * scale for w, d in enumerate(demand)]
            over = {w for w, b in enumerate(budget) if w not in full and b > sizes[w]}
            if not over:
                break
            full |= over
        edges = [math.floor(sum(budget[: w + 1]) + 0.5 + 1e-6) for w in range(len(budget))]
        keep = torch.zeros_like(allowed)
        for w, (start, end) in enumerate(zip([0, *edges], edges, strict=False)):
            keep[sorted(self._of(w, allowed), key=lambda i: -float(row[i]))[: end - start]] = True
        return keep

    def _of(self, window, allowed):
        return (allowed & (self.window == window)).nonzero().flatten().tolist()


def test_the_first_stage_of_seats_takes_what_is_unlike(stream):
    """Greedily, window by window: the distance to the nearest taken, times the attention received."""
    method = Seats.at_retention(0.3, stream)
    keep = method.compress(stream).keep
    assert int(keep[stream.modality != Modality.TEXT].sum()) == round(1.4 * 0.3 * (stream.n_audio + stream.n_video))
    for index, weights in (
        (stream.audio_index, stream.saliency_windowed[stream.audio_index]),
        (stream.video_index, torch.ones(stream.n_video)),
    ):
        x = torch.nn.functional.normalize(stream.embeds[index], dim=-1)
        for window in stream.window[index].unique().tolist():
            own = (stream.window[index] == window).nonzero().flatten().tolist()
            mean = torch.nn.functional.normalize(x[own].sum(0), dim=-1)
            taken = []
            for _ in range(int(keep[index[own]].sum())):
                far = {i: min(1 - float(x[i] @ x[j]) for j in taken) if taken else 1 - float(x[i] @ mean) for i in own if i not in taken}
                taken.append(max(far, key=lambda i: far[i] * float(weights[i])))
            assert set(index[taken].tolist()) == {int(index[i]) for i in own if keep[index[i]]}


@pytest.mark.parametrize("name", sorted(INSIDE))
@torch.no_grad()
def test_everything_kept_is_the_full_model_to_the_bit(deep, stream, name):
    method = COMPRESSORS[name].at_retention(1.0, stream, **({"final": False} if name == "seats" else {}))
    _, prompt, prefilled = read(deep, stream, method)
    plain = deep.prefill(prompt)
    assert torch.equal(prefilled.logits, plain.logits) and prefilled.lengths == plain.lengths and not prefilled.kept.shortfall
    assert prompt.embeds.shape[0] == stream.n_tokens
    for step in range(8):
        assert torch.equal(deep.language_model.advance(prefilled, 7 * step, step), deep.language_model.advance(plain, 7 * step, step))


CLIPS = [{"frames": 12, "sound_s": 6.0}, {"frames": 7, "sound_s": 3.3}, {"frames": 8, "sound_s": None}, {"frames": 2, "sound_s": 1.0}]


@pytest.mark.parametrize("clip", CLIPS, ids=["even", "odd", "no sound", "one step"])
@pytest.mark.parametrize("retention", [0.25, 0.45, 0.9])
@pytest.mark.parametrize("name", sorted(INSIDE))
@torch.no_grad()
def test_the_average_over_layers_is_what_was_asked_or_it_says_why_not(deep, name, retention, clip):
    stream = deep.stream(deep.encode(tiny.clip(**clip)), TURNS)
    before = stream.embeds.clone()
    method = COMPRESSORS[name].at_retention(retention, stream)
    compression, prompt, prefilled = read(deep, stream, method)
    assert torch.equal(stream.embeds, before)
    total = stream.n_audio + stream.n_video
    layers = prefilled.kept.layers
    got = sum(audio + video for _, audio, video in layers) / len(layers)
    assert abs(got - retention * total) <= 1 or (prefilled.kept.shortfall and prefilled.kept.shortfall.endswith("asked."))
    assert len({text for text, _, _ in layers}) == 1, "text is read by every layer"
    read_by = [audio + video for _, audio, video in layers]
    assert read_by == sorted(read_by, reverse=True)
    ended = prefilled.kept.applied_to(compression, prompt.index)
    assert bool(ended.keep[stream.modality == Modality.TEXT].all()) and not bool((ended.keep & ~compression.keep).any())
    assert method.later in ended.notes and (prefilled.kept.shortfall in ended.notes) == bool(prefilled.kept.shortfall)
    again = read(deep, stream, method)[2]
    assert torch.equal(again.kept.index, prefilled.kept.index) and torch.equal(again.logits, prefilled.logits)


@pytest.mark.parametrize("layers", [1, 2, 3, 5, 28, 36])
@pytest.mark.parametrize("name", sorted(INSIDE))
def test_cuts_fit_any_depth(name, layers):
    for retention in (0.1, 0.5, 0.95):
        cuts = COMPRESSORS[name](retention=retention).cuts(layers, 1.0)
        places, shares = [cut.layer for cut in cuts], [1.0, *(cut.share for cut in cuts)]
        assert places == sorted(set(places)) and shares == sorted(shares, reverse=True) and all(cut.share >= 0 for cut in cuts)
        assert all(1 <= place < layers for place in places) or layers == 1
    if layers == 28:
        expected = {"fastv": [2], "fastav": list(range(14, 28)), "pyramiddrop": [7, 14, 21], "seats": [16, 18, 20, 22]}
        assert places == expected[name]


def test_published_numbers_come_out():
    """FastV's closed form at 28 layers, PyramidDrop's halves, FastAV's half and fifths."""
    (cut,) = FastV(retention=0.35).cuts(28, 1.0)
    assert cut.share == pytest.approx((0.35 * 28 - 2) / 26)
    halves = PyramidDrop(retention=(1 + 0.5 + 0.25 + 0.125) / 4).cuts(32, 1.0)
    assert [(cut.layer, round(cut.share, 6)) for cut in halves] == [(8, 0.5), (16, 0.25), (24, 0.125)]
    asked = (14 + sum(0.5 * 0.8**i for i in range(14))) / 28
    cuts = FastAV(retention=asked).cuts(28, 1.0)
    assert [cut.share for cut in cuts] == pytest.approx([0.5 * 0.8**i for i in range(14)])
    shares = [cut.share for cut in Seats(retention=0.35).cuts(28, 0.49)]
    falls = [math.log(0.49 / share) for share in shares[:3]]
    assert falls[1] / falls[0] == pytest.approx(math.e) and falls[2] / falls[1] == pytest.approx(math.e) and shares[3] == 0


def test_hooks_leave_no_trace_even_after_a_failure(deep, stream):
    method = FastV.at_retention(0.4, stream)

    class Breaks(FastV):
        def select(self, *args):
            raise RuntimeError("broken")

    plain = deep.prefill(stream.prompt(method.compress(stream)))
    with pytest.raises(RuntimeError, match="broken"):
        read(deep, stream, Breaks(retention=0.4))
    with pytest.raises(KeyError), pruned(deep.parts.language, method, None or Rows.of(stream, torch.arange(stream.n_tokens)), 1, None):
        raise KeyError
    assert not any(layer._forward_pre_hooks for layer in deep.parts.language.layers)
    assert torch.equal(deep.prefill(stream.prompt(method.compress(stream))).logits, plain.logits)


def test_no_two_read_alike(deep, stream):
    kept = {name: read(deep, stream, COMPRESSORS[name].at_retention(0.6, stream))[2].kept.layers for name in INSIDE}
    assert len(set(kept.values())) == len(kept)


def test_operations_and_memory_are_counted_layer_by_layer(deep, stream):
    """Against the plain counts where all layers read alike, and a sum by hand where they do not."""
    shape = deep.shape
    assert layered_prefill_flops(shape, [70] * DEEP) == prefill_flops(shape, 70)
    assert layered_paper_flops(shape, [50] * DEEP) == paper_flops(shape, 50)
    assert CountedFlops.layered(shape, [70] * DEEP, [70] * DEEP, 5) == CountedFlops.of(shape, 70, 75)
    encoded = deep.encode(tiny.clip(frames=13, sound_s=6.6, seed=3))
    sampling = Sampling(max_new_tokens=6)
    comparison = Comparison(deep, TimedClip(encoded, None), "noise.mp4", "What is loud?", sampling, Stop(None), Prefixes())
    events = list(comparison.run((Arm("full"), Arm("fastv", 0.4), Arm("seats", 0.4)), (), Settings()))
    full, fastv, seats = (event.run for event in events if isinstance(event, ArmDone))
    lengths = read(deep, stream, FastV.at_retention(0.4, stream))[2].lengths
    fed = len(fastv.answer.token_ids) - (fastv.answer.finish == "length")
    assert fastv.kv_cache_bytes == sum(2 * shape.kv_heads * shape.head_dim * 4 * (n + fed) for n in lengths)
    assert seats.kv_cache_bytes < fastv.kv_cache_bytes < full.kv_cache_bytes
    assert fastv.retained["total"] == pytest.approx(0.4, abs=1 / (stream.n_audio + stream.n_video))
    heads = shape.heads * shape.head_dim
    matrices = 2 * shape.width * (2 * heads + 2 * shape.kv_heads * shape.head_dim + 3 * shape.ffn)
    by_hand = sum(n * matrices + 2 * heads * n * (n + 1) for n in lengths) + 2 * shape.width * shape.vocabulary
    assert fastv.flops_counted.prefill == by_hand < full.flops_counted.prefill
    plain = fastv.to_json()
    assert [sum(layer.values()) for layer in plain["layers"]] == list(lengths) and full.to_json()["layers"] is None
    assert plain["survivors"]["audio"] + plain["survivors"]["video"] + plain["survivors"]["text"] == lengths[-1]
    assert full.agreement.first_rank == 1 and full.agreement.mean_log_likelihood >= fastv.agreement.mean_log_likelihood - 1
    assert plain["agreement"] == vars(fastv.agreement)


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that is made within it."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (list, tuple)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


@torch.no_grad()
@pytest.mark.parametrize("name", sorted(INSIDE))
def test_no_tensor_made_while_reading_grows_with_the_square_of_the_prompt(deep, name):
    """The whole way: layers, masks, choice, caches."""
    largest = []
    for frames in (60, 120):
        stream = deep.stream(deep.encode(tiny.clip(frames=frames, sound_s=frames / 2)), TURNS)
        method = COMPRESSORS[name].at_retention(0.45, stream)
        prompt = stream.prompt(method.compress(stream))
        with Largest() as watch:
            deep.prefill(prompt, method, stream)
        largest.append((prompt.embeds.shape[0], watch.numbers))
    (short, before), (long, after) = largest
    assert long > 1.6 * short and after < 1.1 * before * long / short and after < long * long / 4


def test_a_glance_never_holds_a_matrix():
    """At 7B head sizes and 20,000 rows nothing made for a choice has more numbers than the keys themselves."""
    from omnizip.model.layer_pruning import last_row_products

    n = 20_000
    keys, query = torch.randn(4, n, 128).bfloat16(), torch.randn(28, 128)
    rows = Rows((torch.arange(n) % 7 > 0).to(torch.uint8), torch.arange(n) // 250)
    with Largest() as watch:
        keep = FastV().select(Cut(2, 0.4), rows, last_row_products(query, keys), 8000)
    assert int(keep[rows.media].sum()) == 8000
    assert watch.numbers <= keys.numel()
    expected = torch.einsum("hd,hnd->hn", query, keys.float().repeat_interleave(7, dim=0)).softmax(-1).mean(0)
    torch.testing.assert_close(last_row_products(query, keys).attention, expected, atol=1e-5, rtol=1e-3)
