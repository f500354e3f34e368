"""A package that a command needs and that is not installed, in one sentence; nothing of it is imported here."""

EXTRAS = {  # of pyproject.toml, by the packages they bring
    "model": ("transformers", "accelerate", "av", "safetensors"),
    "report": ("PIL",),
    "demo": ("gradio", "moviepy", "spaces", "plotly"),
}


def sentence(problem: ModuleNotFoundError) -> str | None:
    """What to install; None where the module is none of an extra's, which is then a fault of ours."""
    package = (problem.name or "").partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            return f'This command needs {package}, which is not installed; run pip install "omnizip[{extra}]".'
    return None
