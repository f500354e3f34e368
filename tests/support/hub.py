"""A hub on this machine: what huggingface_hub asks of the Hugging Face hub to find and fetch a model, over plain HTTP.

Small files come from the hub itself, large ones by a redirect to another host name, as from its content network. Every answer is
counted, and what goes wrong on the way to real servers is asked for by name: connections cut, errors, ranges that are ignored.
"""

import hashlib
import json
import os
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from huggingface_hub import constants

REPO = "Qwen/Qwen2.5-Omni-3B"
BLOCK = 1 << 16


@dataclass(frozen=True)
class Content:
    """A file's bytes; what has no digest of its own is small and comes from the hub itself."""

    data: bytes

    def __len__(self):
        return len(self.data)

    def read(self, start, stop):
        return self.data[start:stop]

    @property
    def digest(self):
        return hashlib.sha256(self.data).hexdigest()

    @property
    def blob_id(self):
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


def is_large(name):
    return name.endswith((".safetensors", ".bin", ".pt"))


@dataclass
class Faults:
    """What goes wrong next; each count is used up."""

    errors: dict = field(default_factory=dict)  # path's part -> [status, how often]
    cuts: list = field(default_factory=list)  # bytes of a large file after which the connection ends, one a request
    reset: bool = False  # a cut is a reset connection instead of a closed one
    ignore_range: bool = False
    hold: threading.Event | None = None  # large files wait for it halfway


class Hub(ThreadingHTTPServer):
    """Commits of one repository."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, files, repo=REPO):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.repo, self.commits, self.faults = repo, {}, Faults()
        self.asked, self.sent, self.starts, self.lock = [], {}, {}, threading.Lock()
        self.commit(files)

    def commit(self, files):
        """The newest commit of `main`: {name: content}."""
        self.files = {name: made if hasattr(made, "read") else Content(made) for name, made in files.items()}
        told = json.dumps({name: content.blob_id for name, content in self.files.items()}, sort_keys=True)
        self.head = hashlib.sha1(told.encode()).hexdigest()
        self.commits[self.head] = self.files
        return self.head

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def elsewhere(self):
        """The other host that large files come from."""
        return f"http://localhost:{self.server_port}"

    def environment(self, cache, **more):
        """For a process that asks this hub and has its cache in a folder."""
        asked = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "OMP_NUM_THREADS": "1",
        }
        return os.environ | asked | more

    def forget(self):
        """Count anew."""
        for counted in (self.asked, self.sent, self.starts):
            counted.clear()

    def bytes_of(self, name):
        """Sent of a file since counting began, to all who asked."""
        return self.sent.get(name, 0)

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Nothing."""

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        hub, parts = self.server, urlsplit(self.path)
        path = unquote(parts.path)
        with hub.lock:
            hub.asked.append((self.command, path))
            for part, error in hub.faults.errors.items():
                if part in path and error[1] > 0:
                    error[1] -= 1
                    return self.say(error[0], b"the server is not well")
        if path.startswith("/api/models/"):
            return self.describe(path.removeprefix("/api/models/"), parse_qs(parts.query))
        if path.startswith("/content/"):
            name = path.removeprefix("/content/").partition("/")[2]
            content = hub.commits[path.split("/")[2]][name]
            if "Authorization" in self.headers:
                return self.say(400, b"a token was sent to another host")
            return self.send(name, content, {"ETag": f'"{content.digest}"'})
        return self.resolve(path)

    def describe(self, path, query):
        hub, parts = self.server, path.split("/")
        repo, (kind, revision, *below) = "/".join(parts[:2]), parts[2:] or ("revision", "main")
        if repo != hub.repo:
            return self.say(401, b"Repository not found", {"X-Error-Code": "RepoNotFound"})
        commit = hub.head if revision == "main" else revision
        if commit not in hub.commits:
            return self.say(404, b"Revision not found", {"X-Error-Code": "RevisionNotFound"})
        if below:
            return self.say(404, b"No such folder", {"X-Error-Code": "EntryNotFound"})
        entries = []
        for name, content in sorted(hub.commits[commit].items()):
            lfs = {"lfs": {"sha256": content.digest, "size": len(content), "pointerSize": 135}} if is_large(name) else {}
            entries.append((name, {"size": len(content), **lfs}, content))
        if kind == "tree":
            listed = [{"type": "file", "path": name, "oid": content.blob_id} | told for name, told, content in entries]
            listed = [entry | ({"lfs": entry["lfs"] | {"oid": entry["lfs"]["sha256"]}} if "lfs" in entry else {}) for entry in listed]
        else:
            more = bool(query.get("blobs"))
            files = [{"rfilename": name} | ({"blobId": content.blob_id} | told if more else {}) for name, told, content in entries]
            listed = {"_id": "1", "id": hub.repo, "modelId": hub.repo, "sha": commit, "siblings": files, "private": False, "tags": []}
        return self.say(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})

    def resolve(self, path):
        hub = self.server
        repo, _, rest = path[1:].partition("/resolve/")
        revision, _, name = rest.partition("/")
        if repo != hub.repo:
            return self.say(401, b"Repository not found", {"X-Error-Code": "RepoNotFound"})
        commit = hub.head if revision == "main" else revision
        told = {"X-Repo-Commit": commit}
        if name not in hub.commits.get(commit, {}):
            return self.say(404, b"Entry not found", told | {"X-Error-Code": "EntryNotFound"})
        content = hub.commits[commit][name]
        if not is_large(name):
            return self.send(name, content, told | {"ETag": f'"{content.blob_id}"'})
        told |= {"X-Linked-ETag": f'"{content.digest}"', "X-Linked-Size": str(len(content))}
        return self.say(302, b"", told | {"Location": f"{hub.elsewhere}/content/{commit}/{name}", "ETag": f'"{content.blob_id}"'})

    def send(self, name, content, headers):
        """A file, or the part of it asked for."""
        hub, start, stop = self.server, 0, len(content)
        asked = self.headers.get("Range", "")
        partial = asked.startswith("bytes=") and not hub.faults.ignore_range
        if partial:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(stop, int(last) + 1) if last else stop
            headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        self.send_response(206 if partial else 200)
        for key, value in (headers | {"Content-Length": str(stop - start), "Accept-Ranges": "bytes"}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.stream(name, content, start, stop)

    def stream(self, name, content, start, stop):
        hub = self.server
        whole = stop == len(content)  # and not a look at its first bytes
        with hub.lock:
            if whole:
                hub.starts.setdefault(name, []).append(start)
            cut = hub.faults.cuts.pop(0) if hub.faults.cuts and whole and is_large(name) else None
        end = stop if cut is None else min(stop, start + cut)
        halfway = (start + stop) // 2 if hub.faults.hold is not None and whole and is_large(name) else None
        for i in range(start, end, BLOCK):
            block = content.read(i, min(i + BLOCK, end))
            if halfway is not None and i >= halfway:
                hub.faults.hold.wait(120)
            self.wfile.write(block)
            with hub.lock:
                hub.sent[name] = hub.sent.get(name, 0) + len(block)
        if cut is not None and end < stop:
            self.wfile.flush()
            if hub.faults.reset:
                time.sleep(0.3)  # what was sent has arrived; a reset throws away what has not
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def say(self, status, body, headers=None):
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def hub_serving(files):
    """A hub that answers until the end."""
    hub = Hub(files)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def points_to(monkeypatch, endpoint):
    """Have this process ask another hub."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


def until(true, seconds):
    """Wait for what another thread or process does; generous, since the machine may be busy."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
