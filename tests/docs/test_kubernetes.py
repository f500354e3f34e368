"""The Kubernetes manifest: it parses, its parts fit each other, and Ray is behind a token and a policy."""

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "several-gpus.md").read_text()
PARTS = [part for part in yaml.safe_load_all((ROOT / "docs" / "kubernetes" / "kuberay.yaml").read_text()) if part]
BY_KIND = {part["kind"]: part for part in PARTS}
CLUSTER, PAGE_POD = BY_KIND["RayCluster"]["spec"], BY_KIND["Deployment"]["spec"]["template"]
RAY_PODS = [CLUSTER["headGroupSpec"]["template"], *(group["template"] for group in CLUSTER["workerGroupSpecs"])]
(RAY_PIN,) = [line.split("#")[0].strip() for line in (ROOT / "requirements-ray.txt").read_text().splitlines() if line.startswith("ray")]


def labels_match(selector, labels):
    wanted = selector.get("matchLabels", {})
    told = all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))
    return told and wanted.items() <= labels.items()


def test_every_part_says_what_it_is():
    assert [part["kind"] for part in PARTS] == ["RayCluster", "Deployment", "Service", "NetworkPolicy", "NetworkPolicy"]
    assert all(part["apiVersion"] and re.fullmatch("[a-z-]+", part["metadata"]["name"]) for part in PARTS)


def test_the_release_of_ray_is_the_pinned_one_everywhere():
    (pinned,) = [item.version for item in Requirement(RAY_PIN).specifier]
    assert CLUSTER["rayVersion"] == pinned and RAY_PIN in PAGE
    (image,) = {container["image"] for pod in (*RAY_PODS, PAGE_POD) for container in pod["spec"]["containers"]}
    assert f"docker build -t {image.partition(':')[0]} -" in PAGE


def test_everybody_has_the_same_token_and_it_is_in_no_file():
    assert CLUSTER["authOptions"]["mode"] == "token"
    (container,) = PAGE_POD["spec"]["containers"]
    environment = {entry["name"]: entry for entry in container["env"]}
    secret = environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert environment["RAY_AUTH_MODE"]["value"] == "token" and secret["name"] == CLUSTER["authOptions"]["secretName"]
    assert f"create secret generic {secret['name']} --from-literal={secret['key']}=" in PAGE
    assert "Secret" not in BY_KIND


def test_the_page_joins_the_cluster_and_copies_find_a_gpu_each():
    (container,) = PAGE_POD["spec"]["containers"]
    (command,) = container["args"]
    assert f"--address={BY_KIND['RayCluster']['metadata']['name']}-head-svc:6379 --num-cpus=0" in command
    copies = int(re.search(r"--replicas (\d+)", command).group(1))
    (workers,) = CLUSTER["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"] and workers["replicas"] == copies
    assert workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert CLUSTER["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0", "include-dashboard": "false"}
    assert BY_KIND["Deployment"]["spec"]["replicas"] == 1


@pytest.mark.parametrize("pod", [*RAY_PODS, PAGE_POD], ids=["head", "worker", "page"])
def test_volumes_that_are_mounted_are_there_and_policies_cover_every_pod(pod):
    given = {volume["name"] for volume in pod["spec"].get("volumes", [])}
    assert {mount["name"] for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", [])} == given
    policies = [part["spec"] for part in PARTS if part["kind"] == "NetworkPolicy"]
    inside = next(policy for policy in policies if "from" in policy["ingress"][0])
    assert labels_match(inside["podSelector"], pod["metadata"]["labels"])
    (allowed,) = inside["ingress"][0]["from"]
    assert labels_match(allowed["podSelector"], pod["metadata"]["labels"])


def test_only_the_pages_own_port_is_open():
    policies = [part["spec"] for part in PARTS if part["kind"] == "NetworkPolicy"]
    (open_one,) = [policy for policy in policies if "from" not in policy["ingress"][0]]
    (container,) = PAGE_POD["spec"]["containers"]
    assert open_one["podSelector"] == BY_KIND["Deployment"]["spec"]["selector"]
    assert [port["port"] for port in open_one["ingress"][0]["ports"]] == [port["containerPort"] for port in container["ports"]]
    assert BY_KIND["Service"]["spec"]["selector"] == PAGE_POD["metadata"]["labels"]
