"""Answers against the timeline, read by other means than the generator's: a grid of instants 10 ms apart."""

import re
from collections import Counter

import numpy as np
import pytest

from omnizip.evaluation.world import phrasings, questions
from omnizip.evaluation.world import scene as world
from omnizip.evaluation.world.questions import KINDS
from omnizip.evaluation.world.scene import COLOURS, SHAPES, SOUNDS

INSTANTS = np.arange(0, 8, 0.01) + 0.005


@pytest.fixture(scope="module")
def asked():
    found = []
    for seed in range(world.HELD_OUT_SEEDS.start, world.HELD_OUT_SEEDS.start + 60):
        scene = world.scene(seed)
        found += [(scene, q) for turn in range(2) for q in questions.about(scene, np.random.default_rng([seed, turn]))]
    return found


def of(asked, kind):
    found = [(scene, q) for scene, q in asked if q.kind == kind]
    assert len(found) > 30, kind
    return found


def words_of(text):
    return re.findall(r"[a-z]+|\d+", text.lower())


def sound_named(text):
    spoken = {"rung": "bell", "drums": "drum", "drum": "drum"}
    words = words_of(text)
    hits = {s for s in SOUNDS for w in words if w.startswith(s)} | {s for w, s in spoken.items() if w in words}
    assert len(hits) == 1, text
    return hits.pop()


def actors_named(scene, text):
    words = words_of(text)
    shape = [s for s in SHAPES if s in words]
    colour = [c for c in COLOURS if c in words]
    assert shape or colour, text
    return [a for a in scene.actors if a.shape in (shape or SHAPES) and a.colour in (colour or COLOURS)]


def seen_while(scene, sound):
    return {scene.actor_at(t) for t in INSTANTS if (heard := scene.sound_at(t)) and heard.name == sound}


def test_every_kind_is_asked_and_in_every_wording(asked):
    assert {q.kind for _, q in asked} == set(KINDS)
    starts = Counter(q.text.split("{")[0] for _, q in asked)
    assert len(starts) > 600
    assert all(len(several) >= 40 for several in phrasings.trained_wordings().values())


def test_a_question_about_a_clip_never_has_two_answers(asked):
    answers = {}
    for scene, q in asked:
        assert answers.setdefault((scene.seed, q.kind, q.text), q.answer) == q.answer


def test_what_is_seen_at_a_sound(asked):
    for kind, say in (
        ("seen at sound", lambda a: a.name if a else "nothing"),
        ("colour at sound", lambda a: a.colour),
        ("shape at sound", lambda a: a.shape),
    ):
        for scene, q in of(asked, kind):
            (actor,) = seen_while(scene, sound_named(q.text))
            assert q.answer == say(actor)


def test_what_is_heard_with_a_shape(asked):
    for scene, q in of(asked, "sound at shape"):
        (actor,) = actors_named(scene, q.text)
        heard = {s.name for t in INSTANTS if scene.actor_at(t) == actor and (s := scene.sound_at(t))}
        assert {q.answer} == (heard or {"none"})


def test_order_and_number_of_sounds_and_shapes(asked):
    for kind, attribute, index in (
        ("first sound", "sound", 0),
        ("last sound", "sound", -1),
        ("first shape", "actor", 0),
        ("last shape", "actor", -1),
    ):
        for scene, q in of(asked, kind):
            row = [x for t in INSTANTS if (x := getattr(scene, f"{attribute}_at")(t))]
            assert q.answer == ((row[index].name if attribute == "sound" else row[index].shape) if row else "none")
    for kind, attribute in (("sound count", "sound"), ("shape count", "actor")):
        for scene, q in of(asked, kind):
            row = [getattr(scene, f"{attribute}_at")(t) for t in INSTANTS]
            starts = sum(b is not None and b is not a for a, b in zip([None, *row], row, strict=False))
            assert q.answer == phrasings.COUNTS[starts]


def test_presence(asked):
    for scene, q in of(asked, "sound present"):
        heard = {s.name for t in INSTANTS if (s := scene.sound_at(t))}
        assert q.answer == ("yes" if sound_named(q.text) in heard else "no")


def test_properties_of_a_shape(asked):
    for kind, say in (
        ("colour of shape", lambda s, a: a.colour),
        ("where", lambda s, a: ("left", "middle", "right")[int(a.centre(a.start_s + 0.5, s.width, s.height)[0] / s.width * 3)]),
        ("motion", lambda s, a: a.motion),
    ):
        for scene, q in of(asked, kind):
            text = " ".join(w for w in words_of(q.text) if w not in COLOURS) if kind == "colour of shape" else q.text  # "red, blue or ...?"
            (actor,) = actors_named(scene, text)
            assert q.answer == say(scene, actor)
    for scene, q in of(asked, "backdrop"):
        assert q.answer == scene.pattern


def test_seconds(asked):
    def second(text):
        return next(int(w) for w in words_of(text) if w.isdigit())

    for kind, attribute in (("sound at second", "sound"), ("shape at second", "actor")):
        for scene, q in of(asked, kind):
            inside = INSTANTS[(second(q.text) <= INSTANTS) & (second(q.text) + 1 > INSTANTS)]
            present = {x.name for t in inside if (x := getattr(scene, f"{attribute}_at")(t))}
            assert present == ({q.answer} - {"nothing"})
    for scene, q in of(asked, "when sound"):
        times = [t for t in INSTANTS if (s := scene.sound_at(t)) and s.name == sound_named(q.text)]
        assert q.answer == f"second {int(times[0])}"
    for scene, q in of(asked, "when shape"):
        (actor,) = actors_named(scene, q.text)
        times = [t for t in INSTANTS if scene.actor_at(t) == actor]
        assert q.answer == f"second {int(times[0])}"


def test_the_description_names_every_event_in_order(asked):
    for scene, q in of(asked, "description"):
        words = [w.strip(".,").lower() for w in q.answer.split()]
        assert [w for w in words if w in SHAPES] == [a.shape for a in scene.actors]
        assert [w for w in words if w in COLOURS] == [a.colour for a in scene.actors]
        assert [w for w in words if w in SOUNDS] == [s.name for s in scene.sounds]
        assert q.answer.count(", then ") == len(scene.moments) - 1


def test_wording_follows_the_generator():
    scene = world.scene(3)
    first, again, other = (questions.about(scene, np.random.default_rng(n)) for n in (0, 0, 1))
    assert first == again
    assert first != other


def test_sixty_paraphrases_are_in_no_wording_and_ask_the_same():
    plain = {word: kept for kept, several in phrasings.synonyms().items() for word in several}

    def bare(text):
        words = re.sub(r"[^a-z{} ]", "", text.lower())
        for word, kept in plain.items():
            words = re.sub(rf"\b{word}\b", kept, words)
        return words

    trained = {bare(w) for several in phrasings.trained_wordings().values() for w in several}
    written = [w for several in phrasings.paraphrases().values() for w in several]
    assert set(phrasings.paraphrases()) == set(KINDS)
    assert len(set(written)) == 60
    assert not trained & {bare(w) for w in written}
    scene = world.scene(world.HELD_OUT_SEEDS.start)
    asked = questions.about(scene, np.random.default_rng(0), wordings=phrasings.paraphrases())
    trained_answers = Counter((q.kind, q.answer) for q in questions.about(scene, np.random.default_rng(1)))
    assert Counter((q.kind, q.answer) for q in asked if q.kind != "sound present") == Counter(
        {pair: n for pair, n in trained_answers.items() if pair[0] != "sound present"}
    )


def test_nobody_asks_for_the_pattern_of_what_is_filmed():
    rng = np.random.default_rng(0)
    assert "backdrop" in {q.kind for q in questions.about(world.scene(3), rng)}
    kinds = {q.kind for seed in range(20) for q in questions.about(world.scene(seed, footage="filmed"), rng)}
    assert "backdrop" not in kinds and {"motion", "where", "colour at sound"} <= kinds
