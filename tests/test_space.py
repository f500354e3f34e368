"""The folder as a Space: front matter that the Hub takes, and steps of the Dockerfile that a container can follow."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def script(name):
    """A script of .ci as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


check, docker = script("check_space"), script("docker_steps")
FIELDS = check.front_matter((ROOT / "README.md").read_text())
STEPS = docker.instructions((ROOT / "Dockerfile").read_text())


def test_the_front_matter_is_valid():
    assert check.problems(FIELDS) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sdk_version": "6.30.0"}, "sdk_version"),
        ({"python_version": 3.12}, "python_version"),
        ({"app_file": "main.py"}, "app_file"),
        ({"suggested_hardware": "h100"}, "suggested_hardware"),
        ({"short_description": "x" * 61}, "short_description"),
        ({"thumbnail": "assets/none.png"}, "thumbnail"),
        ({"startup_duration_timeout": 30}, "startup_duration_timeout"),
        ({"preload_from_hub": ["Qwen/Qwen2.5-Omni-1B"]}, "preload_from_hub"),
        ({"models": []}, "models"),
        ({"sdkversion": "6.31.0"}, "sdkversion"),
    ],
)
def test_what_does_not_fit_is_named(change, named):
    assert any(problem.startswith(named) for problem in check.problems({**FIELDS, **change}))


@pytest.mark.parametrize("name", check.FIELDS)
def test_every_field_is_asked_for(name):
    assert f"{name} is missing." in check.problems({k: v for k, v in FIELDS.items() if k != name})


def test_python_3_12_gets_the_torch_of_zerogpu():
    line = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith(f"torch=={check.ZERO_TORCH}"))
    assert 'python_version >= "3.12"' in line


def position(name, part=""):
    return next(i for i, (instruction, rest) in enumerate(STEPS) if instruction == name and part in rest)


def test_requirements_are_installed_before_the_code_is_copied():
    assert position("COPY", "requirements.txt") < position("RUN", "pip install") < position("COPY", ". .")


def test_nothing_runs_as_root_after_the_user_is_there():
    users = [rest for name, rest in STEPS if name == "USER"]
    assert users == ["user"] and "--uid 1000" in STEPS[position("RUN", "useradd")][1]
    assert position("RUN", "useradd") < position("USER") < position("RUN", "pip install")
    assert all("--chown=user" in rest for name, rest in STEPS if name == "COPY")


def test_the_cache_is_a_volume_of_the_user_and_the_port_is_the_pages():
    volume = STEPS[position("VOLUME")][1]
    assert position("USER") < position("RUN", f"mkdir -p {volume}") < position("VOLUME")
    environment = STEPS[position("ENV")][1]
    assert STEPS[position("EXPOSE")][1] == "7860" and "OMNIZIP_PORT=7860" in environment and "OMNIZIP_HOST=0.0.0.0" in environment


def test_the_image_holds_the_page_and_the_embedded_model_and_nothing_else():
    names = docker.context(ROOT)
    assert {name.split("/")[0] for name in names} == {"app.py", "requirements.txt", "LICENSE", "omnizip", "ui", "assets"}
    assert {name.split("/")[1] for name in names if name.startswith("assets/")} >= {"style.css", "lens", "examples"}
    assert not any(name.startswith("assets/screenshots/") for name in names)
    assert any(name.startswith("assets/nano/") and name.endswith(".safetensors") for name in names)


@pytest.mark.slow
def test_the_page_starts_from_those_files_alone(tmp_path):
    """In a folder of what an image or a Space holds, with nothing of the checkout installed or in reach."""
    for name in docker.context(ROOT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    build = (
        "import app, omnizip, ui.page; from omnizip.settings import Settings; from ui.model_host import ModelHost;"
        "ui.page.build_page(ModelHost(Settings(device='cpu'))); print(omnizip.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == str(tmp_path / "omnizip" / "__init__.py")


def test_an_instruction_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="ADD"):
        docker.instructions("FROM x\nADD http://example.org/file /\n")
