"""Marking many questions in one pass gives the verdicts, and the descriptions, of the product's own greedy decoding."""

import pytest
import tiny
import tiny_qwen3
import torch

from omnizip.compressors import COMPRESSORS
from omnizip.compressors.full import Full
from omnizip.compressors.layer_pruner import LayerPruner
from omnizip.engine import Arm, ArmDone, Engine
from omnizip.evaluation import arms, dataset
from omnizip.evaluation.examiner import Examiner, Job
from omnizip.evaluation.marking import Marker, Sheet
from omnizip.evaluation.packing import IGNORE, block_attention
from omnizip.evaluation.world import render
from omnizip.evaluation.world.questions import DESCRIPTION, Question
from omnizip.model.qwen import QwenOmni
from omnizip.settings import Settings
from omnizip.stream import Modality
from omnizip.types import Turn
from training import check, model, packed_batch
from training.model import Student

CHOICE = dataset.Choice(seconds=4.0, per_clip=5)
CLIPS = 3

pytestmark = pytest.mark.slow  # they share a model that is trained first


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A model that half learned the answers to these very clips by heart, so that it is right at times and ends its turns."""
    torch.manual_seed(5)
    student, folder = Student.fresh(), tmp_path_factory.mktemp("nano")
    scenes = [CHOICE.scene(n) for n in range(CLIPS)]
    batches = [check.from_file(student, s.seed, 4.0, (s.width, s.height), folder) for s in scenes]
    learned = [*student.parts.language.parameters(), *student.thinker.lm_head.parameters()]
    optimiser = torch.optim.AdamW(learned, lr=2e-3)
    for step in range(42):
        packed = packed_batch.pack(student, batches[step % CLIPS], [CHOICE.questions(step % CLIPS)])
        with block_attention(student.parts.language):
            logits = student.thinker.lm_head(packed_batch.read(student, packed))[0]
        loss = torch.nn.functional.cross_entropy(logits, packed.targets[0], ignore_index=IGNORE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save(student.thinker, student.words, folder / "model")
    return Settings(model=str(folder / "model"), device="cpu", max_new_tokens=80)


def test_verdicts_and_descriptions_are_those_of_engine_compare(settings, tmp_path):
    entries = arms.with_full(arms.method_entries(["random", "omnizip", "omnizip-official"], [0.45, 0.1], 2))
    engine = Engine.open(settings)
    examiner = Examiner(Job(settings, entries, (CHOICE,)), engine.model)
    verdicts, drafts = [], 0
    for number in range(CLIPS):
        scene = CHOICE.scene(number)
        record = examiner.examine(CHOICE, number)
        path = render.write_mp4(scene, tmp_path / f"{number}.mp4")
        named = {key: entry.arm(scene.seed, n) for entry in entries[1:] for n, key in enumerate(entry.keys)}
        for place, question in enumerate(record["questions"]):
            events = engine.compare(path, question["text"], list(named.values()))
            runs = [event.run for event in events if isinstance(event, ArmDone)]
            for key, run in zip(["full", *named], runs, strict=True):
                outcome = record["arms"][key]
                assert outcome["right"][place] == (run.answer.text == question["answer"]), (key, question)
                assert outcome["kept"] == {name: run.tokens[name] for name in ("audio", "video")}
                verdicts.append(outcome["right"][place])
                if question["kind"] == DESCRIPTION:
                    assert run.answer.text.startswith(outcome["told"]["text"])
                    assert run.answer.text == outcome["told"]["text"] or run.answer.finish == "length"
                    drafts += not outcome["right"][place]
    assert 0.1 < sum(verdicts) / len(verdicts) < 0.9, "the model has to be right at times for this test to mean anything"
    assert drafts > 3


def test_an_answer_with_one_wrong_word_is_wrong(settings):
    product = QwenOmni.load(settings)
    examiner = Examiner(Job(settings, arms.with_full([]), (CHOICE,)), product)
    record = examiner.examine(CHOICE, 0)
    right = [q for q, r in zip(record["questions"], record["arms"]["full"]["right"], strict=True) if r]
    assert right

    class Changed(dataset.Choice):
        def questions(self, number):
            return [Question("where", q["text"], f"{q['answer']} {q['answer']}") for q in right]

    assert examiner.examine(Changed(seconds=4.0), 0)["arms"]["full"]["right"] == [False] * len(right)


def test_a_method_that_reads_the_question_gets_each_question(settings, monkeypatch):
    lengths = []

    class Reads(Full):
        name = "full"
        reads_question = True

        def compress(self, stream):
            lengths.append(stream.n_tokens)
            return super().compress(stream)

    product = QwenOmni.load(settings)
    plain = Examiner(Job(settings, arms.with_full([]), (CHOICE,)), product).examine(CHOICE, 1)["arms"]["full"]
    monkeypatch.setitem(COMPRESSORS, "full", Reads)
    record = Examiner(Job(settings, arms.with_full([]), (CHOICE,)), product).examine(CHOICE, 1)
    assert record["arms"]["full"] == plain
    nothing = torch.empty(0, dtype=torch.int64)
    asked = [product.processor.prompt_ids([Turn(q["text"])], nothing)[1].numel() for q in record["questions"]]
    assert [n - lengths[0] for n in lengths] == [n - asked[0] for n in asked]


INSIDE = [name for name, kind in COMPRESSORS.items() if issubclass(kind, LayerPruner)]


def test_methods_inside_the_model_answer_as_engine_compare_does(settings, tmp_path):
    assert INSIDE
    engine = Engine.open(settings)
    entries = arms.with_full(arms.method_entries(INSIDE, [0.5], 1))
    choice = dataset.Choice(seconds=4.0, per_clip=2)
    record = Examiner(Job(settings, entries, (choice,)), engine.model).examine(choice, 0)
    path = render.write_mp4(choice.scene(0), tmp_path / "clip.mp4")
    kept = {name: [] for name in INSIDE}
    for place, question in enumerate(record["questions"]):
        events = engine.compare(path, question["text"], [Arm(name, 0.5) for name in INSIDE])
        for run in [event.run for event in events if isinstance(event, ArmDone)][1:]:
            outcome = record["arms"][f"{run.method}@0.5"]
            assert outcome["right"][place] == (run.answer.text == question["answer"]), (run.method, question)
            if question["kind"] == DESCRIPTION:
                assert run.answer.text.startswith(outcome["told"]["text"])
            kept[run.method].append(run.retained["total"])
    for name in INSIDE:
        shares = record["arms"][f"{name}@0.5"]["kept"]
        assert (shares["audio"] + shares["video"]) / sum(record["tokens"].values()) == pytest.approx(sum(kept[name]) / len(kept[name]))


def test_a_seed_that_was_given_is_run_once():
    """Three runs of one seed would be pooled as three, with no spread between them."""
    (entry,) = arms.parse_arm("random@0.45:seed=5", (), 3)
    assert entry.seeds == 1 and arms.parse_arm("random@0.45", (), 3)[0].seeds == 3


def test_seeds_differ_between_clips_and_between_runs():
    entry = arms.make_entry("random", 0.45, {}, 3)
    seeds = [entry.arm(CHOICE.scene(clip).seed, n).options["seed"] for clip in range(3) for n in range(3)]
    assert len(set(seeds)) == 9
    assert entry.arm(CHOICE.scene(0).seed, 1) == Arm("random", 0.45, {"seed": seeds[1]})


def test_a_model_of_another_family_is_marked_as_it_decodes():
    """What is likeliest after every part of an answer, beside the plain way; positions are fractions, the picture is added to deeper."""
    model = tiny_qwen3.opened(1)
    stream = model.stream(model.encode(tiny.clip(frames=9, sound_s=4.6, fps=2 / 0.7)), [Turn("What is loud?")])
    prompt = stream.prompt(COMPRESSORS["random"].at_retention(0.5, stream).compress(stream))
    predicted = []

    class Noting(Marker):
        def _likeliest(self, hidden):
            predicted.append(super()._likeliest(hidden))
            return predicted[-1]

    sheet = Sheet.of(model, [Question("where", "What is loud?", "the left")])
    clip_rows = int((stream.modality != Modality.TEXT).nonzero()[-1]) + 3  # the clip and the two markers behind it
    Noting(model).mark(prompt, clip_rows, sheet)
    answer = sheet.targets[sheet.targets != IGNORE].tolist()
    prefilled = model.prefill(prompt)
    logits = [prefilled.logits, *(model.language_model.advance(prefilled, token, step) for step, token in enumerate(answer[:-1]))]
    forbidden = model.processor.suppressed_ids
    assert predicted[0].tolist() == [int(row.index_fill(0, forbidden, -torch.inf).argmax()) for row in logits]
    assert len(set(predicted[0].tolist())) > 2
