"""Many requests at once through vLLM, with and without pruning."""

from __future__ import annotations

from omnizip.integrations.vllm.throughput import markdown

from .results import load


def many_at_once() -> str:
    """The table, and what it depends on."""
    found = load("serve-vllm-cpu")
    known = found["conditions"]
    before, after = known["load_average"]
    told = (
        f"[serve-vllm-cpu.json](results/serve-vllm-cpu.json): {known['device']}, {known['cores']} cores, load average {before:.1f} before "
        f"and {after:.1f} after, vLLM {known['vllm']}, {known['date'][:10]}; answers of {known['tokens_of_an_answer']} tokens, "
        f"{known['rounds']} rounds in which the arms take turns."
    )
    return f"{markdown(found)}\n\n{told}"
