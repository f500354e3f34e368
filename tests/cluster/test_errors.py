"""What Ray raises, in this project's words."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from omnizip.errors import BusyError, ModelError
from omnizip.replicas.asking import ReplicaLost
from omnizip.replicas.worker_pool import WorkerLost


def replies(failure):
    from omnizip.replicas.ray_cluster import _RayReplies

    def said():
        yield "something"
        raise failure

    return _RayReplies(said, 16)


def test_full_queues_say_so():
    from ray.serve.exceptions import BackPressureError

    with pytest.raises(BusyError, match="^All copies of the model are taken and 16 questions wait for them; ask again in a moment.$"):
        list(replies(BackPressureError(num_queued_requests=16, max_queued_requests=16)))


def test_a_replica_that_is_no_more_is_lost_however_it_ended():
    from ray.exceptions import ActorDiedError, ActorUnavailableError, WorkerCrashedError

    for failure in (ActorDiedError(), ActorUnavailableError("gone", None), WorkerCrashedError()):
        with pytest.raises(ReplicaLost):
            list(replies(failure))


def test_a_call_that_was_cancelled_just_ends():
    from ray.serve.exceptions import RequestCancelledError

    assert list(replies(RequestCancelledError("number"))) == ["something"]


def test_copies_that_never_came_up_are_told():
    from ray.serve.exceptions import DeploymentUnavailableError

    with pytest.raises(ModelError, match="did not come up"):
        list(replies(DeploymentUnavailableError.__new__(DeploymentUnavailableError)))


def test_a_worker_that_is_no_more_is_lost_however_it_ended():
    from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, WorkerCrashedError

    for failure in (ActorDiedError(), WorkerCrashedError(), OutOfMemoryError("memory on the node was low"), NodeDiedError("gone")):
        with pytest.raises(WorkerLost):
            outcome_of(failure)


def test_what_a_workers_program_raises_is_no_lost_worker():
    from ray.exceptions import RayTaskError

    raised = RayTaskError("do", "Traceback", ZeroDivisionError("division by zero")).as_instanceof_cause()
    with pytest.raises(ZeroDivisionError):
        outcome_of(raised)


def outcome_of(failure):
    from omnizip.replicas.ray_workers import _outcome

    theirs = Future()
    theirs.set_exception(failure)
    return _outcome(SimpleNamespace(future=lambda: theirs)).result(0)
