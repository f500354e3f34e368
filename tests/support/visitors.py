"""Visitors without a browser: what a tab sends to the queue and hears from it, over plain HTTP."""

import functools
import json
import threading
import time
import uuid
from pathlib import Path

import httpx


@functools.lru_cache(maxsize=4)
def _page(address):
    """What a page says of itself when it is opened: the values of its components, and its events by the names of their functions."""
    config = httpx.get(f"{address}/config", timeout=60).raise_for_status().json()
    values = {component["id"]: component["props"].get("value") for component in config["components"]}
    return values, {event["api_name"]: event for event in config["dependencies"]}


class Tab:
    """One visitor's tab on a page that is being served."""

    def __init__(self, page):
        """
        Args:
            page: a page launched in this process, or its address.
        """
        address = (page if isinstance(page, str) else page.local_url).rstrip("/")
        self.values, self.events = _page(address)
        self.base = address + "/gradio_api"
        self.name = uuid.uuid4().hex
        self.http = httpx.Client(timeout=60)
        self.heard, self.stream, self.reader = [], None, None

    def upload(self, path):
        """The clip as a value of the page's player."""
        with Path(path).open("rb") as file:
            sent = self.http.post(f"{self.base}/upload", files={"files": (Path(path).name, file)})
        sent.raise_for_status()
        return {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}

    def press(self, name, *first):
        """Fire the event whose function is called `name`, with `first` as its first inputs and the others as they stand."""
        event = self.events[name]
        rest = [self.values[component] for component in event["inputs"][len(first) :]]
        body = {"data": [*first, *rest], "fn_index": event["id"], "session_hash": self.name}
        self.http.post(f"{self.base}/queue/join", json=body).raise_for_status()
        if self.reader is None:
            self.reader = threading.Thread(target=self._listen, daemon=True)
            self.reader.start()

    def _listen(self):
        try:
            with httpx.stream("GET", f"{self.base}/queue/data", params={"session_hash": self.name}, timeout=None) as self.stream:
                for line in self.stream.iter_lines():
                    if line.startswith("data:"):
                        self.heard.append(json.loads(line[5:]))
        except (httpx.HTTPError, OSError, ValueError):
            return  # closed

    def kinds(self):
        return [message["msg"] for message in self.heard]

    def ended(self, patience_s=120.0):
        """The message that ends the visitor's first run, None if none came in that time."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if ends := [message for message in self.heard if message["msg"] == "process_completed"]:
                return ends[0]
            if not self.reader.is_alive():
                return None
            time.sleep(0.02)
        return None

    def close(self):
        """As a closed tab: the connection is gone."""
        if self.stream is not None:
            self.stream.extensions["network_stream"].get_extra_info("socket").shutdown(2)
        self.http.close()
