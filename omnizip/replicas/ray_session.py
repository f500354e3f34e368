"""Ray itself: started on this machine, or this machine's part in a cluster that it is a node of.

Ray listens on every interface of a machine whatever it is told, and whoever may speak to it runs code there. So its tokens are always
asked for (https://docs.ray.io/en/latest/ray-security/token-auth.html): a cluster started here has one of its own that dies with it, and
a cluster that is joined has to be one that asks for one. The dashboard stays off.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ModelError, UsageError

MODE, TOKEN, TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
STORE_BYTES = 1_000_000_000  # of the object store, where files and frames lie while they cross; they are fetched at once
KNOCK_S = 10.0

NO_RAY = "{flag} needs Ray, which is not installed; run pip install -r requirements-ray.txt, or leave {flag} away."
NO_TOKEN = (
    "The cluster's token is neither in RAY_AUTH_TOKEN nor in a file that RAY_AUTH_TOKEN_PATH names or ~/.ray/auth_token; "
    "put there what the cluster was started with (docs/several-gpus.md)."
)
NO_CLUSTER = (
    "The Ray cluster at {address} does not take this machine in ({why}); look that this machine is a node of it "
    "(ray start --address=...), that the token is the cluster's, and that Ray and Python are the same on both."
)
NOT_STARTED = "Ray could not be started here ({why}); leave {flag} away, or look in {folder}."
ON_ALL_INTERFACES = (
    "Ray listens on all network interfaces of this machine, whatever it is told, and takes only who has its token: "
    "keep its ports behind a firewall (docs/several-gpus.md)."
)
OPEN_CLUSTER = "RAY_AUTH_MODE is {mode}, and a cluster that asks for no token runs anybody's code; set it to token there and here."


class RaySession:
    """Ray while it is used. Made on the main thread, with whose end the processes of a local cluster end, too."""

    def __init__(self, address: str, flag: str, say: Callable[[str], object] = lambda sentence: None) -> None:
        """Start Ray on this machine, or join a cluster.

        Args:
            address: of a cluster that this machine is a node of, or "auto"; "" starts one here.
            flag: what asked for Ray, as sentences name it.
            say: takes what whoever starts this has to know, a sentence each.

        Raises:
            UsageError: Ray is not installed, or the cluster's token is not known. ModelError: no cluster; in one sentence.
        """
        require_ray(flag)
        self.here = not address
        self._folder: Path | None = None
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._start(flag) if self.here else self._join(address)
        finally:
            for number, handler in before.items():  # Ray puts its own in place
                signal.signal(number, handler)
        say(ON_ALL_INTERFACES)

    def _start(self, flag: str) -> None:
        """A cluster of this machine alone, with a token that nobody else knows."""
        os.environ.update({MODE: "token", TOKEN: secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"})
        os.environ.pop(TOKEN_FILE, None)
        ray = import_ray()
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: paths of sockets are below it
        cores = max(1, os.cpu_count() or 1)
        try:
            ray.init(
                num_cpus=cores,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=STORE_BYTES,
                _temp_dir=str(self._folder),
            )
        except Exception as failure:  # of many kinds
            raise ModelError(NOT_STARTED.format(why=first_line(failure), flag=flag, folder=self._folder)) from failure

    def _join(self, address: str) -> None:
        """Become a driver of the cluster that this machine is a node of."""
        mode = os.environ.setdefault(MODE, "token")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if mode.lower() != "token":
            raise UsageError(OPEN_CLUSTER.format(mode=mode))
        if not (os.environ.get(TOKEN) or _is_file(os.environ.get(TOKEN_FILE)) or _is_file("~/.ray/auth_token")):
            raise UsageError(NO_TOKEN)
        ray = import_ray()
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as failure:
            raise ModelError(NO_CLUSTER.format(address=address, why=first_line(failure))) from failure

    @property
    def lives(self) -> bool:
        """Whether it was not closed."""
        return bool(import_ray().is_initialized())

    def gpus(self) -> int:
        """GPUs that the cluster has now, free or taken."""
        return int(import_ray().cluster_resources().get("GPU", 0))

    def cores(self) -> float:
        """CPU cores that the cluster has now, free or taken."""
        return float(import_ray().cluster_resources().get("CPU", 1))

    def nodes(self) -> int:
        """Nodes that the cluster has now and that offer it a core."""
        return sum(bool(node["Alive"] and node["Resources"].get("CPU", 0) >= 1) for node in import_ray().nodes())

    def close(self) -> None:
        """Leave the cluster, and with one that was started here end all of it."""
        import_ray().shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def require_ray(flag: str) -> None:
    """Raise UsageError where Ray, which `flag` asks for, is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError(NO_RAY.format(flag=flag))


def import_ray() -> Any:
    """The package, which the project's own environment leaves out."""
    import ray

    return ray


def first_line(failure: BaseException) -> str:
    """What an error of Ray's says, short enough for a sentence."""
    return next((line.strip().rstrip(".") for line in str(failure).splitlines() if line.strip()), type(failure).__name__)


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT, which Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()


def _is_file(name: str | None) -> bool:
    return bool(name) and Path(str(name)).expanduser().is_file()
