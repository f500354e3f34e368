"""Which settings each command offers, and a command spelled out so that it can be run again."""

import shlex

import pytest

from omnizip.cli import bench, benchmark, compare, evaluate
from omnizip.cli.command_line import OneLineParser, spell
from omnizip.cli.main import build_parser, main
from omnizip.compressors import COMPRESSORS
from omnizip.errors import UsageError
from omnizip.settings import SCOPES, Settings

OFFERED = {  # written by hand: what a person would look for, by what the setting is about
    "compare": {
        *("model", "device", "dtype", "attention", "four_bit"),
        *("fps", "tokens_per_step", "max_frames", "max_clip_s", "max_file_mb"),
        *("start", "end", "audio_track"),
        *("decode_pixels", "decode_timeout_s", "decode_memory_mb"),
        *("max_new_tokens", "temperature", "top_p", "seed"),
    },
    "eval nano": {"model", "device", "dtype", "attention", "four_bit", "seed"},  # seed: of the choice of questions
    "eval worldsense": {
        *("model", "device", "dtype", "attention", "four_bit"),
        *("fps", "tokens_per_step", "max_frames", "max_new_tokens"),  # what a protocol decides and a person may change
        "ray",  # which nodes share the clips out, as there the page's copies
    },
    "bench": {"device", "dtype", "attention"},
    "methods": set(),
}
ON_A_SERVER = (
    *("host", "port", "queue_size", "waiting_per_visitor", "open_pages", "clip_memory_mb", "prefix_memory_mb", "mcp", "switch_model"),
    *("upload_mb_per_hour", "keep_files_s", "examples", "trusted_hops", "request_kb", "question_chars", "questions_per_chat"),
    *("openai", "openai_mb", "fetch_clips", "fetch_timeout_s"),
    *("replicas", "replicas_most", "ray", "shared_folder", "replica_silence_s"),
)


def flags_of(capsys, command):
    with pytest.raises(SystemExit) as left:
        main([*command.split(), "--help"])
    assert left.value.code == 0
    words = capsys.readouterr().out.replace(",", " ").split()
    return {word.strip("[]") for word in words if word.startswith(("--", "[--"))}


@pytest.mark.parametrize("command", OFFERED)
def test_a_command_offers_its_own_settings_and_no_others(capsys, command):
    flags = flags_of(capsys, command)
    assert {name for name in Settings.names(*SCOPES) if f"--{name.replace('_', '-')}" in flags} == OFFERED[command]


@pytest.mark.parametrize("name", ON_A_SERVER)
def test_what_only_a_server_needs_is_refused(name, capsys):
    flag = f"--{name.replace('_', '-')}"
    assert main(["compare", "a.mp4", "--question", "?", flag]) == 2
    assert f"unrecognized arguments: {flag}" in capsys.readouterr().err


def test_the_page_takes_every_setting():
    parser = OneLineParser()
    Settings.add_flags(parser)
    assert set(vars(parser.parse_args([]))) == {*OFFERED["compare"], *ON_A_SERVER}


def test_the_seed_is_the_only_option_of_methods_that_is_a_setting():
    options = {option.name for kind in COMPRESSORS.values() for option in kind.options()}
    assert options & set(Settings.names(*SCOPES)) == {"seed"}
    assert not {"seed", "retention"} & set(compare._options())


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (evaluate, ["--arm", "omnizip@0.2:dynamic=false", "--arm", "dtd", "--controls", "--seconds", "8,16"]),
        (evaluate, ["--no-four-bit", "--model", "a folder/with 'quotes'"]),
        (evaluate, ["--four-bit"]),
        (benchmark, ["--data", "my data", "--paper", "omnizip-45", "--limit", "3", "--shard", "1/2"]),
        (bench, ["prefill", "--shape", "3b", "--threads", "2", "--device", "cuda"]),
        (bench, ["compress"]),
    ],
)
def test_a_spelled_command_means_the_same(command, flags):
    parser = OneLineParser()
    command.add_flags(parser)
    arguments = parser.parse_args([*flags, "--json", "somewhere.json"])
    spelled = spell("run", command.add_flags, arguments, skipped=("json",))
    assert spelled.startswith("run ") and "somewhere" not in spelled
    again = parser.parse_args(shlex.split(spelled)[1:])
    assert vars(again) == vars(arguments) | {"json": None}


def test_defaults_are_not_spelled_out():
    parser = OneLineParser()
    evaluate.add_flags(parser)
    arguments = parser.parse_args(["--limit", "200", "--seeds", "5"])
    assert spell("python -m omnizip eval nano", evaluate.add_flags, arguments) == "python -m omnizip eval nano"


def test_a_mistake_is_raised_in_one_sentence():
    with pytest.raises(UsageError, match="invalid choice: 'dance'.* --help lists what it takes"):
        build_parser().parse_args(["dance"])
