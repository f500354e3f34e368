"""What numbers depend on is read in one place and said alike by reports, benchmarks and evaluations."""

import json
import os
import platform
import sys

import torch
import transformers

from omnizip import __version__
from omnizip.model import conditions

CPU = torch.device("cpu")


def test_the_machine_is_named():
    found = conditions.machine_conditions(CPU)
    assert (found["torch"], found["transformers"], found["omnizip"]) == (torch.__version__, transformers.__version__, __version__)
    assert found["threads"] == torch.get_num_threads() and found["cores"] == os.cpu_count()
    assert found["platform"] == platform.platform() and found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["device"] and found["date"].endswith("+00:00")
    json.dumps(found, allow_nan=False)


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(conditions, "PACKAGES", ("torch", "no-such-package"))
    found = conditions.installed_versions()
    assert found["no-such-package"] is None and found["torch"] == torch.__version__
