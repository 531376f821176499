# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""HTTP as this collection needs it: pooled, kept alive, verified, bounded in time, counted, repeated only where safe.

It knows bytes and status codes, nothing of the service. Whatever status comes back is an answer; only a missing or
incomplete answer raises (:class:`Unreachable`).
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import http.client
import io
import json as json_library
import os
import random
import re
import socket
import ssl
import threading
import time
import traceback
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit

from ._errors import CachingError, Unreachable, one_line

try:
    import urllib3
    from urllib3 import exceptions as urllib3_errors

    URLLIB3_ERROR = None
except ImportError:
    URLLIB3_ERROR = traceback.format_exc()

LONGEST_RETRY_AFTER = 30.0
LARGEST_ANSWER = 64 * 1024 * 1024
SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
PASSING_FAULTS = frozenset({429, 502, 503, 504})
_WANTS_CERTIFICATE = re.compile(r"alert[ _](certificate[ _](required|unknown|expired)|bad[ _]certificate|unknown[ _]ca|handshake[ _]failure)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]+([.][0-9]+)?")


@dataclass(frozen=True)
class Answer:
    """A complete answer. ``headers`` has lower-case names."""

    method: str
    url: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> t.Any:
        """The body as data; None where there is none."""
        if not self.body.strip():
            return None
        try:
            return json_library.loads(self.body.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise CachingError(f"{self.method} {self.url} answered {self.status} with {len(self.body)} bytes that are not UTF-8") from None
        except (ValueError, RecursionError):
            start = one_line(self.body[:200].decode("utf-8", errors="replace"), 80)
            raise CachingError(
                f"{self.method} {self.url} answered {self.status}, but the body is not JSON; it begins: {start}"
            ) from None


class Http:
    """One pool of connections, one budget of repeats, one count of requests for a whole module run."""

    def __init__(
        self,
        *,
        validate_certs: bool = True,
        ca_path: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        concurrency: int = 8,
    ) -> None:
        self.timeout = timeout
        self.retries = retries
        self.concurrency = concurrency
        self.requests = {"read": 0, "write": 0}
        self._failed_in_a_row = 0
        self._patience = retries + 2 * concurrency + 4
        self._lock = threading.Lock()
        self._pools = self._manager(None)
        self._tls: t.Callable[[], ssl.SSLContext] = functools.partial(_tls, validate_certs, ca_path, client_cert, client_key)
        self._secure_pools = self._manager(self._tls()) if ca_path or client_cert or client_key else None

    def send(
        self,
        method: str,
        urls: t.Sequence[str],
        *,
        headers: t.Mapping[str, str] | None = None,
        body: bytes | None = None,
        repeatable: bool | None = None,
        passing: t.Container[int] = PASSING_FAULTS,
        once: bool = False,
        limit: float | None = None,
        reads: bool | None = None,
    ) -> Answer:
        """Send to the first of ``urls``; the others are equal places to try when one does not answer.

        ``repeatable``: whether sending it twice does no harm (default: by the method). What is not repeatable is sent
        again only where it certainly was not acted on: not connected, 429, or 503 with ``Retry-After``.
        ``limit``: less time for this request than for others. ``once``: one attempt whatever came before, for those who wait for an answer themselves.
        ``reads``: whether it only reads, and is counted so (default: by the method).
        """
        reads = method in ("GET", "HEAD", "OPTIONS") if reads is None else reads
        if once:
            return self._once(method, urls[0], headers or {}, body, reads, limit)
        repeatable = reads or method in SAFE_TO_REPEAT if repeatable is None else repeatable
        last = max(self.retries, len(urls) - 1)
        for attempt in range(last + 1):
            url = urls[attempt % len(urls)]
            try:
                self._check_patience(method, url)
                answer = self._once(method, url, headers or {}, body, reads, limit)
            except Unreachable as error:
                if attempt == last or not error.passing or (error.sent and not repeatable):
                    raise
                pause = 0.0 if attempt + 1 < len(urls) else _backoff(attempt)
            else:
                if answer.status not in passing or attempt >= self.retries:
                    return answer
                told = _retry_after(answer)
                if not repeatable and not (answer.status == 429 or answer.status == 503 and told is not None):
                    return answer
                pause = _backoff(attempt) if told is None else told
            time.sleep(pause)
        raise AssertionError("the loop above always ends by itself")

    def _manager(self, context: ssl.SSLContext | None) -> urllib3.PoolManager:
        manager = urllib3.PoolManager(num_pools=32, maxsize=self.concurrency, block=True, retries=False, ssl_context=context)
        manager.pool_classes_by_scheme = {scheme: _bounded(pool) for scheme, pool in manager.pool_classes_by_scheme.items()}
        return manager

    def _pools_for(self, url: str) -> urllib3.PoolManager:
        """The system's authorities are slow to load: only at the first https URL."""
        if not url.lower().startswith("https:"):
            return self._pools
        with self._lock:
            if self._secure_pools is None:
                self._secure_pools = self._manager(self._tls())
            return self._secure_pools

    def _check_patience(self, method: str, url: str) -> None:
        """A service that answers nothing at all is not asked a thousand times."""
        if self._failed_in_a_row >= self._patience:
            text = f"{method} {url} was not sent: {self._failed_in_a_row} requests in a row got no answer"
            raise Unreachable(text, sent=False, passing=False)

    def _once(self, method: str, url: str, headers: t.Mapping[str, str], body: bytes | None, reads: bool, limit: float | None) -> Answer:
        with self._lock:
            self.requests["read" if reads else "write"] += 1
        seconds = self.timeout if limit is None else min(limit, self.timeout)
        try:
            reply = self._pools_for(url).request(
                method, url, body=body, headers=dict(headers), redirect=False, preload_content=False,
                timeout=urllib3.Timeout(total=seconds),
            )
            try:
                content = _read(reply, method, url)
            except BaseException:
                reply.close()
                raise
            reply.release_conn()
        except (urllib3_errors.HTTPError, OSError, ValueError) as error:
            with self._lock:
                self._failed_in_a_row += 1
            raise _unreachable(method, url, error, seconds) from None
        with self._lock:
            self._failed_in_a_row = 0
        return Answer(method, url, reply.status, {name.lower(): value for name, value in reply.headers.items()}, content)


def check_url(url: str, option: str) -> str:
    """``url`` without a slash at its end; an error names ``option`` when it is none, or holds a password."""
    try:
        parts = urlsplit(url.strip())
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        port_fits = False
    if not port_fits or parts.scheme not in ("http", "https") or not parts.hostname or _has_odd_characters(url):
        shown = one_line(url.rsplit("@", 1)[-1], 80)
        raise CachingError(f"{option}: {shown!r} is not a URL such as https://caching-service:8403")
    if parts.username or parts.password:
        raise CachingError(f"{option}: a user or password in the URL would be printed; use the token options")
    if parts.query or parts.fragment:
        raise CachingError(f"{option}: {one_line(url, 80)!r} must not have a query or fragment")
    return url.strip().rstrip("/")


def _has_odd_characters(url: str) -> bool:
    return any(character.isspace() or not character.isprintable() for character in url.strip())


class _Bounded(io.RawIOBase):
    """What comes out of a socket, until the time that it has is over: a time-out of sockets begins anew with each byte."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._end = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose head and body, however they come, are there in the time that urllib3 has left for them."""

    def __init__(self, sock: socket.socket, *args: t.Any, **options: t.Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Bounded(sock))


@functools.cache
def _bounded(pool: t.Any) -> t.Any:
    """A class of pools whose connections give bounded answers."""
    connection = type("Connection", (pool.ConnectionCls,), {"response_class": _Response})
    return type("Pool", (pool,), {"ConnectionCls": connection})


def _read(reply: urllib3.BaseHTTPResponse, method: str, url: str) -> bytes:
    content = bytearray()
    for piece in reply.stream(65536, decode_content=True):
        content += piece
        if len(content) > LARGEST_ANSWER:
            raise CachingError(f"{method} {url} answered with more than {LARGEST_ANSWER >> 20} MiB")
    return bytes(content)


def _tls(validate: bool, ca_path: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    for option, path in (("ca_path", ca_path), ("client_cert", cert), ("client_key", key)):
        if path and not os.path.exists(path):
            raise CachingError(f"{option}: there is no file {path} on the host where this module runs")
    if key and not cert:
        raise CachingError("client_key: give client_cert too, the certificate that it belongs to")
    try:
        if validate and ca_path and os.path.isdir(ca_path):
            context = _trusting_folder(ca_path)
        elif validate:
            context = ssl.create_default_context(cafile=ca_path)
        else:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    except (ssl.SSLError, OSError) as error:
        raise CachingError(f"ca_path: {ca_path} holds no usable certificates ({one_line(error, 120)})") from None
    if cert:
        try:
            context.load_cert_chain(cert, key, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise CachingError(f"client_cert: {cert} and its key can't be used ({one_line(error, 120)})") from None
    return context


def _trusting_folder(folder: str) -> ssl.SSLContext:
    """Every certificate in the folder, whether it was hashed (c_rehash) or not; what holds none is passed over."""
    context = ssl.create_default_context(capath=folder)
    for name in sorted(os.listdir(folder)):
        with contextlib.suppress(ssl.SSLError, OSError):
            context.load_verify_locations(os.path.join(folder, name))
    if not context.cert_store_stats()["x509"]:
        raise CachingError(f"ca_path: no file in {folder} holds a certificate (PEM)")
    return context


def _backoff(attempt: int) -> float:
    return min(5.0, 0.2 * 2.0**attempt) * random.uniform(0.5, 1.5)


def _retry_after(answer: Answer) -> float | None:
    """Seconds that the service asked to wait, or None where it didn't ask."""
    text = answer.headers.get("retry-after", "").strip()
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    if seconds > LONGEST_RETRY_AFTER:
        raise CachingError(
            f"{answer.method} {answer.url} answered {answer.status} and asks to wait {seconds:.0f} s (Retry-After); "
            f"more than {LONGEST_RETRY_AFTER:.0f} s is not waited for: run again later"
        )
    return max(0.0, seconds)


def _unreachable(method: str, url: str, error: Exception, timeout: float) -> Unreachable:
    """One line for what urllib3 says in three nested ones."""
    cause: BaseException = error
    while (deeper := getattr(cause, "reason", None) or cause.__cause__ or cause.__context__) and isinstance(deeper, BaseException):
        cause = deeper
    where = f"{method} {url}"
    sent = not isinstance(error, (urllib3_errors.NewConnectionError, urllib3_errors.ConnectTimeoutError, urllib3_errors.LocationValueError))
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Unreachable(
            f"{where}: the certificate is not accepted: {one_line(cause.verify_message, 120)}; "
            "renew it, or give the authority that signed it as ca_path", sent=False, passing=False,
        )
    if isinstance(error, urllib3_errors.SSLError) or isinstance(cause, ssl.SSLError):
        if _WANTS_CERTIFICATE.search(str(cause)):
            text = f"{where}: the service does not accept the client certificate, or wants one: give client_cert and client_key"
            return Unreachable(f"{text} ({one_line(cause, 120)})", sent=False, passing=False)
        return Unreachable(f"{where}: no TLS connection ({one_line(cause, 120)}); is it http instead of https?", sent=False, passing=False)
    timed_out = not isinstance(error, urllib3_errors.NewConnectionError)  # a kind of time-out to urllib3
    if timed_out and isinstance(error, urllib3_errors.ConnectTimeoutError):
        return Unreachable(f"{where}: no connection within {timeout:g} s", sent=False)
    if timed_out and isinstance(error, (urllib3_errors.TimeoutError, TimeoutError)):
        return Unreachable(f"{where}: no complete answer within {timeout:g} s")
    if any(isinstance(one, (urllib3_errors.IncompleteRead, http.client.IncompleteRead)) for one in (error, cause)):
        return Unreachable(f"{where}: the connection ended in the middle of the answer")
    reason = getattr(cause, "strerror", None) or one_line(cause, 160)
    return Unreachable(f"{where}: {'no connection' if not sent else 'no answer'} ({reason})", sent=sent, refused=isinstance(cause, ConnectionRefusedError))
