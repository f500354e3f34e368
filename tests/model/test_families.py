"""Which family a checkpoint is of, and that nothing outside omnizip/model/ asks which."""

import ast
import re
from pathlib import Path

import pytest
from transformers import PreTrainedConfig

from omnizip.errors import ModelError
from omnizip.model.families import FAMILIES, family_of

ROOT = Path(__file__).resolve().parents[2]
ASKED = re.compile(r"famil|model_type|qwen|2_5|thinker_config", re.IGNORECASE)
OUTSIDE = [path for package in ("omnizip", "ui") for path in sorted((ROOT / package).rglob("*.py")) if "model" not in path.parts]


def conditions(tree):
    """Every expression that decides which way is taken."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Assert)):
            yield node.test
        elif isinstance(node, ast.Match):
            yield node.subject
            yield from (case.pattern for case in node.cases)
        elif isinstance(node, ast.comprehension):
            yield from node.ifs
        elif (
            isinstance(node, (ast.BoolOp, ast.Compare))
            or isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass", "hasattr")
        ):
            yield node


def words(condition):
    for node in ast.walk(condition):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def branches(text):
    """Words by which the code of a module tells families apart."""
    return sorted({word for condition in conditions(ast.parse(text)) for word in words(condition) if ASKED.search(word)})


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_outside_the_model_branches_on_the_family(path):
    if "integrations" in path.parts:
        pytest.skip("adapters to programs that know model classes of their own")
    found = [word for word in branches(path.read_text()) if word != "QwenOmni"]
    assert found == [], "ask the family object for what differs instead"


def test_branches_are_found():
    assert branches("x = 1 if model.family.name == 'Qwen3-Omni' else 2") == ["Qwen3-Omni", "family"]
    assert branches("if isinstance(config, Qwen3OmniMoeThinkerConfig): pass") == ["Qwen3OmniMoeThinkerConfig"]
    assert branches("[x for x in y if x.model_type in known]") == ["model_type"]
    assert branches("family.audio_tokens(3)") == []
    assert OUTSIDE


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_read_off_the_config(family):
    for kind in family.model_types:
        assert family_of({"model_type": kind}) is family
    assert family_of(family.thinker.config_class()) is family


def test_another_model_is_refused_by_what_it_is():
    with pytest.raises(ModelError, match="of type bert, not Qwen2.5-Omni or Qwen3-Omni"):
        family_of({"model_type": "bert"})
    with pytest.raises(ModelError, match="not Qwen2.5-Omni or Qwen3-Omni"):
        family_of(PreTrainedConfig())
