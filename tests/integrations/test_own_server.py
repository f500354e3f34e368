"""The checkpoint that throughput is measured on: whole, in the layout vLLM reads, with a language model of the size asked for."""

from omnizip.integrations.vllm import own_server
from omnizip.integrations.vllm.throughput import markdown
from omnizip.model.loading import load
from omnizip.settings import Settings


def test_it_is_a_whole_checkpoint(monkeypatch, tmp_path):
    small = {"hidden_size": 64, "num_hidden_layers": 2, "max_window_layers": 2, "num_attention_heads": 1}
    monkeypatch.setattr(own_server, "LANGUAGE_MODEL", small | {"num_key_value_heads": 1, "intermediate_size": 96})
    folder = own_server.random_checkpoint(tmp_path / "random")
    parts = load(Settings(model=str(folder), device="cpu")).parts
    assert len(parts.language.layers) == 2 and parts.thinker.get_input_embeddings().weight.shape[1] == 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["random"]


def test_rows_are_told_with_what_was_read():
    row = {"at_once": 4, "method": "full", "retention": 1.0, "prompt_tokens": 791.4, "answers_per_minute": 14.06}
    row |= {"first_word_s": 2.55, "slowest_first_word_s": 7.9}
    told = markdown({"rows": [row, row | {"method": "omnizip", "retention": 0.35}]}).splitlines()
    assert told[2] == "| 4 | all tokens | 791 | 14.1 | 2.5 s | 7.9 s |" and "35% by `omnizip`" in told[3]
