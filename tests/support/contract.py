"""What every method owes its user, as checks that can be run on any set of methods."""

import ast
import dataclasses
import functools
import itertools

import torch

from omnizip import Modality
from omnizip.compressors.layer_pruner import LayerPruner
from omnizip.report.decision import CompressionRecord
from omnizip.stream import Reason

CLIPS = {
    "even": {"frames": 12, "sound_s": 6.0},
    "odd frames": {"frames": 7, "sound_s": 3.3},
    "no sound": {"frames": 8, "sound_s": None},
    "silence": {"frames": 8, "sound_s": 4.0, "silent": True},
    "one window": {"frames": 3, "sound_s": 1.4},
    "longer sound": {"frames": 4, "sound_s": 6.0},
    "mostly picture": {"frames": 20, "sound_s": 2.6},
}


@torch.no_grad()
def decided(model, stream, method, asked=None):
    """The decision as it ended, and its record; a method inside the model reads the prompt for it."""
    compression, layers = method.compress(stream), ()
    if isinstance(method, LayerPruner):
        prompt = stream.prompt(compression)
        kept = model.prefill(prompt, method, stream).kept
        compression, layers = kept.applied_to(compression, prompt.index), kept.layers
    return compression, CompressionRecord.of(compression, 6.0, method.needs, layers, asked)


def tensors(stream):
    return {f.name: v for f in dataclasses.fields(stream) if isinstance(v := getattr(stream, f.name), torch.Tensor)}


def check_decisions(model, stream, kind):
    """The budget met or one sentence why not, text kept, every token traceable, the same twice, nothing written to."""
    before = {key: value.clone() for key, value in tensors(stream).items()}
    media = stream.modality != Modality.TEXT
    for retention in (0.05, 0.25, 0.45, 1.0):
        method = kind.at_retention(retention, stream)
        found, record = decided(model, stream, method, retention)
        assert bool(found.keep[~media].all()), "text is kept"
        budget_met_or_told(record, retention, int(media.sum()))
        traceable(found, media)
        again, _ = decided(model, stream, kind.at_retention(retention, stream), retention)
        for field in ("keep", "source", "reason", "embeds"):
            assert torch.equal(getattr(found, field), getattr(again, field)), f"{field} differs between two runs"
    for key, value in before.items():
        torch.testing.assert_close(tensors(stream)[key], value, rtol=0, atol=0, equal_nan=True, msg=f"{kind.name} wrote to {key}")


def budget_met_or_told(record, asked, total):
    """Exact before the model, to a token of the average inside it; otherwise one sentence, in the record and so on the page."""
    missed = abs(record.retained["total"] * total - asked * total)
    told = [note for note in record.notes if note.endswith("asked.")]
    if missed <= (1 if record.layers else 0.5 + 1e-6):
        assert not told, f"nothing was missed, yet it says {told}"
    else:
        assert len(told) == 1, f"kept {record.retained['total']:.1%} of {asked:.0%} without a word"


def traceable(found, media):
    """Every token says where it went: kept ones live in themselves, folded ones in a kept token, dropped ones nowhere."""
    place = torch.arange(media.shape[0])
    folded, dropped = found.reason == Reason.FOLDED, (found.reason == Reason.DROPPED) | (found.reason == Reason.UNSEEN)
    assert torch.equal(found.keep, ~(folded | dropped))
    assert torch.equal(found.source[found.keep], place[found.keep])
    assert bool((found.source[dropped] == -1).all()) and bool(found.keep[found.source[folded]].all())


def check_description(name, kind):
    """It says what it is, and every option has a default that it takes and a sentence of help."""
    assert kind.name == name and kind.label and kind.source
    assert kind.summary.endswith(".") and "\n" not in kind.summary
    for option in kind.options():
        option.check(option.default)
        assert option.help.endswith("."), f"{name}.{option.name}"


def check_no_two_alike(model, stream, methods):
    """No two of `methods` (name -> class) keep the same tokens at one retention."""
    kept = {name: decided(model, stream, kind.at_retention(0.6, stream))[0].keep for name, kind in methods.items()}
    for a, b in itertools.combinations(kept, 2):
        assert not torch.equal(kept[a], kept[b]), f"{a} and {b} keep the same"


@functools.cache
def independent_checks(folder):
    """Method -> the tests under `folder` that are marked as its independent check, `@pytest.mark.independent("name", ...)`.

    Such a test compares the method with a planted truth, a slow reading of its description, or its reference's output.
    """
    found = {}
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text()
        for node in ast.parse(text).body if "mark.independent" in text else ():
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.independent":
                    for name in mark.args:
                        found.setdefault(ast.literal_eval(name), []).append(f"{path.stem}.{node.name}")
    return found
