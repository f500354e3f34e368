"""The tables of docs/several-gpus.md: the page when many ask at once."""

from __future__ import annotations

from omnizip.bench import serve

from .results import conditions, load


def crowds() -> str:
    """Every measurement there is, with its conditions."""
    parts = []
    for name in ("serve-cuda", "serve-cpu"):
        if result := load(name):
            told = f"{result['questions_each']} questions of each visitor about an own copy of `{result['clip']}`, both answers each"
            made = conditions(result["conditions"]).replace(f"; medians of {result['conditions']['repeats']}", "")
            parts.append(f"{told} ([{name}.json](results/{name}.json); {made}).\n\n{serve.markdown(result)}")
    return "\n\n".join(parts)
