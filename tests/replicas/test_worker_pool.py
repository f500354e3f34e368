"""Tasks that workers share: each once, whoever dies; with workers of this process that do what they are told."""

from concurrent.futures import Future
from threading import Thread

import pytest

from omnizip.errors import MediaError, ModelError
from omnizip.replicas.crossing import Failure
from omnizip.replicas.worker_pool import TRIES, Ready, WorkerLost, WorkerPool

KNOWN = {"weights": "aa", "omnizip": "1"}


class FakeWorker:
    """A thread a task. `behave(worker, task)` gives the outcome or raises; `ready` is what it says or raises at first."""

    def __init__(self, number, behave, ready):
        self.number, self._behave, self._ready = number, behave, ready
        self.did, self.ended = [], False

    def ready(self):
        return self._later(lambda: self._told(self._ready(self.number)))

    def do(self, task):
        assert not self.ended, "a worker that has ended is asked"
        self.did.append(task)
        return self._later(lambda: self._behave(self.number, task))

    def end(self):
        self.ended = True

    def _told(self, what):
        if isinstance(what, Exception):
            raise what
        return what

    def _later(self, work):
        future = Future()

        def run():
            try:
                future.set_result(work())
            except Exception as failure:
                future.set_exception(failure)

        Thread(target=run, daemon=True).start()
        return future


def ready_on(number):
    return Ready(f"node{number}", dict(KNOWN), {"number": number})


class Hired(list):
    """Every worker there was, and what they do."""

    def __init__(self, behave=lambda number, task: f"{task} done", ready=ready_on):
        super().__init__()
        self._behave, self._ready = behave, ready

    def __call__(self):
        self.append(FakeWorker(len(self), self._behave, self._ready))
        return self[-1]


def test_every_task_is_done_once_and_workers_end():
    hired = Hired()
    with WorkerPool(hired, 3) as pool:
        assert pool.first().conditions["number"] in range(3)
        found = list(pool.outcomes(range(20)))
    assert sorted(found) == [(n, f"{n} done") for n in range(20)]
    assert sorted(task for worker in hired for task in worker.did) == list(range(20)) and all(worker.ended for worker in hired)


def test_the_task_of_a_worker_that_dies_is_done_by_another():
    died = []

    def behave(number, task):
        if task == 3 and not died:
            died.append(number)
            raise WorkerLost("killed")
        return number

    hired = Hired(behave)
    with WorkerPool(hired, 2) as pool:
        found = dict(pool.outcomes(range(8)))
    assert sorted(found) == list(range(8)) and found[3] != died[0]
    assert hired[died[0]].ended and hired[died[0]].did[-1] == 3, "it is asked nothing more"
    assert len(hired) == 3, "another takes its place"


def test_a_task_that_ends_every_worker_costs_itself_only():
    def behave(number, task):
        if task == "bad":
            raise WorkerLost("killed by signal 9")
        return "good"

    hired = Hired(behave)
    with WorkerPool(hired, 1) as pool:
        found = dict(pool.outcomes(["a", "bad", "b"]))
    assert found["a"] == found["b"] == "good"
    assert str(found["bad"]) == "3 workers ended on it, one after the other (killed by signal 9), perhaps for lack of memory"
    assert sum(worker.did.count("bad") for worker in hired) == TRIES


def test_nobody_takes_the_place_of_the_last():
    def behave(number, task):
        raise WorkerLost("gone")

    hired = Hired(behave)
    with WorkerPool(hired, 1) as pool:
        list(pool.outcomes(["bad"]))
    assert len(hired) == TRIES


def test_a_worker_that_cannot_get_ready_says_why():
    hired = Hired(ready=lambda number: Failure("MediaError", "Node a: no film."))
    with pytest.raises(MediaError, match="^Node a: no film.$"), WorkerPool(hired, 2) as pool:
        pool.first()
    assert all(worker.ended for worker in hired)


def test_workers_that_end_before_they_are_ready_are_not_begun_for_ever():
    hired = Hired(ready=lambda number: WorkerLost("no module named omnizip"))
    with (
        pytest.raises(ModelError, match=r"^3 workers ended .* \(no module named omnizip\); look that every node"),
        WorkerPool(hired, 1) as pool,
    ):
        pool.first()
    assert len(hired) == TRIES


def test_one_that_ends_before_it_is_ready_is_replaced():
    hired = Hired(ready=lambda number: ready_on(number) if number else WorkerLost("gone"))
    with WorkerPool(hired, 1) as pool:
        assert pool.first().node == "node1" and dict(pool.outcomes("ab")) == {"a": "a done", "b": "b done"}


def test_nodes_that_would_answer_otherwise_are_refused():
    class Prompt(FakeWorker):
        def ready(self):
            future = Future()
            future.set_result(self._ready(self.number))
            return future

    hired = []

    def hire():
        hired.append(Prompt(len(hired), None, lambda number: Ready(f"node{number}", KNOWN | {"weights": "ab"[number]}, {})))
        return hired[-1]

    sentence = r"^Node node[01] differs from node[01] in weights; give all nodes the same model"
    with pytest.raises(ModelError, match=sentence), WorkerPool(hire, 2) as pool:
        pool.first()
    assert all(worker.ended for worker in hired)


def test_a_mistake_in_the_program_keeps_its_kind():
    def behave(number, task):
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError), WorkerPool(Hired(behave), 1) as pool:
        list(pool.outcomes("a"))


def test_who_waits_for_a_worker_is_told_once(monkeypatch):
    monkeypatch.setattr("omnizip.replicas.worker_pool.PATIENCE_S", 0.05)
    told, free = [], Future()

    class Late(FakeWorker):
        def ready(self):
            return free

    def say(sentence):
        told.append(sentence)
        free.set_result(ready_on(0))

    with WorkerPool(lambda: Late(0, lambda number, task: task, ready_on), 1, "a GPU", say) as pool:
        pool.first()
    assert told == ["No worker has come up yet: each needs a GPU of the cluster that nobody else has taken; interrupt this to give up."]
