"""Fetching a clip that a request names by its address, so that nobody reaches through this server what he does not reach himself.

Every connection, that of a redirection too, goes to an address that was looked up and found to be public right before: the check and
the connection share one look-up, so a name that changes its mind in between gains nothing. Bytes and seconds are bounded while they
come, headers included; no proxy of the environment is asked, and no cookie, login or compressed content is taken.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, BinaryIO
from urllib.parse import urljoin

import httpcore
import httpx

from ..errors import MediaError
from ..settings import Settings

PORTS = {"http": 80, "https": 443}
REDIRECTIONS = (301, 302, 303, 307, 308)
MOST_REDIRECTIONS = 5
LONGEST_ADDRESS = 2000  # characters
QUIET_S = 10.0  # for which a server may say nothing
HEAD_BYTES = 100_000  # of everything but the clip
CHUNK = 1 << 16
MEGABYTE = 1e6
UNICAST = ipaddress.ip_network("2000::/3")  # all that is given out of IPv6, RFC 4291
TUNNELS = (ipaddress.ip_network("2001::/32"), ipaddress.ip_network("2002::/16"))  # Teredo and 6to4, whose end is an IPv4 address
# Of protocols, RFC 6890 (releases of Python differ on parts of it), and of relays into 6to4, RFC 7526, which no network should route
NOBODYS = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))
HEADERS = [(b"User-Agent", b"omnizip"), (b"Accept", b"video/*, application/octet-stream;q=0.5"), (b"Accept-Encoding", b"identity")]
LATE = "The clip did not come in time; send the file itself, or one that is smaller."
Spend = Callable[[int], bool]  # takes bytes that arrived, says whether more may come


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet. One that carries an IPv4 address inside is none: it leads who knows where."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        return ip in UNICAST and ip.is_global and not any(ip in network for network in TUNNELS)
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or any(ip in network for network in NOBODYS))


class RemoteClips:
    """Fetches clips under the limits of the settings."""

    def __init__(
        self,
        settings: Settings,
        allowed: Callable[[str], bool] = is_public,
        ports: dict[str, int] | None = PORTS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """
        Args:
            allowed: which IP addresses may be connected to.
            ports: the port of each scheme that may be named; None for any.
            tls: whom to trust; the system's authorities where it is not given.
        """
        self._settings, self._allowed, self._ports, self._tls = settings, allowed, ports, tls

    def fetch(self, address: str, target: BinaryIO, spend: Spend = lambda n: True, gone: Callable[[], bool] = lambda: False) -> None:
        """Write what lies at `address` into `target`.

        Args:
            spend: hears of bytes as they arrive, and says whether more may come.
            gone: whether nobody waits any more.

        Raises:
            MediaError: in one sentence, which names no address that was looked up.
        """
        bounds = _Bounds(monotonic() + self._settings.fetch_timeout_s, int(self._settings.max_file_mb * MEGABYTE) + HEAD_BYTES, spend, gone)
        try:
            for _ in range(MOST_REDIRECTIONS + 1):
                url = self._checked(address)
                with httpcore.ConnectionPool(ssl_context=self._tls, network_backend=_Guard(self._allowed, bounds)) as pool:
                    onward = self._follow(pool, url, target)
                if onward is None:
                    return
                if url.scheme == "https" and onward[:8].lower() != "https://":
                    raise MediaError("The clip's address leads from https to something else; name the place where it lies.")
                address = onward
        except _Refused as refused:
            raise MediaError(refused.args[0]) from None
        except (httpcore.TimeoutException, TimeoutError):
            raise MediaError(LATE if bounds.over else "The clip's server was silent for too long; send the file itself.") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
            raise MediaError("The clip's server could not be reached, or broke off; check the address, or send the file itself.") from None
        raise MediaError(f"The clip's address leads on more than {MOST_REDIRECTIONS} times; name the place where it lies.")

    def _checked(self, address: str) -> httpx.URL:
        """The address taken apart, if it is one that may be asked."""
        try:
            url = httpx.URL(address[: LONGEST_ADDRESS + 1])
        except (httpx.InvalidURL, ValueError, TypeError):
            raise MediaError("The clip's address is none; give one such as https://example.org/clip.mp4.") from None
        if len(address) > LONGEST_ADDRESS or url.scheme not in PORTS or not url.host:
            raise MediaError("The clip's address is no http(s) address of usual length; give one such as https://example.org/clip.mp4.")
        if url.userinfo:
            raise MediaError("The clip's address holds a name or password; give one that needs none.")
        if self._ports is not None and url.port not in (None, self._ports[url.scheme]):
            raise MediaError(f"The clip's address names port {url.port}; only the usual ones are asked.")
        return url

    def _follow(self, pool: httpcore.ConnectionPool, url: httpx.URL, target: BinaryIO) -> str | None:
        """Write the clip, or return the address it is said to lie at."""
        asked = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        timeouts = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), QUIET_S)}
        with pool.stream("GET", asked, headers=[(b"Host", url.netloc), *HEADERS], extensions=timeouts) as response:
            headers = {name.lower(): value for name, value in response.headers}
            if response.status in REDIRECTIONS and b"location" in headers:
                return urljoin(str(url), headers[b"location"].decode("latin-1"))
            if response.status != 200:
                raise MediaError(f"The clip's server answered with status {response.status}; check the address, or send the file itself.")
            if headers.get(b"content-encoding", b"identity").lower() != b"identity":
                raise MediaError("The clip's server sends it compressed, unasked; send the file itself.")
            most, written = self._settings.max_file_mb * MEGABYTE, 0
            length = headers.get(b"content-length", b"0")
            if length.isdigit() and int(length) > most:
                raise _too_large(self._settings)
            for chunk in response.iter_stream():
                written += len(chunk)
                if written > most:
                    raise _too_large(self._settings)
                target.write(chunk)
        if not written:
            raise MediaError("There is nothing at the clip's address; check it, or send the file itself.")
        return None


def _too_large(settings: Settings) -> MediaError:
    return MediaError(f"The clip at that address has more than the {settings.max_file_mb:g} MB accepted; give a smaller one.")


class _Refused(OSError):
    """Why a connection was not made or goes no further; passes through httpcore as it is."""


class _Bounds:
    """What all connections of one clip may take together."""

    def __init__(self, deadline: float, most: int, spend: Spend, gone: Callable[[], bool]) -> None:
        self._deadline, self._left, self._spend, self._gone = deadline, most, spend, gone

    @property
    def over(self) -> bool:
        """Whether the time is."""
        return monotonic() >= self._deadline

    def left_s(self, wanted: float | None) -> float:
        """Seconds the next step may take."""
        left = self._deadline - monotonic()
        if left <= 0:
            raise _Refused(LATE)
        if self._gone():
            raise _Refused("Nobody waits for the clip any more.")
        return left if wanted is None else min(left, wanted)

    def count(self, size: int) -> None:
        """Take note of bytes that arrived."""
        self._left -= size
        if self._left < 0:
            raise _Refused("The clip's server sends more than a clip may have; send the file itself.")
        if not self._spend(size):
            raise _Refused("That is more than one visitor may send within an hour; wait, or name a smaller clip.")


class _Guard(httpcore.NetworkBackend):
    """Looks a name up, checks every address it has, and connects to one of these."""

    def __init__(self, allowed: Callable[[str], bool], bounds: _Bounds) -> None:
        self._allowed, self._bounds, self._plain = allowed, bounds, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = [entry[4][0] for entry in socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError):
            raise _Refused("The clip's server has no address that can be found; check the name.") from None
        if not found or not all(self._allowed(str(address)) for address in found):
            raise _Refused("The clip's address lies in a private network, and nothing is fetched from there; send the file itself.")
        failure: Exception | None = None
        for address in dict.fromkeys(found):
            try:
                stream = self._plain.connect_tcp(str(address), port, self._bounds.left_s(timeout), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as problem:
                failure = problem
            else:
                return _Counted(stream, self._bounds)
        raise failure or httpcore.ConnectError()

    def connect_unix_socket(self, *given: Any, **named: Any) -> httpcore.NetworkStream:
        raise _Refused("The clip's address is none of the internet.")

    def sleep(self, seconds: float) -> None:
        self._plain.sleep(min(seconds, self._bounds.left_s(seconds)))


class _Counted(httpcore.NetworkStream):
    """A connection whose bytes and seconds count."""

    def __init__(self, stream: httpcore.NetworkStream, bounds: _Bounds) -> None:
        self._stream, self._bounds = stream, bounds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        got = self._stream.read(min(max_bytes, CHUNK), self._bounds.left_s(timeout))
        self._bounds.count(len(got))
        return got

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._bounds.left_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        return _Counted(self._stream.start_tls(ssl_context, server_hostname, self._bounds.left_s(timeout)), self._bounds)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
