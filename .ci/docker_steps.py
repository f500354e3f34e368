"""Run the Dockerfile's steps in a clean Debian root, then its page as uid 1000 without network; needs root and debootstrap.

    python3 .ci/docker_steps.py FOLDER      # made with debootstrap where it is not there yet; about 3 GB

What this does not prove: that Docker builds the file (syntax beyond the instructions read here), Python 3.12 (Debian's own
Python stands for the base image's), the packages of `python:3.12-slim`, volumes, and CUDA.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITE, PACKAGES = "bookworm", "python3,python3-pip,python3-venv,python-is-python3,ca-certificates,iproute2,passwd"
KNOWN = {"FROM", "RUN", "USER", "ENV", "WORKDIR", "COPY", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}
ASK = """
import json, sys
from gradio_client import Client, handle_file
full, compressed, report = Client("http://127.0.0.1:7860", verbose=False).predict(
    video=handle_file(sys.argv[1]), question="What is seen?", api_name="/compare")
print(json.dumps({run["method"]: run["tokens"]["total"] for run in report["runs"]}))
"""


def instructions(text: str) -> list[tuple[str, str]]:
    """The (INSTRUCTION, rest) lines of a Dockerfile; raises ValueError for one that is not known here."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = []
    for line in re.sub(r"\\\n\s*", " ", kept).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            if name not in KNOWN:
                raise ValueError(f"Dockerfile: the instruction {name} is not known here")
            found.append((name, rest.strip()))
    return found


def context(root: Path) -> list[str]:
    """The files of a build: all that neither git nor .dockerignore leaves out."""
    said = (line.strip() for line in (root / ".dockerignore").read_text().splitlines())
    ignored = [line for line in said if line and not line.startswith("#")]
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return [n for n in names if not any(fnmatch.fnmatch(n, p) or n.startswith(f"{p}/") for p in ignored) and (root / n).exists()]


@dataclass
class Container:
    """What the instructions read so far amount to."""

    root: Path
    user: str = "root"
    workdir: str = "/"
    env: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def argv(self, command: list[str]) -> list[str]:
        """The command inside, as the current user, with the environment the file sets and nothing of ours but pip's settings."""
        outer = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and name != "PIP_CERT"}
        pairs = [f"{name}={value}" for name, value in {**outer, **self.env}.items()]
        who = [] if self.user == "root" else ["--userspec=1000:1000", "--groups="]
        inner = f"cd {shlex.quote(self.workdir)} && exec {shlex.join(command)}"
        return ["chroot", *who, str(self.root), "/usr/bin/env", "-i", *pairs, "sh", "-c", inner]

    def step(self, name: str, rest: str) -> None:
        """Do one instruction."""
        if name == "RUN":
            subprocess.run(self.argv(["sh", "-c", rest]), check=True)
        elif name == "USER":
            self.user = rest
        elif name == "ENV":
            for pair in shlex.split(rest):
                key, _, value = pair.partition("=")
                self.env[key] = re.sub(r"\$(\w+)", lambda found: self.env.get(found[1], ""), value)
        elif name == "WORKDIR":
            self.workdir = rest
            (self.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            self._give(self.root / rest.lstrip("/"))
        elif name == "COPY":
            self._copy(shlex.split(rest))
        elif name == "CMD":
            self.command = json.loads(rest)
        elif name == "HEALTHCHECK":
            self.health = json.loads(rest[rest.index("CMD") + 3 :])

    def _copy(self, words: list[str]) -> None:
        *sources, to = [word for word in words if not word.startswith("--")]
        target = self.root / self.workdir.lstrip("/") / to
        for name in context(ROOT):
            if "." in sources or name in sources:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target / name)
        self._give(target)

    def _give(self, folder: Path) -> None:
        if self.user != "root":
            subprocess.run(["chown", "-R", "1000:1000", str(folder)], check=True)


def base(root: Path) -> None:
    """A clean Debian in `root`, with the outside's certificates and, while pip runs, local folders it is told to look in."""
    if not (root / "usr/bin/python").exists():
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)], check=True)
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()  # the base image's Python is not Debian's to manage
    shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    if (hosts := Path("/etc/hosts")).exists():
        shutil.copyfile(hosts, root / "etc/hosts")
    if (home := root / "home/user/app").exists():
        shutil.rmtree(home)
    subprocess.run(["chroot", str(root), "sh", "-c", "userdel user 2>/dev/null || true"], check=True)
    for folder in filter(None, os.environ.get("PIP_FIND_LINKS", "").split()):
        if Path(folder).is_dir():
            shutil.copytree(folder, root / folder.lstrip("/"), dirs_exist_ok=True)


def serve(container: Container) -> None:
    """Start CMD without network, wait for HEALTHCHECK, ask for one comparison, and look whose process it is."""
    clip = next(name for name in context(ROOT) if name.startswith("assets/examples/") and name.endswith(".mp4"))
    inside = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", sys.executable, __file__, "--inside"]
    told = {"run": container.argv(container.command), "health": container.argv(container.health)}
    told["ask"] = container.argv(["python", "-c", ASK, clip])
    told["root"] = str(container.root)
    subprocess.run([*inside, json.dumps(told)], check=True)


def inside(told: dict) -> None:
    """In a network of nothing but the loopback: run, check health, ask, end."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for kind, place in (("proc", "proc"), ("tmpfs", "dev/shm")):
        Path(told["root"], place).mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", kind, kind, f"{told['root']}/{place}"], check=True)
    links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    assert len(links.strip().splitlines()) == 1, f"there is a network: {links}"
    start = time.monotonic()
    page = subprocess.Popen(told["run"])
    try:
        while subprocess.run(told["health"], stderr=subprocess.DEVNULL).returncode:
            if page.poll() is not None or time.monotonic() - start > 300:
                raise SystemExit("The page did not answer.")
            time.sleep(2)
        uids = {Path(f"/proc/{page.pid}/status").read_text().split("Uid:")[1].split()[0]}
        answer = subprocess.run(told["ask"], check=True, capture_output=True, text=True).stdout.strip()
        sys.stdout.write(f"healthy after {time.monotonic() - start:.0f} s, uid {uids}, tokens read {answer}\n")
        assert uids == {"1000"}
    finally:
        page.terminate()
        page.wait(30)


def main() -> int:
    if sys.argv[1] == "--inside":
        inside(json.loads(sys.argv[2]))
        return 0
    container = Container(Path(sys.argv[1]).resolve())
    base(container.root)
    for name, rest in instructions((ROOT / "Dockerfile").read_text()):
        sys.stdout.write(f"{name} {rest}\n")
        sys.stdout.flush()
        container.step(name, rest)
    serve(container)
    return 0


if __name__ == "__main__":
    sys.exit(main())
