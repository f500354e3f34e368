"""Visitors without a browser: what a tab sends to the queue and hears from it, over plain HTTP."""

import json
import threading
import uuid
from pathlib import Path

import httpx


class Tab:
    """One visitor's tab on a page that was launched in this process."""

    def __init__(self, page):
        self.page, self.base = page, page.local_url.rstrip("/") + "/gradio_api"
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
        function = next(f for f in self.page.fns.values() if f.name == name)
        rest = [block.get_config().get("value") for block in function.inputs[len(first) :]]
        body = {"data": [*first, *rest], "fn_index": function._id, "session_hash": self.name}
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

    def close(self):
        """As a closed tab: the connection is gone."""
        if self.stream is not None:
            self.stream.extensions["network_stream"].get_extra_info("socket").shutdown(2)
        self.http.close()
