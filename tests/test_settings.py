"""Settings: flags before environment before defaults, and every wrong value told in one sentence."""

import argparse
import dataclasses

import pytest

from omnizip.errors import OmniZipError
from omnizip.settings import SCOPES, Settings

FIELDS = dataclasses.fields(Settings)
OTHER = {bool: "true", int: "7", float: "0.75", str: "somewhere"}


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    Settings.add_flags(parser)
    return parser.parse_args(arguments)


def other_value(field):
    """A text that is valid for `field` and is not its default."""
    if field.metadata["choices"]:
        return field.metadata["choices"][-1]
    return {"decode_pixels": "90000", "decode_memory_mb": "100", "audio_track": "2"}.get(field.name, OTHER[type(field.default)])


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.name)
def test_every_setting_has_a_variable_and_a_flag(field):
    text = other_value(field)
    from_variable = getattr(Settings.from_environment({f"OMNIZIP_{field.name.upper()}": text}), field.name)
    flag = f"--{field.name.replace('_', '-')}"
    arguments = [flag] if isinstance(field.default, bool) else [flag, text]
    from_flag = getattr(Settings().override(parsed(*arguments)), field.name)
    assert from_flag == from_variable != field.default
    assert type(from_flag) is type(field.default)
    assert str(from_flag).lower() == text.lower()


def test_flags_win_over_variables_and_variables_over_defaults():
    settings = Settings.from_environment({"OMNIZIP_FPS": "1.5", "OMNIZIP_SEED": "3", "OMNIZIP_FOUR_BIT": "yes"})
    settings = settings.override(parsed("--fps", "4", "--no-four-bit"))
    assert (settings.fps, settings.seed, settings.four_bit, settings.port) == (4.0, 3, False, 7860)


def test_an_empty_variable_counts_as_not_set():
    assert Settings.from_environment({"OMNIZIP_FPS": ""}) == Settings()


def test_only_the_named_flags_are_added():
    parser = argparse.ArgumentParser()
    Settings.add_flags(parser, ("fps",))
    assert set(vars(parser.parse_args([]))) == {"fps"}


@pytest.mark.parametrize("field", [field for field in FIELDS if field.metadata["lowest"] is not None], ids=lambda f: f.name)
def test_below_the_lowest_is_refused_by_name(field):
    lowest = field.metadata["lowest"]
    Settings(**{field.name: lowest})
    with pytest.raises(OmniZipError, match=rf"^{field.name} is .* at least .*\.$"):
        Settings(**{field.name: lowest - type(lowest)(1)})


def test_every_number_but_top_p_has_a_lowest_value():
    numbers = {field.name for field in FIELDS if type(field.default) in (int, float)}
    assert numbers - {field.name for field in FIELDS if field.metadata["lowest"] is not None} == {"top_p"}


def test_every_setting_belongs_to_one_scope():
    assert all(Settings.names(scope) for scope in SCOPES)
    assert sorted(name for scope in SCOPES for name in Settings.names(scope)) == sorted(field.name for field in FIELDS)
    assert Settings.names(*SCOPES) == tuple(field.name for field in FIELDS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [f.name for f in FIELDS if isinstance(f.default, float)])
def test_numbers_have_to_be_finite(name, value):
    with pytest.raises(OmniZipError, match=f"^{name} is"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("values", "words"),
    [({"top_p": 0.0}, "top_p"), ({"top_p": 1.01}, "top_p"), ({"device": "tpu"}, "auto, cuda, cpu"), ({"dtype": "int8"}, "bfloat16")],
)
def test_other_bounds_name_what_is_allowed(values, words):
    with pytest.raises(OmniZipError, match=words):
        Settings(**values)


@pytest.mark.parametrize(
    ("name", "text", "words"), [("SEED", "3.5", "a whole number"), ("FPS", "fast", "a number"), ("FOUR_BIT", "maybe", "true or false")]
)
def test_a_variable_that_does_not_parse_is_named(name, text, words):
    with pytest.raises(OmniZipError, match=f"OMNIZIP_{name} is '{text}'; give {words}"):
        Settings.from_environment({f"OMNIZIP_{name}": text})
