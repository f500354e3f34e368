"""Fetching a clip from an address: what may be asked, and that bytes, seconds and places stay within bounds whatever a server does."""

import io
import socket
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from omnizip.errors import MediaError
from omnizip.serving.remote_clip import MOST_REDIRECTIONS, RemoteClips, is_public
from omnizip.settings import Settings

CLIP = bytes(range(256)) * 400  # 102,400 bytes
SETTINGS = Settings(max_file_mb=0.2, fetch_timeout_s=20)
PEM = Path(__file__).resolve().parents[1] / "support" / "clips_test.pem"  # key and certificate of clips.test, for these tests alone


class Answers(BaseHTTPRequestHandler):
    """What a server may do, by the path it is asked for."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *given):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        path = self.path.split("?")[0]
        if path.startswith("/to/"):
            return self.answer(302, b"", Location=self.path.removeprefix("/to/"))
        if path == "/loop":
            return self.answer(307, b"", Location="/loop")
        if path == "/long":
            return self.answer(200, CLIP * 3)
        if path == "/packed":
            return self.answer(200, CLIP, **{"Content-Encoding": "gzip"})
        if path == "/empty":
            return self.answer(200, b"")
        if path == "/endless":
            return self.chunked(iter(lambda: CLIP[:10_000], None))
        if path == "/slow":
            return self.chunked(self.slowly())
        if path == "/silent":
            return self.server.over.wait(30)
        if path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CLIP)))
            self.end_headers()
            self.wfile.write(CLIP[:1000])
            self.close_connection = True
            return None
        if path == "/headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for i in range(100_000):
                self.wfile.write(b"X-%d: %s\r\n" % (i, b"y" * 1000))
            return None
        return self.answer(200, CLIP) if path in ("/clip.mp4", "/caf%C3%A9.mp4") else self.answer(404, b"none")

    def slowly(self):
        while not self.server.over.wait(0.2):
            yield b"x"

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def chunked(self, pieces):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


class Quiet(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    daemon_threads = True

    def handle_error(self, *given):
        pass


@contextmanager
def serving(context=None):
    server = Quiet(("127.0.0.1", 0), Answers)
    server.asked, server.over = [], threading.Event()
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


def fetched(address, settings=SETTINGS, **named):
    """What lies at the address, from anywhere."""
    target = io.BytesIO()
    RemoteClips(settings, **{"allowed": lambda ip: True, "ports": None, **named}).fetch(address, target)
    return target.getvalue()


def at(server, path, host="127.0.0.1", scheme="http"):
    return f"{scheme}://{host}:{server.server_port}{path}"


PUBLIC = ["8.8.8.8", "93.184.216.34", "2001:4860:4860::8888", "::ffff:8.8.8.8"]
# fmt: off
PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.8", "192.88.99.1", "198.18.0.1", "203.0.113.5", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
    "fec0::1", "ff02::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "2001:0:53aa:64c::1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "100::1",
]
# fmt: on


@pytest.mark.parametrize(("address", "public"), [*((a, True) for a in PUBLIC), *((a, False) for a in PRIVATE)])
def test_only_the_open_internet_is_public(address, public):
    assert is_public(address) == public


def test_a_clip_comes_whole_and_no_more_is_said_of_the_server_than_needed(server):
    assert fetched(at(server, "/clip.mp4?a=b c&d=%20")) == CLIP
    path, headers = server.asked[-1]
    assert path == "/clip.mp4?a=b%20c&d=%20"
    assert {name.lower() for name in headers} == {"host", "user-agent", "accept", "accept-encoding"}
    assert headers["Host"] == f"127.0.0.1:{server.server_port}" and headers["Accept-Encoding"] == "identity"
    assert fetched(at(server, "/café.mp4")) == CLIP


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1", "2130706433", "0x7f000001", "0", "[::ffff:127.0.0.1]"])
def test_nothing_is_fetched_from_private_networks(server, host):
    asked = len(server.asked)
    with pytest.raises(MediaError, match="private network|no address that can be found|is none"):
        fetched(at(server, "/clip.mp4", host), allowed=is_public)
    assert len(server.asked) == asked


def names(monkeypatch, **found):
    """What look-ups find, in turn; more than one look-up for each answer fails."""
    real = socket.getaddrinfo
    looked = []

    def look(host, port, *rest, **named):
        if host not in found:
            return real(host, port, *rest, **named)
        looked.append(host)
        return [entry for address in found[host].pop(0) for entry in real(address, port, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return looked


def test_a_name_with_a_private_address_among_others_is_refused(server, monkeypatch):
    names(monkeypatch, **{"mixed.test": [["8.8.8.8", "127.0.0.1"]]})
    with pytest.raises(MediaError, match="private network"):
        fetched(at(server, "/clip.mp4", "mixed.test"), allowed=is_public)


def test_what_was_checked_is_what_is_connected_to(server, monkeypatch):
    """A name that changes its mind right after the check gains nothing: it is looked up once."""
    checked = []
    looked = names(monkeypatch, **{"rebinds.test": [["127.0.0.1"], ["127.0.0.2"]]})
    assert fetched(at(server, "/clip.mp4", "rebinds.test"), allowed=lambda ip: not checked.append(ip)) == CLIP
    assert looked == ["rebinds.test"] and checked == ["127.0.0.1"]


def test_a_redirection_is_checked_as_the_address_was(server, monkeypatch):
    names(monkeypatch, **{"outside.test": [["127.0.0.1"]]})
    asked = len(server.asked)
    secret = f"http://127.0.0.2:{server.server_port}/secret"
    with pytest.raises(MediaError, match="private network"):
        fetched(at(server, f"/to/{secret}", "outside.test"), allowed=lambda ip: ip == "127.0.0.1")
    assert [path for path, _ in server.asked[asked:]] == [f"/to/{secret}"]


def test_redirections_are_followed_and_not_for_ever(server):
    assert fetched(at(server, "/to//clip.mp4")) == CLIP
    assert fetched(at(server, f"/to/{at(server, '/clip.mp4')}")) == CLIP
    asked = len(server.asked)
    with pytest.raises(MediaError, match="leads on more than"):
        fetched(at(server, "/loop"))
    assert len(server.asked) - asked == MOST_REDIRECTIONS + 1


@pytest.mark.parametrize("onward", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:70/", "data:video/mp4;base64,AAAA"])
def test_a_redirection_leads_to_http_alone(server, onward):
    with pytest.raises(MediaError, match=r"no http\(s\) address"):
        fetched(at(server, f"/to/{onward}"))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://127.0.0.1:99999/", "could not be reached"),
        ("http://", "no http"),
        ("https:///clip.mp4", "no http"),
        ("http://[::1/clip.mp4", "none"),
        ("ftp://example.org/clip.mp4", "no http"),
        ("http://ada:secret@example.org/clip.mp4", "name or password"),
        ("http://example.org/" + "a" * 2000, "usual length"),
        ("http://example.org/\r\nX: y", "none"),
    ],
)
def test_an_address_that_is_none_is_one_sentence(address, sentence):
    with pytest.raises(MediaError, match=sentence):
        fetched(address)


@pytest.mark.parametrize("port", [22, 25, 6379, 8080])
def test_other_ports_than_the_usual_ones_are_not_asked(port):
    with pytest.raises(MediaError, match=f"names port {port}"):
        RemoteClips(SETTINGS).fetch(f"http://example.org:{port}/", io.BytesIO())


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/none", "status 404"),
        ("/long", "more than the 0.2 MB"),
        ("/endless", "more than"),
        ("/packed", "compressed"),
        ("/empty", "nothing at"),
        ("/cut", "broke off"),
        ("/headers", "broke off|more than a clip"),
    ],
)
def test_what_a_server_does_is_one_sentence(server, path, sentence):
    with pytest.raises(MediaError, match=sentence):
        fetched(at(server, path))


@pytest.mark.parametrize("path", ["/slow", "/silent"])
def test_a_clip_comes_in_time_or_not_at_all(server, path):
    with pytest.raises(MediaError, match="did not come in time"):
        fetched(at(server, path), Settings(fetch_timeout_s=1))


def test_nobody_there_is_one_sentence():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(MediaError, match="could not be reached"):
            fetched(f"http://127.0.0.1:{unused.getsockname()[1]}/clip.mp4")


def test_bytes_are_counted_as_they_come(server):
    counted = []

    def spend(size):
        counted.append(size)
        return sum(counted) < 50_000

    with pytest.raises(MediaError, match="more than one visitor"):
        RemoteClips(SETTINGS, lambda ip: True, None).fetch(at(server, "/clip.mp4"), io.BytesIO(), spend)
    assert 50_000 <= sum(counted) < 50_000 + 2 * 65_536


def test_who_no_longer_waits_ends_it(server):
    target = io.BytesIO()
    with pytest.raises(MediaError, match="Nobody waits"):  # and not that it did not come in time
        RemoteClips(SETTINGS, lambda ip: True, None).fetch(at(server, "/slow"), target, gone=lambda: bool(target.getvalue()))


def test_the_environments_proxy_is_not_asked(server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetched(at(server, "/clip.mp4")) == CLIP


def test_a_server_over_tls_has_to_be_the_one_that_was_named(monkeypatch):
    identity = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.load_cert_chain(PEM)
    with serving(identity) as server:
        names(monkeypatch, **{"clips.test": [["127.0.0.1"]] * 3, "other.test": [["127.0.0.1"]]})
        trusting = ssl.create_default_context(cafile=str(PEM))
        assert fetched(at(server, "/clip.mp4", "clips.test", "https"), tls=trusting) == CLIP
        for host, tls in (("other.test", trusting), ("clips.test", None)):
            with pytest.raises(MediaError, match="could not be reached"):
                fetched(at(server, "/clip.mp4", host, "https"), tls=tls)
        with pytest.raises(MediaError, match="from https to something else"):
            fetched(at(server, "/to/http://clips.test/clip.mp4", "clips.test", "https"), tls=trusting)
