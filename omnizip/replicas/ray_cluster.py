"""Replicas on Ray Serve: started on this machine, or deployed to a cluster that this machine is a node of. The only file that knows Serve.

Serve's HTTP proxy stays off: the page is the door. A clip finds its replica by Serve's consistent hashing, which is experimental and
named in `_deployment` alone.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import BusyError, ModelError, UsageError
from ..settings import Settings
from .asking import ReplicaLost
from .crossing import Call, Said
from .ray_session import RaySession, import_ray, require_ray
from .remote_engine import RemoteEngine, Replies
from .replica import Replica, ReplicaState

APP, DEPLOYMENT = "omnizip", "replica"
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
AT_ONCE = 16  # calls that one replica takes at the same time: those that wait to be answered, looks, wishes to stop
HEALTH_EVERY_S, HEALTH_WITHIN_S = 5.0, 10.0  # three failures in a row, and Serve replaces a replica
LAST_WORDS_S = 10.0  # for answers of a replica that is let go
STATE_WITHIN_S = 30.0

LENT = "A GPU that is lent for a call serves one copy of the model; leave --replicas and --ray away."
TOO_FEW = "{asked} copies need a GPU each, and {have} are here; lower --replicas, or give --device cpu."
FULL = "All copies of the model are taken and {n} questions wait for them; ask again in a moment."
NOT_DEPLOYED = "The copies of the model did not come up; the logs of Ray Serve tell why."


class RayCluster:
    """Ray as far as a page needs it. Made on the main thread, with whose end the processes of a local cluster end, too."""

    def __init__(self, settings: Settings, say: Callable[[str], object] = lambda sentence: None) -> None:
        """Start Ray on this machine, or join the cluster at `settings.ray`.

        Args:
            say: takes what whoever starts this has to know, a sentence each.

        Raises:
            UsageError: Ray is not installed, or what is asked for does not go together. ModelError: no cluster; in one sentence.
        """
        check_can(settings)
        self._session = RaySession(settings.ray, _flag(settings), say)
        self.here = self._session.here
        gpus = self._session.gpus()
        self._on_gpus = settings.device != "cpu" and (gpus > 0 or settings.device == "cuda")  # machines of a cluster may come later
        if self.here and settings.device == "cuda" and not gpus:
            self.close()
            raise ModelError("No CUDA device is available to Ray; use --device cpu.")
        self.least = settings.replicas or max(1, gpus if self._on_gpus else 1)
        self.most = max(self.least, settings.replicas_most)
        if self.here and self._on_gpus and self.most > gpus:
            self.close()
            raise UsageError(TOO_FEW.format(asked=self.most, have=gpus))
        self._app = ""  # the present model's copies

    def close(self) -> None:
        """Take the replicas away, and with a cluster that was started here all of it."""
        if not self._session.lives:
            return
        from ray import serve

        try:
            serve.shutdown() if self.here else serve.delete(self._app, _blocking=False)
        except Exception:  # it ends all the same
            logging.getLogger(__name__).warning("Ray Serve did not end in order.", exc_info=True)
        self._session.close()

    # ---- replicas

    def open(self, settings: Settings, on_progress: Callable[[str, float | None], None] | None = None) -> RemoteEngine:
        """Have all replicas answer with the model of `settings`, and wait until they do.

        Those of the model before end first, with what they are answering as far as they get within LAST_WORDS_S: their memory is needed.
        Every model has an application of its own, since for a while after an update Serve goes on asking replicas of before.

        Raises:
            ModelError: a replica cannot have that model; in the replica's own sentence.
        """
        from ray import serve

        (on_progress or (lambda stage, fraction: None))("load", None)
        serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
        try:
            for name in serve.status().applications:  # one that a page left behind which was killed, too
                if name.startswith(APP):
                    serve.delete(name)
            self._app = f"{APP}-{secrets.token_hex(3)}"
            handle = serve.run(self._deployment(settings).bind(settings), name=self._app, route_prefix=None)
            state: ReplicaState = handle.state.remote().result(timeout_s=STATE_WITHIN_S)
        except Exception as failure:
            raise ModelError(NOT_DEPLOYED) from failure
        if state.conditions is None:
            raise state.problem.error() if state.problem else ModelError(NOT_DEPLOYED)
        return RemoteEngine(_Copies(handle, settings.queue_size), settings, state.conditions, self.here)

    def _deployment(self, settings: Settings) -> Any:
        from ray import serve
        from ray.serve.config import RequestRouterConfig

        if self._on_gpus:
            share = {"num_gpus": 1}
        else:
            cores = self._session.cores() / self.most if self.here else 1
            share = {"num_cpus": int(cores) if cores >= 1 else max(0.01, math.floor(100 * cores) / 100)}  # above 1 Ray takes whole ones
        scale: dict[str, Any] = {"num_replicas": self.least}
        if self.most > self.least:
            scale = {"autoscaling_config": {"min_replicas": self.least, "max_replicas": self.most, "target_ongoing_requests": 1}}
        return serve.deployment(Replica).options(
            name=DEPLOYMENT,
            ray_actor_options=share,
            max_ongoing_requests=AT_ONCE,
            max_queued_requests=settings.queue_size,
            health_check_period_s=HEALTH_EVERY_S,
            health_check_timeout_s=HEALTH_WITHIN_S,
            graceful_shutdown_timeout_s=LAST_WORDS_S,
            request_router_config=RequestRouterConfig(request_router_class=ROUTER, request_router_kwargs={"num_fallback_replicas": 0}),
            **scale,
        )


class _Copies:
    """The replicas of one model, as a RemoteEngine asks them."""

    def __init__(self, handle: Any, waiting: int) -> None:
        self._handle, self._waiting = handle, waiting

    def ask(self, call: Call) -> Replies:
        """Send a call to the replica that its clip belongs to."""
        handle = self._handle.options(stream=True, session_id=call.clip.home)
        return _RayReplies(lambda: handle.perform.remote(call), self._waiting)

    def stop(self, call: Call) -> None:
        """Tell the replica that nobody wants more; not waited for."""
        self._handle.options(session_id=call.clip.home).stop.remote(call.number)

    def lay(self, content: bytes) -> Any:
        """Lay bytes into the object store."""
        return import_ray().put(content)


class _RayReplies:
    """What a replica says, with Ray's errors in this project's words."""

    def __init__(self, send: Callable[[], Any], waiting: int) -> None:
        self._waiting = waiting
        self._replies = send()

    def __iter__(self) -> Iterator[Said]:
        from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError, WorkerCrashedError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError

        try:
            yield from self._replies
        except BackPressureError:
            raise BusyError(FULL.format(n=self._waiting)) from None
        except (RequestCancelledError, TaskCancelledError):
            return
        except (RayActorError, WorkerCrashedError):
            raise ReplicaLost from None
        except DeploymentUnavailableError:
            raise ModelError(NOT_DEPLOYED) from None
        except RayTaskError as failure:
            raise failure.as_instanceof_cause() from failure

    def cancel(self) -> None:
        """Have the replica end. Does nothing where it has."""
        self._replies.cancel()


def check_can(settings: Settings) -> None:
    """Raise UsageError where Ray is asked for and not installed, or the GPU is not this machine's own."""
    require_ray(_flag(settings))
    if os.environ.get("SPACES_ZERO_GPU"):
        raise UsageError(LENT)


def _flag(settings: Settings) -> str:
    return "--ray" if settings.ray else "--replicas"
