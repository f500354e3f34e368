"""Replicas without Ray: the same class in threads of this process, each with an event loop of its own, found by the same clip's home."""

import asyncio
import threading
from queue import SimpleQueue

from omnizip.replicas.asking import ReplicaLost
from omnizip.replicas.replica import Replica

OVER, LOST = object(), object()


class ReplicasHere:
    """What a RemoteEngine asks. `kill` ends a replica as the end of its process would."""

    def __init__(self, settings, engines):
        """
        Args:
            engines: one per replica, opened already.
        """
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.replicas = [Replica(settings, lambda _, engine=engine: engine) for engine in engines]
        self.alive, self.asked, self.laid = set(range(len(engines))), [], []
        self._open = {number: set() for number in self.alive}

    def wait(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def number(self, home):
        alive = sorted(self.alive)
        return alive[int(home, 16) % len(alive)]

    def ask(self, call):
        number = self.number(call.clip.home)
        self.asked.append((number, call))
        replies = _Replies(self.loop, self.replicas[number], call)
        self._open[number].add(replies)
        return replies

    def stop(self, call):
        for replica in self.replicas:
            asyncio.run_coroutine_threadsafe(replica.stop(call.number), self.loop)

    def lay(self, content):
        self.laid.append(len(content))

        async def fetched():
            return content

        return fetched()

    def kill(self, number):
        self.alive.discard(number)
        for replies in self._open[number]:
            replies.lose()


class _Replies:
    def __init__(self, loop, replica, call):
        self.loop, self.said = loop, SimpleQueue()
        self.task = asyncio.run_coroutine_threadsafe(self._perform(replica, call), loop)

    async def _perform(self, replica, call):
        said = replica.perform(call)
        try:
            async for what in said:
                self.said.put(what)
        finally:
            await said.aclose()
            self.said.put(OVER)

    def __iter__(self):
        while (what := self.said.get()) is not OVER:
            if what is LOST:
                raise ReplicaLost
            yield what

    def lose(self):
        self.said.put(LOST)
        self.task.cancel()

    def cancel(self):
        self.task.cancel()
