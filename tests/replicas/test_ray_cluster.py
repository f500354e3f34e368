"""What is refused before Ray is spoken to, in one sentence each; without Ray."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from omnizip.errors import ModelError, OmniZipError, UsageError
from omnizip.replicas import ray_session
from omnizip.replicas.ray_cluster import RayCluster
from omnizip.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_ray(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else real(name, *more))


@pytest.mark.parametrize(("settings", "flag"), [(Settings(replicas=2), "--replicas"), (Settings(ray="auto"), "--ray")])
def test_without_ray_a_sentence_says_what_to_install(no_ray, settings, flag):
    with pytest.raises(UsageError, match=f"^{flag} needs Ray, which is not installed; run pip install -r requirements-ray.txt, or leave"):
        RayCluster(settings)


def test_a_lent_gpu_serves_one_copy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: True)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    with pytest.raises(UsageError, match="^A GPU that is lent for a call serves one copy"):
        RayCluster(Settings(replicas=2))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_the_page_ends_with_that_sentence():
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "app.py", "--replicas", "2", "--port", "0"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("--replicas needs Ray") and "Traceback" not in done.stderr


@pytest.fixture
def joining(monkeypatch, tmp_path):
    """Ray may be thought to be there; no token is known and no cluster is reached."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: True)
    monkeypatch.setattr(ray_session, "import_ray", lambda: pytest.fail("Ray was spoken to"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)


def test_a_cluster_is_joined_with_its_token_alone(joining):
    with pytest.raises(UsageError, match="^The cluster's token is neither in RAY_AUTH_TOKEN nor"):
        RayCluster(Settings(ray="auto"))
    joining.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    with pytest.raises(UsageError, match="^The cluster's token"):
        RayCluster(Settings(ray="auto"))


def test_a_cluster_that_asks_for_no_token_is_not_joined(joining):
    joining.setenv("RAY_AUTH_MODE", "disabled")
    joining.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with pytest.raises(UsageError, match="^RAY_AUTH_MODE is disabled, and a cluster that asks for no token runs anybody's code"):
        RayCluster(Settings(ray="auto"))


def test_where_nobody_listens_ray_is_not_left_to_try_for_minutes(joining):
    joining.setenv("RAY_AUTH_TOKEN", "0" * 64)
    joining.setattr(ray_session, "import_ray", lambda: SimpleNamespace(init=lambda **_: pytest.fail("Ray tries")))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ModelError, match=f"^The Ray cluster at 127.0.0.1:{port} does not take this machine in \\(.*refused"):
        RayCluster(Settings(ray=f"127.0.0.1:{port}"))


def test_bounds_have_to_fit():
    assert Settings(replicas=2, replicas_most=4).replicas_most == 4
    with pytest.raises(OmniZipError, match="^replicas is 4, more than replicas_most, 2; raise that, or leave it out.$"):
        Settings(replicas=4, replicas_most=2)
