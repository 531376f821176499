# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""TLS as clients speak it: a rehearsal in memory before a certificate is installed, and a look at what an endpoint serves.

Both verify as strictly as Python 3.13 does by default, whatever Python runs here.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import typing as t

from ._errors import one_line
from ._wait import Deadline

_HOSTNAME = (62, 64)      # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_QUIET = 0.4              # s within which a server that wants a client certificate says so
_ROUNDS = 20
_WANTS = ": it may want a client certificate; give client_cert and client_key"


def _client(roots: str, ca_path: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if roots:
        context.load_verify_locations(cadata=roots)
    if ca_path:
        context.load_verify_locations(cafile=ca_path)
    return context


def rehearse(chain: bytes, key: bytes, roots: bytes, names: t.Sequence[str], mutual: bool) -> str:
    """A handshake for each name between a server that has the certificate and a client that trusts the roots; what refused it, or nothing.

    ``mutual``: the client shows the same certificate, as nodes of a cluster bus do to each other. The key is in memory only
    (a file without a place); where the system has no such files, nothing is rehearsed.
    """
    if not hasattr(os, "memfd_create"):
        return ""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), _client(roots.decode())
    handle = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with open(handle, "wb", closefd=False) as file:
            file.write(chain + key)
        pair = f"/proc/self/fd/{handle}"
        server.load_cert_chain(pair)
        if mutual:
            client.load_cert_chain(pair)
            server.verify_mode = ssl.CERT_REQUIRED
            server.verify_flags |= ssl.VERIFY_X509_STRICT
            server.load_verify_locations(cadata=roots.decode())
    except OSError as error:   # no /proc here, or OpenSSL takes no such pair
        return "" if not isinstance(error, ssl.SSLError) else one_line(error.reason or error, 120)
    finally:
        os.close(handle)
    for name in names or [""]:
        client.check_hostname = bool(name)
        if why := _shake(server, client, name):
            return f"{why}{f' (as {name})' if name else ''}"
    return ""


def _shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(back, there, server_hostname=name or None), server.wrap_bio(there, back, server_side=True)]
    open_sides = list(sides)
    for _round in range(_ROUNDS):
        for side in list(open_sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                return why(error)
            open_sides.remove(side)
        if not open_sides:
            return ""
    return "the handshake does not end"


def why(error: ssl.SSLError) -> str:
    """The reason of a failed handshake in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return one_line(error.verify_message, 160)
    reason = (error.reason or "").lower().replace("_", " ")
    return one_line(reason or error, 160)


class Peer(t.NamedTuple):
    """How endpoints are looked at. ``roots`` (PEM) or ``ca_path`` are trusted, else what the system trusts."""

    protocol: str = "https"
    roots: str = ""
    ca_path: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str = ""
    path: str = ""
    timeout: float = 10.0


class Seen(t.NamedTuple):
    """What one endpoint serves. ``chain`` (DER) is also there where its verification failed."""

    chain: list[bytes]
    chain_problem: str = ""
    name_problem: str = ""
    problem: str = ""     # it could not be reached, or did not speak
    status: int | None = None


def contexts(peer: Peer) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """One that verifies, and one that only looks. OSError and SSLError are for the caller: they are of the options."""
    strict = _client(peer.roots, peer.ca_path)
    if not peer.roots and not peer.ca_path:
        strict.load_default_certs()
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    for context in (strict, blind):
        if peer.client_cert:
            context.load_cert_chain(peer.client_cert, peer.client_key)
    return strict, blind


def look(host: str, port: int, peer: Peer, pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> Seen:
    """A verified handshake with chain and name; where it is refused, another that only shows what is served."""
    deadline = Deadline(peer.timeout)
    try:
        return _look(host, port, peer, pair[0], deadline)
    except ssl.SSLCertVerificationError as error:
        try:
            seen = _look(host, port, peer, pair[1], deadline)
        except OSError as second:
            seen = Seen([], problem=_told(second, peer))
        if error.verify_code in _HOSTNAME:
            return seen._replace(name_problem=f"it is not valid for {peer.server_name or host}")
        return seen._replace(chain_problem=why(error))
    except OSError as error:
        return Seen([], problem=_told(error, peer))


def _look(host: str, port: int, peer: Peer, context: ssl.SSLContext, deadline: Deadline) -> Seen:
    with socket.create_connection((host, port), timeout=max(0.01, deadline.left)) as wire:
        wire.settimeout(max(0.01, deadline.left))
        with context.wrap_socket(wire, server_hostname=peer.server_name or host) as talk:
            chain = _chain(talk)
            try:
                return Seen(chain, status=_speak(talk, host, port, peer, deadline))
            except OSError as error:
                if peer.client_cert or not isinstance(error, (ConnectionError, _Silent)):
                    return Seen(chain, problem=_told(error, peer))
                return Seen(chain, problem=f"it closed the connection after the handshake{_WANTS}")


class _Silent(OSError):
    """It closed the connection without an answer."""


def _chain(talk: ssl.SSLSocket) -> list[bytes]:
    """All certificates that were sent, in DER; the call is public since Python 3.13."""
    inner = talk if hasattr(talk, "get_unverified_chain") else getattr(talk, "_sslobj")
    found = getattr(inner, "get_unverified_chain")() or []
    return [one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found]


def _speak(talk: ssl.SSLSocket, host: str, port: int, peer: Peer, deadline: Deadline) -> int | None:
    """With TLS 1.3 a server refuses a client only after the handshake: so something is said, and listened to."""
    if peer.protocol == "https" and peer.path:
        name = f"[{host}]" if ":" in host else host
        talk.sendall(f"GET {peer.path} HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n".encode())
        first = _line(talk, deadline).split()
        if len(first) < 2 or not first[0].startswith(b"HTTP/") or not first[1].isdigit():
            raise OSError("it does not answer by HTTP")
        return int(first[1])
    if peer.protocol == "redis":
        talk.sendall(b"*1\r\n$4\r\nPING\r\n")
        if _line(talk, deadline)[:1] not in (b"+", b"-"):
            raise OSError("it does not answer as Redis")
        return None
    talk.settimeout(max(0.01, min(_QUIET, deadline.left)))
    with contextlib.suppress(TimeoutError):
        if not talk.recv(1):
            raise _Silent("it closed the connection")
    return None


def _line(talk: ssl.SSLSocket, deadline: Deadline) -> bytes:
    said = b""
    while b"\r\n" not in said and len(said) < 4096:
        talk.settimeout(max(0.01, deadline.left))
        part = talk.recv(1024)
        if not part:
            raise _Silent("it closed the connection without an answer")
        said += part
        if deadline.over:
            raise TimeoutError
    return said.partition(b"\r\n")[0]


def _told(error: OSError, peer: Peer) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {peer.timeout:g} s"
    if isinstance(error, socket.gaierror):
        return "its name can't be resolved"
    if isinstance(error, ssl.SSLError):
        text = why(error)
        if "certificate required" in text or "handshake failure" in text and not peer.client_cert:
            return f"{text}{_WANTS}"
        if "wrong version number" in text or "record layer failure" in text or "packet length too long" in text:
            return f"{text}: it does not speak TLS on this port"
        return f"the handshake failed: {text}"
    return one_line(error.strerror or error, 120)
